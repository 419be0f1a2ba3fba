"""Block storage that is somewhere else: transports, and the stages in front of them."""

from .pacing import Pacing, RateRecord
from .volumes import VolumeRecord, Volumes

__all__ = ["Pacing", "RateRecord", "VolumeRecord", "Volumes"]

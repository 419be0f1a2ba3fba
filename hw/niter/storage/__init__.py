"""Block storage that is somewhere else: transports, and the stages in front of them."""

from .pacing import Pacing
from .rates import RateRecord
from .volumes import VolumeKey, VolumeMode, VolumeRecord, Volumes

__all__ = ["Pacing", "RateRecord", "VolumeKey", "VolumeMode", "VolumeRecord", "Volumes"]

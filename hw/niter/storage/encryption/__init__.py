"""Encryption as a stage on the block contract."""

from .stage import Encryption
from .volumes import VolumeKey, VolumeMode

__all__ = ["Encryption", "VolumeKey", "VolumeMode"]

"""The virtio block device: a second front end on the block contract."""

from .config import BlkConfig, BlkSizes, BlkWord, blk_device
from .device import VirtioBlk
from .layouts import MAX_RANGE_SECTORS, MAX_SEGMENTS

__all__ = [
    "MAX_RANGE_SECTORS",
    "MAX_SEGMENTS",
    "BlkConfig",
    "BlkSizes",
    "BlkWord",
    "VirtioBlk",
    "blk_device",
]

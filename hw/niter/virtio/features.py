"""Feature bits of virtio: those of the queue and transport, and those of each device.

A device offers a set of bits, a driver accepts a subset of it (virtio 1.2, 2.2). Sets are
kept as 64-bit masks, made by ``mask``.
"""

from collections.abc import Iterable
from enum import IntEnum

__all__ = ["BlkFeature", "NetFeature", "RingFeature", "mask"]


class RingFeature(IntEnum):
    """Bits that any device may offer (virtio 1.2, 6)."""

    INDIRECT_DESC = 28
    EVENT_IDX = 29
    VERSION_1 = 32
    ACCESS_PLATFORM = 33
    NOTIFICATION_DATA = 38
    RING_RESET = 40


class NetFeature(IntEnum):
    """Bits of the network device (virtio 1.2, 5.1.3)."""

    CSUM = 0
    GUEST_CSUM = 1
    MTU = 3
    MAC = 5
    MRG_RXBUF = 15
    STATUS = 16
    CTRL_VQ = 17
    CTRL_RX = 18
    CTRL_VLAN = 19
    CTRL_RX_EXTRA = 20
    GUEST_ANNOUNCE = 21
    MQ = 22
    CTRL_MAC_ADDR = 23
    SPEED_DUPLEX = 63


class BlkFeature(IntEnum):
    """Bits of the block device (virtio 1.2, 5.2.3)."""

    SIZE_MAX = 1
    SEG_MAX = 2
    RO = 5
    BLK_SIZE = 6
    FLUSH = 9
    TOPOLOGY = 10
    MQ = 12
    DISCARD = 13
    WRITE_ZEROES = 14


def mask(features: Iterable[int]) -> int:
    """The set of ``features`` as an integer with one bit for each."""
    return sum(1 << feature for feature in set(features))

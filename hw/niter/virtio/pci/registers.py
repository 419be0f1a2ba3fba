"""Where the registers of a virtio PCI function stand (virtio 1.2, 4.1.4)."""

from enum import IntEnum
from typing import NamedTuple

from amaranth.lib import data, enum

__all__ = [
    "BAR_BYTES",
    "COMMON",
    "DEVICE",
    "ISR",
    "NOTIFY",
    "NOTIFY_MULTIPLIER",
    "NO_VECTOR",
    "VIRTIO_BAR",
    "CapabilityType",
    "Common",
    "Status",
    "Window",
]


class CapabilityType(IntEnum):
    """The structure that a vendor-specific capability points to."""

    COMMON_CFG = 1
    NOTIFY_CFG = 2
    ISR_CFG = 3
    DEVICE_CFG = 4
    PCI_CFG = 5


class Status(data.Struct):
    """device_status (2.1)."""

    acknowledge: 1
    driver: 1
    driver_ok: 1
    features_ok: 1
    _reserved: 2
    needs_reset: 1
    failed: 1


class Common(enum.IntEnum, shape=4):
    """The 32-bit words of the common configuration structure (4.1.4.3), by number.

    Where a word holds several fields, its name tells them from the low end up.
    """

    DEVICE_FEATURE_SELECT = 0
    DEVICE_FEATURE = 1
    DRIVER_FEATURE_SELECT = 2
    DRIVER_FEATURE = 3
    VECTOR_QUEUES = 4
    STATUS_GENERATION_SELECT = 5
    SIZE_VECTOR = 6
    ENABLE_NOTIFY_OFF = 7
    DESCRIPTOR = 8
    DESCRIPTOR_HIGH = 9
    DRIVER = 10
    DRIVER_HIGH = 11
    DEVICE = 12
    DEVICE_HIGH = 13
    NOTIFY_DATA_RESET = 14
    ADMIN = 15


class Window(NamedTuple):
    """A part of BAR ``VIRTIO_BAR``: byte offset and length."""

    offset: int
    length: int


#: The BAR that holds all structures, each on a page of its own so that it can be mapped alone.
VIRTIO_BAR = 0
BAR_BYTES = 0x4000
COMMON = Window(0x0000, 64)
ISR = Window(0x1000, 4)
DEVICE = Window(0x2000, 64)
NOTIFY = Window(0x3000, 64)
#: Bytes between the doorbells of neighbouring queues.
NOTIFY_MULTIPLIER = 4

#: The vector of an event that raises no interrupt.
NO_VECTOR = 0xFFFF

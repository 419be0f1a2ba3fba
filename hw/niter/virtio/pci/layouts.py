"""What the parts of the transport say to each other, and to the device behind it.

The registers of all functions stand in one state memory of 32-bit words: 16 slots of
eight words for each function. A slot holds the words of one queue; four slots are special.
"""

from enum import IntEnum

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .registers import Common

__all__ = [
    "CONFIG_SLOT",
    "CONFIG_WORDS",
    "DEVICE_SLOT",
    "SLOTS",
    "SLOT_WORDS",
    "VOID_SLOT",
    "CommonAccess",
    "DeviceConfig",
    "DeviceWord",
    "FunctionWork",
    "LifecycleEvent",
    "QueueWord",
    "StateAddress",
    "StatePort",
]

#: A change of device-specific configuration (virtio 1.2, 2.5), seen from who makes it.
#:
#: ``valid`` holds until ``ready``, which comes in a few cycles; then those halves of word ``word``
#: of ``function``'s structure are ``data``'s that ``mask`` tells, config_generation will move,
#: and a configuration interrupt goes out. What a driver writes there goes nowhere. With
#: ``offer`` the word is that of features 0 to 31 which the function offers, and nobody is told:
#: it is for a function that is not yet released.
DeviceConfig = wiring.Signature(
    {
        "valid": Out(1),
        "ready": In(1),
        "function": Out(3),
        "word": Out(4),
        "offer": Out(1),
        "mask": Out(2),
        "data": Out(32),
    }
)

#: Slots of a function: those of its queues by index, and these four.
SLOTS = 16
SLOT_WORDS = 8
#: Device-specific configuration: words 8 to 15 stand in the slot below.
CONFIG_SLOT = 13
CONFIG_WORDS = 2 * SLOT_WORDS
#: Words that always read as zero: what a queue shows that does not exist.
VOID_SLOT = 14
#: The words of the function itself.
DEVICE_SLOT = 15


class DeviceWord(IntEnum):
    """Words of ``DEVICE_SLOT``: registers as ``Common`` has them, and two constants."""

    DEVICE_FEATURE_SELECT = 0
    OFFERED_LOW = 1
    DRIVER_FEATURE_SELECT = 2
    ACCEPTED_LOW = 3
    VECTOR_QUEUES = 4
    STATUS_GENERATION_SELECT = 5
    OFFERED_HIGH = 6
    ACCEPTED_HIGH = 7


class QueueWord(IntEnum):
    """Words of a queue's slot: the low three bits of their numbers in ``Common``.

    ``FLAGS`` is ENABLE_NOTIFY_OFF with two more bits, in bytes that read as zero: ``LIVE``,
    the engine has the queue, and ``RESET``, the driver wants it reset. Each byte of the
    word has one writer.
    """

    DESCRIPTOR = 0
    DRIVER = 2
    DEVICE = 4
    SIZE_VECTOR = 6
    FLAGS = 7

    @classmethod
    def enabled(cls, flags):
        """The driver has enabled it."""
        return flags[0]

    @classmethod
    def live(cls, flags):
        """The engine has it."""
        return flags[8]

    @classmethod
    def reset(cls, flags):
        """The driver wants it reset."""
        return flags[24]


class StateAddress(data.Struct):
    """Place of a word in the state memory."""

    word: 3
    slot: 4
    function: 3


#: Access to the state memory, seen from its user: ``request`` holds until ``grant``; in the
#: cycle of both, the bytes in ``mask`` are written, and the word is in ``r_data`` one later.
StatePort = wiring.Signature(
    {
        "address": Out(StateAddress),
        "request": Out(1),
        "grant": In(1),
        "mask": Out(4),
        "w_data": Out(32),
        "r_data": In(32),
    }
)


#: An access to one word of the common configuration structure, seen from who wants it:
#: ``start`` begins it, and all that goes out with it holds until ``done``, when ``answer`` is
#: valid. With ``device`` it is a read of device-specific configuration instead, and with ``touch``
#: beside ``start`` that moves config_generation.
CommonAccess = wiring.Signature(
    {
        "start": Out(1),
        "device": Out(1),
        "touch": Out(1),
        "function": Out(3),
        "word": Out(Common),
        "write": Out(1),
        "value": Out(32),
        "lanes": Out(4),
        "done": In(1),
        "answer": In(32),
    }
)

#: What is to be done for each function, seen from who does it: ``walk``, look at its queues,
#: acknowledged by ``walked`` when that begins; ``resetting``, as after a reset, over with
#: ``reset_over``; ``interrupt``, tell of a configuration change, acknowledged by
#: ``interrupted``; ``ready``, its driver is running.
FunctionWork = wiring.Signature(
    {
        "walk": In(MAX_FUNCTIONS),
        "walked": Out(MAX_FUNCTIONS),
        "resetting": In(MAX_FUNCTIONS),
        "reset_over": Out(MAX_FUNCTIONS),
        "ready": In(MAX_FUNCTIONS),
        "interrupt": In(MAX_FUNCTIONS),
        "interrupted": Out(MAX_FUNCTIONS),
    }
)


class LifecycleEvent(data.Struct):
    """What a driver has done to ``function``; each bit is high for one cycle.

    Members
    -------
    reset : 1 bit
        It wrote zero to device_status.
    start : 1 bit
        It set DRIVER_OK.
    service : 1 bit
        A queue was enabled, or is to be reset.
    """

    function: 3
    reset: 1
    start: 1
    service: 1

"""What the parts of the transport say to each other, and to the device behind it."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

__all__ = ["DeviceConfig", "StateAddress"]

#: Device-specific configuration (virtio 1.2, 2.5), seen from the transport.
#:
#: ``data`` is the 32-bit word at ``address`` of ``function``'s structure in the cycle after
#: they were given, as a memory has it. ``changed[f]`` is high for a cycle, not before the new
#: content is read, when something of function ``f`` has changed: it makes config_generation
#: move and a configuration interrupt go out. What a driver writes goes nowhere.
DeviceConfig = wiring.Signature(
    {
        "function": Out(3),
        "address": Out(4),
        "data": In(32),
        "changed": In(MAX_FUNCTIONS),
    }
)


class StateAddress(data.Struct):
    """Place of a word in the state memory.

    A queue's slot holds words 6 to 13 of its common configuration structure, the slot
    ``DEVICE_SLOT`` words 0 to 5 and the upper halves of the feature sets, and the slot
    ``VOID_SLOT`` zeros, for queues that do not exist.
    """

    word: 3
    slot: 4
    function: 3

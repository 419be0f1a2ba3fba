"""The Gigabit Media Independent Interface (IEEE 802.3, clause 35), and what crosses with it."""

from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat

__all__ = ["CONTROL_TYPE", "GmiiReceive", "GmiiTransmit", "Received", "Status"]

#: EtherType of MAC control frames (IEEE 802.3, 31.4.1.3).
CONTROL_TYPE = 0x8808

#: Transmit half, seen from the MAC; synchronous to the transmit clock.
GmiiTransmit = wiring.Signature({"d": Out(8), "en": Out(1), "er": Out(1)})

#: Receive half, seen from the MAC; synchronous to the receive clock.
GmiiReceive = wiring.Signature({"d": In(8), "dv": In(1), "er": In(1)})


class Status(enum.Enum, shape=3):
    """What became of a received frame."""

    GOOD = 0
    BAD_FCS = 1
    SYMBOL_ERROR = 2
    RUNT = 3
    GIANT = 4
    #: A MAC control frame: taken note of, and not for anybody else.
    CONTROL = 5


class Received(data.Struct):
    """A beat of a received frame; ``status`` is that of the frame, on its last beat, and so is
    ``sum``, the ones' complement sum of its bytes, where it is taken."""

    packet: Beat
    status: Status
    sum: 16

"""Keeping reads and completions behind the writes that went before them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MAX_WRITE_PORTS", "Fence", "WriteOrder"]

#: Write ports that one transaction layer may have.
MAX_WRITE_PORTS = 4

#: Accepted writes that have not left yet are never more than three, so that a number
#: modulo eight names each of them.
_NUMBER_BITS = 3


class WriteOrder(data.Struct):
    """How far the host writes have come.

    Members
    -------
    accepted : 3 bits
        Number, modulo 8, of the write accepted last: its command and all of its data.
    retired : 3 bits
        Number of the write whose last TLP was taken by the link last.
    last : array of 3 bits
        Number of the write accepted last on each port.
    waiting : 4 bits
        Port's last write has not retired yet.
    """

    accepted: _NUMBER_BITS
    retired: _NUMBER_BITS
    last: data.ArrayLayout(_NUMBER_BITS, MAX_WRITE_PORTS)
    waiting: MAX_WRITE_PORTS


class Fence(wiring.Component):
    """Lets an item pass when the writes that were accepted before it came have left.

    A write shows in ``WriteOrder`` two cycles after its last handshake; so the fence looks
    one cycle after it first sees an item, and writes accepted later do not hold it up.
    ``open`` rises two cycles after ``request`` at the earliest.
    """

    #: An item is there.
    request: In(1)
    #: The item has passed.
    passed: In(1)
    #: The item may pass.
    open: Out(1)
    #: There is a write to wait for, and its number.
    waiting: In(1)
    mark: In(_NUMBER_BITS)
    #: Number of the write that left last.
    retired: In(_NUMBER_BITS)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        seen = Signal()
        held = Signal()
        armed = Signal()
        mark = Signal(_NUMBER_BITS)

        with m.If(armed & (self.retired == mark)):
            m.d.sync += armed.eq(0)
        with m.If(seen & ~held):
            m.d.sync += [held.eq(1), armed.eq(self.waiting), mark.eq(self.mark)]
        with m.If(self.request):
            m.d.sync += seen.eq(1)
        with m.If(self.passed):
            m.d.sync += [seen.eq(0), held.eq(0), armed.eq(0)]
        m.d.comb += self.open.eq(held & ~armed)
        return m

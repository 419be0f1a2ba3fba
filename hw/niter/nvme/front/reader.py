"""Asks host memory for submission entries."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import ReadCommand

from .layouts import ReadContext

__all__ = ["EntryReader"]

#: Bytes of a submission entry, as a power of two (CC.IOSQES).
_ENTRY_BITS = 6


class EntryReader(wiring.Component):
    """Issues one read of entries that stand together, and keeps it until it is accepted.

    Members
    -------
    start : In(1)
        Read. Only while ``read`` is not valid.
    function : In(3), queue : In(5), count : In(4)
        Of whom, and how many entries. This is looked at with ``start``, and so is ``high``.
    page : In(20), head : In(12)
        Lower half of the ring's address, and the first entry; steady from the cycle before.
    high : In(32)
        Upper half of the ring's address.
    read : Out(stream.Signature(ReadCommand))
    asked : Out(1)
        The first cycle of ``read``.
    """

    start: In(1)
    function: In(3)
    queue: In(5)
    count: In(4)
    page: In(20)
    head: In(12)
    high: In(32)
    read: Out(stream.Signature(ReadCommand))
    asked: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        command, context = self.read.payload, Signal(ReadContext)
        page, carry = Signal(20), Signal()
        low = Cat(C(0, _ENTRY_BITS), self.head)[:12]
        m.d.comb += [
            context.function.eq(self.function),
            context.queue.eq(self.queue),
            context.count.eq(self.count),
        ]
        m.d.sync += [
            Cat(page, carry).eq(self.page + self.head[12 - _ENTRY_BITS :]),
            self.asked.eq(self.start),
        ]
        with m.If(self.read.ready):
            m.d.sync += self.read.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self.read.valid.eq(1),
                command.address.eq(Cat(low, page, (self.high + carry)[:32])),
                command.length.eq(self.count << _ENTRY_BITS),
                command.function.eq(self.function),
                command.context.eq(context),
            ]
        return m

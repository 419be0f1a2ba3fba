"""Carries register accesses to the engines and the MSI-X table, and their replies back."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Function, RegisterReply, RegisterRequest

from .msix import MsixAccess

__all__ = ["RegisterRouter"]


class RegisterRouter(wiring.Component):
    """One register access a cycle, latency 1; a busy target holds up those behind it.

    ``RegisterRequest.address`` may have bits beyond the BAR's size; they are removed here.
    An access within a function's MSI-X structures goes to the table, all others to the
    function's engine. Reads come one at a time.

    Parameters
    ----------
    functions
        The declarations.
    engines
        For each function the index of its engine.

    Members
    -------
    i_posted, i_nonposted : In(stream of RegisterRequest)
        Accesses; the second goes first.
    o_reply : Out(stream of RegisterReply)
        Answers to reads.
    request : array of Out(stream of RegisterRequest)
    reply : array of In(stream of RegisterReply)
        For each engine.
    table : Out(stream of MsixAccess), table_reply : In(stream of RegisterReply)
        To and from the MSI-X table.
    """

    def __init__(self, functions: Sequence[Function], engines: Sequence[int]):
        self._functions = tuple(functions)
        self._engines = tuple(engines)
        count = max(engines) + 1
        super().__init__(
            {
                "i_posted": In(stream.Signature(RegisterRequest)),
                "i_nonposted": In(stream.Signature(RegisterRequest)),
                "o_reply": Out(stream.Signature(RegisterReply)),
                "request": Out(stream.Signature(RegisterRequest)).array(count),
                "reply": In(stream.Signature(RegisterReply)).array(count),
                "table": Out(stream.Signature(MsixAccess)),
                "table_reply": In(stream.Signature(RegisterReply)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        held, valid, ready = Signal(RegisterRequest), Signal(), Signal()
        chosen = Mux(
            self.i_nonposted.valid,
            self.i_nonposted.payload.as_value(),
            self.i_posted.payload.as_value(),
        )
        free = ~valid | ready
        m.d.comb += [
            self.i_nonposted.ready.eq(free),
            self.i_posted.ready.eq(free & ~self.i_nonposted.valid),
        ]
        with m.If(free):
            m.d.sync += [
                held.eq(chosen),
                held.address.eq(self._offset(m, RegisterRequest(chosen))),
                valid.eq(self.i_nonposted.valid | self.i_posted.valid),
            ]

        in_table, in_pending, word = self._msix(m, held)
        table = self.table
        m.d.comb += [
            table.payload.function.eq(held.function),
            table.payload.word.eq(word),
            table.payload.pending_bits.eq(in_pending),
            table.payload.write.eq(held.write),
            table.payload.data.eq(held.data),
            table.payload.enables.eq(Cat(held.mask[:4].all(), held.mask[4:].all())),
            table.valid.eq(valid & (in_table | (in_pending & ~held.write))),
        ]
        engine = Signal(range(max(len(self.request), 2)))
        m.d.comb += engine.eq(Array(self._engines)[held.function])
        elsewhere = in_table | in_pending
        with m.If(elsewhere):
            m.d.comb += ready.eq(table.ready | (in_pending & held.write))
        for index, request in enumerate(self.request):
            m.d.comb += request.payload.eq(held)
            with m.If(~elsewhere & (engine == index)):
                m.d.comb += [request.valid.eq(valid), ready.eq(request.ready)]

        asked_table, asked = Signal(), Signal.like(engine)
        with m.If(valid & ready & ~held.write):
            m.d.sync += [asked_table.eq(elsewhere), asked.eq(engine)]
        with m.If(asked_table):
            m.d.comb += [
                self.o_reply.payload.eq(self.table_reply.payload),
                self.o_reply.valid.eq(self.table_reply.valid),
                self.table_reply.ready.eq(self.o_reply.ready),
            ]
        for index, reply in enumerate(self.reply):
            with m.If(~asked_table & (asked == index)):
                m.d.comb += [
                    self.o_reply.payload.eq(reply.payload),
                    self.o_reply.valid.eq(reply.valid),
                    reply.ready.eq(self.o_reply.ready),
                ]
        return m

    def _offset(self, m, request):
        """The offset in the BAR: the address without the BAR's base."""
        sizes = {bar.size for function in self._functions for bar in function.bars}
        offset = Signal(32)
        if len(sizes) <= 1:
            m.d.comb += offset.eq(request.address & ((max(sizes, default=8) - 1) & ~7))
            return offset
        for number, function in enumerate(self._functions):
            for bar in function.bars:
                with m.If((request.function == number) & (request.bar == bar.index)):
                    m.d.comb += offset.eq(request.address & ((bar.size - 1) & ~7))
        return offset

    def _msix(self, m, request):
        """Is this the table, the pending bits, and which word of them?"""
        in_table, in_pending, word = Signal(), Signal(), Signal(29)
        at = request.address[3:]
        for number, function in enumerate(self._functions):
            if function.msix is None:
                continue
            msix = function.msix
            table, pending = msix.table // 8, msix.pba // 8
            with m.If((request.function == number) & (request.bar == msix.bar)):
                with m.If((at >= table) & (at < table + 2 * msix.vectors)):
                    m.d.comb += [in_table.eq(1), word.eq(at - table)]
                with m.If((at >= pending) & (at < pending + -(-msix.vectors // 64))):
                    m.d.comb += [in_pending.eq(1), word.eq(at - pending)]
        return in_table, in_pending, word

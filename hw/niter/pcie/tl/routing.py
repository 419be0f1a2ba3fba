"""Carries register accesses to the engines and the MSI-X table, and their replies back."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Function, RegisterReply, RegisterRequest

from .msix import MsixAccess

__all__ = ["RegisterRouter"]


class RegisterRouter(wiring.Component):
    """A register access every two cycles, latency 1; a busy target holds up those behind it.

    From a target that is ready to whoever asks is too far for one cycle.

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
        m.d.comb += [
            self.i_nonposted.ready.eq(~valid),
            self.i_posted.ready.eq(~valid & ~self.i_nonposted.valid),
        ]
        with m.If(~valid):
            m.d.sync += [
                held.eq(chosen),
                held.address.eq(self._offset(m, RegisterRequest(chosen))),
                valid.eq(self.i_nonposted.valid | self.i_posted.valid),
            ]
        with m.Elif(ready):
            m.d.sync += valid.eq(0)

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

    def _where(self, what) -> dict:
        """Groups the functions by ``what`` of them, so that those alike share their logic."""
        groups: dict = {}
        for number, function in enumerate(self._functions):
            for value in what(function):
                groups.setdefault(value, []).append(number)
        return groups

    @staticmethod
    def _among(request, bar: int, numbers: list[int]) -> Value:
        """The request is for that BAR of one of these functions."""
        return (request.bar == bar) & Cat(request.function == n for n in numbers).any()

    def _offset(self, m, request) -> Value:
        """The offset in the BAR: the address without the BAR's base."""
        groups = self._where(lambda function: [(bar.size, bar.index) for bar in function.bars])
        offset = Signal(32)
        smallest = min((size for size, _ in groups), default=8)
        m.d.comb += offset.eq(request.address & ((smallest - 1) & ~7))
        for (size, bar), numbers in groups.items():
            if size > smallest:
                with m.If(self._among(request, bar, numbers)):
                    m.d.comb += offset.eq(request.address & ((size - 1) & ~7))
        return offset

    def _msix(self, m, request) -> tuple[Value, Value, Value]:
        """Is this the table, the pending bits, and which word of them?"""
        in_table, in_pending, word = Signal(), Signal(), Signal(9)
        at = request.address[3:]
        groups = self._where(lambda function: [function.msix] if function.msix else [])
        for msix, numbers in groups.items():
            mine = Signal()
            m.d.comb += mine.eq(self._among(request, msix.bar, numbers))
            for hit, start, words in (
                (in_table, msix.table // 8, 2 * msix.vectors),
                (in_pending, msix.pba // 8, -(-msix.vectors // 64)),
            ):
                with m.If(mine & (at >= start) & (at < start + words)):
                    m.d.comb += [hit.eq(1), word.eq(at[:9] - start)]
        return in_table, in_pending, word

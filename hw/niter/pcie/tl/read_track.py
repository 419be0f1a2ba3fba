"""Outstanding reads meet their completions."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, Beat, PacketStream

from .header import CompletionHead, CompletionStatus, CompletionTail, swap_dwords
from .layouts import ErrorReport, FunctionStates, LinkState
from .read_store import PayloadWriter
from .read_table import OutstandingReads
from .slots import Done, Opening

__all__ = ["CompletionTracker"]


class CompletionTracker(wiring.Component):
    """Matches completions with requests, and has their payload stored.

    A completion counts with its last beat; one that ends with ``error`` is ignored. It must
    come with the Requester ID, traffic class and attributes of the request, the Byte Count
    and Lower Address that are due, and no more than what is left; it may end at a multiple of
    eight bytes, as it must by Read Completion Boundary, or with the request. Anything else is
    an unexpected completion and changes nothing (2.3.2). An unsuccessful one ends the request.
    Poisoned payload counts, but the slot fails. An answer to a function that may no longer
    send fails likewise.

    ``i`` is never stalled: one beat a cycle. A slot is marked done in the cycle after its
    last beat was taken; its data can be read one cycle later.

    Parameters
    ----------
    timeout, functions
        As for ``OutstandingReads``.

    Members
    -------
    i : In(PacketStream)
        Completions.
    open : In(stream of Opening)
        Requests about to be sent.
    stalled : In(1)
        A request waits for the link.
    lower_store, upper_store : In(memory.WritePort.Signature)
        Write ports of the buffer's halves; see ``PayloadWriter``.
    done_tag : In(5), done : Out(Done)
        Looks up a slot; combinational.
    finished : Out(1), finished_tag : Out(5)
        A slot is being answered: its ``done`` changes in the next cycle.
    error : Out(ErrorReport)
        What is to be reported.
    busy : Out(MAX_FUNCTIONS)
        Function has requests outstanding; falls a few hundred cycles late, never early.
    states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    def __init__(self, *, timeout: int, functions: int = MAX_FUNCTIONS):
        self._timeout = timeout
        self._functions = functions
        super().__init__(
            {
                "i": In(PacketStream),
                "open": In(stream.Signature(Opening)),
                "stalled": In(1),
                "lower_store": In(memory.WritePort.Signature(addr_width=9, shape=32)),
                "upper_store": In(memory.WritePort.Signature(addr_width=9, shape=33)),
                "done_tag": In(5),
                "done": Out(Done),
                "finished": Out(1),
                "finished_tag": Out(5),
                "error": Out(ErrorReport),
                "busy": Out(MAX_FUNCTIONS),
                "states": In(FunctionStates),
                "link": In(LinkState),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = OutstandingReads(
            timeout=self._timeout, functions=self._functions
        )
        m.submodules.writer = writer = PayloadWriter()
        connect(m, writer.lower_store, flipped(self.lower_store))
        connect(m, writer.upper_store, flipped(self.upper_store))
        connect(m, flipped(self.open), table.open)

        # Beats, delayed by one cycle; the header is taken apart on the way.
        m.d.comb += self.i.ready.eq(1)
        position = Signal(2)
        head = Signal(CompletionHead)
        tail = Signal(CompletionTail)
        entry = table.entry
        at_tail = Signal()
        late = Signal(Beat)
        late_valid = Signal()
        late_tail = Signal()
        with m.If(self.i.valid):
            m.d.sync += position.eq(
                Mux(self.i.payload.last, 0, Mux(position == 2, 2, position + 1))
            )
        with m.If(self.i.valid & (position == 0)):
            m.d.sync += head.eq(swap_dwords(self.i.payload.data))
        m.d.comb += at_tail.eq(self.i.valid & (position == 1))
        early_tail = CompletionTail(swap_dwords(self.i.payload.data[:32]))
        with m.If(at_tail):
            m.d.sync += tail.eq(early_tail)
        m.d.sync += [
            late.eq(self.i.payload),
            late_valid.eq(self.i.valid & (position != 0)),
            late_tail.eq(at_tail),
        ]

        # The verdict, which stands from the cycle after the third doubleword.
        ours, failed, fits, final, ended = (
            Signal(name=name) for name in ("ours", "failed", "fits", "final", "ended")
        )
        due, left, reach = Signal(8), Signal(11), Signal(5)
        length = head.common.length
        m.d.comb += [
            ours.eq(
                entry.valid
                & (tail.tag[5:] == 0)
                & (tail.requester.bus == self.link.bus)
                & (tail.requester.device == self.link.device)
                & (tail.requester.function == entry.function)
                & (head.common.traffic_class == 0)
                & (head.common.attributes == 0)
            ),
            failed.eq(head.status != CompletionStatus.SUCCESSFUL),
            due.eq((entry.dwords << 2) - entry.lower[:2] - entry.spare),
            left.eq(entry.dwords - length),
            reach.eq(entry.lower[2:] + length),
            final.eq(left == 0),
            fits.eq(
                ours
                & ~failed
                & head.common.fmt[1]
                & (length != 0)
                & ~left[10]
                & (final | ~reach[0])
                & (head.byte_count == due)
                & (tail.lower_address == entry.lower)
            ),
            ended.eq(late_valid & late.last),
        ]

        stored = Signal()
        with m.If(late_tail):
            m.d.sync += stored.eq(fits)
        m.d.comb += [
            writer.valid.eq(late_valid & Mux(late_tail, fits, stored)),
            writer.begins.eq(late_tail),
            writer.beat.eq(late),
            writer.tag.eq(tail.tag),
            writer.lower.eq(tail.lower_address),
        ]

        master = self.states[entry.function].master
        bad = entry.bad | head.common.poisoned
        ends_request = ours & failed
        progress, errors = table.progress, self.error.errors
        m.d.comb += [
            table.find.eq(at_tail),
            table.tag.eq(early_tail.tag),
            table.end.eq(ended),
            table.keep.eq(late.error | ~(fits | ends_request)),
            progress.entry.eq(entry),
            progress.entry.valid.eq(fits & ~final),
            progress.entry.dwords.eq(left),
            progress.entry.lower.eq(Cat(0, 0, reach)),
            progress.entry.bad.eq(bad),
            progress.done.eq(final | ends_request),
            progress.error.eq(ends_request | bad | ~master),
            table.stalled.eq(self.stalled),
            table.done_tag.eq(self.done_tag),
            table.states.eq(self.states),
            self.done.eq(table.done),
            self.finished.eq(table.finished),
            self.finished_tag.eq(table.finished_tag),
            self.busy.eq(table.busy),
            self.error.function.eq(entry.function),
        ]
        with m.If(ended & ~late.error):
            aborted = head.status == CompletionStatus.COMPLETER_ABORT
            m.d.comb += [
                errors.poisoned.eq(fits & head.common.poisoned),
                errors.data_parity.eq(fits & head.common.poisoned),
                errors.received_target_abort.eq(ends_request & aborted),
                errors.received_master_abort.eq(ends_request & ~aborted),
                errors.unexpected_completion.eq(~fits & ~ends_request),
                self.error.all.eq(~fits & ~ends_request & ~entry.valid),
            ]
        with m.Elif(table.expired):
            m.d.comb += errors.completion_timeout.eq(1)
        return m

"""The life of a command: one machine takes all commands through it, a step at a time."""

from amaranth import Mux
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import BlockCompletion, BlockRequest
from niter.nvme.command import Cancel, Cancelled, Completion

from .cancel import Canceller
from .check import Check
from .hand import Hand, StateTable
from .layouts import (
    PAGE_BITS,
    TAG_BITS,
    Command,
    Fetched,
    Job,
    Kind,
    LookupPort,
    Mark,
    StoreFirst,
    StorePage,
)
from .request import Request
from .status import STATUS, Verdict
from .steps import Steps
from .tags import TagQueue

__all__ = ["Control"]


class Control(wiring.Component):
    """Takes each command from its entry to its completion.

    ::

        entry ── namespace, bounds ──┬── list, range ──┬── request ··· its end ──┬── completion
                                     └─────────────────┘         └── next one ───┘

    What is known of a command stands in RAM, by tag, and is in registers only while the command
    has a step to take. Steps are: an entry (about 14 cycles), the end of a request (5), the end
    of a fetch and the next request of a command that needs several (12 to 20). Completions and
    acknowledgements of the block port go first, and never wait for a request to be accepted.

    Write Zeroes, Verify and Dataset Management have no limit but that of their fields, and
    become as many requests as they need, one after the other; Flush of all namespaces is one
    for each.

    Parameters
    ----------
    tags
        Commands at a time, a power of two up to 64.
    namespaces
        Of a function.

    Members
    -------
    enable : Out(1)
        An entry may be begun: there is a tag for it, and no cancel.
    begun : In(1)
        One has been.
    command : In(stream.Signature(Command))
        Entries, decoded.
    completion : Out(stream.Signature(Completion))
        To the front.
    cancel, cancelled : In(stream.Signature(Cancel)), Out(stream.Signature(Cancelled))
        From and to the front.
    request, ended, abort, aborted
        ``request``, ``completion``, ``abort`` and ``aborted`` of the block port.
    lookup : Out(LookupPort)
        Namespace table.
    job, fetched : Out(stream.Signature(Job)), In(stream.Signature(Fetched))
        Lists and ranges to fetch, and how that ended.
    fetching : In(1)
        There is a job, or its end has not been taken.
    first, page, hold, held
        Table of pages, see ``Places``; ``held`` is its ``idle``.
    mark : In(stream.Signature(Mark))
        What comparisons have shown.
    victim : Out(TAG_BITS)
        A command that is being cancelled.
    moving : In(1)
        Data of the victim may still move.
    """

    def __init__(self, tags: int, namespaces: int):
        self.tags = tags
        self.namespaces = namespaces
        super().__init__(
            {
                "enable": Out(1),
                "begun": In(1),
                "command": In(stream.Signature(Command)),
                "completion": Out(stream.Signature(Completion)),
                "cancel": In(stream.Signature(Cancel)),
                "cancelled": Out(stream.Signature(Cancelled)),
                "request": Out(stream.Signature(BlockRequest)),
                "ended": In(stream.Signature(BlockCompletion)),
                "abort": Out(stream.Signature(8)),
                "aborted": In(stream.Signature(8)),
                "lookup": Out(LookupPort),
                "job": Out(stream.Signature(Job)),
                "fetched": In(stream.Signature(Fetched)),
                "fetching": In(1),
                "first": Out(StoreFirst),
                "page": Out(StorePage),
                "hold": Out(1),
                "held": In(1),
                "mark": In(stream.Signature(Mark)),
                "victim": Out(TAG_BITS),
                "moving": In(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.free = free = TagQueue(self.tags)
        m.submodules.again = again = TagQueue(self.tags)
        m.submodules.check = check = Check()
        m.submodules.request = request = Request()
        m.submodules.verdict = verdict = Verdict(self.tags)
        m.submodules.canceller = canceller = Canceller(self.tags)
        m.submodules.states = states = StateTable(self.tags)
        connect(m, request.o, flipped(self.request))
        connect(m, flipped(self.mark), verdict.mark)
        connect(m, flipped(self.cancel), canceller.cancel)
        connect(m, canceller.cancelled, flipped(self.cancelled))
        connect(m, canceller.abort, flipped(self.abort))
        connect(m, flipped(self.aborted), canceller.aborted)

        hand = Hand(m, states)
        tag, state, loaded = hand.tag, hand.state, hand.loaded
        ident, kind = state.ident, state.ident.kind
        command, record = self.command.payload, self.lookup.record
        steps = Steps(m, self, hand, free, again, check, request, verdict, canceller)
        m.d.comb += [
            check.kind.eq(kind),
            check.first.eq(hand.first),
            check.blocks.eq(hand.blocks),
            check.ranges.eq(hand.final),
            check.broadcast.eq(ident.broadcast),
            check.prp1.eq(command.prp1),
            check.prp2.eq(command.prp2),
            check.record.eq(record),
            request.tag.eq(tag),
            request.kind.eq(kind),
            request.fua.eq(ident.fua),
            request.volume.eq(hand.volume),
            request.large.eq(hand.large),
            request.first.eq(hand.first),
            request.blocks.eq(hand.blocks),
            request.parts.eq(~check.moves & (kind != Kind.FLUSH)),
            verdict.tag.eq(tag),
            verdict.kind.eq(loaded.ident.kind),
            free.i.eq(tag),
            again.i.eq(tag),
            canceller.state.eq(state),
            canceller.begun.eq(self.begun),
            self.victim.eq(canceller.tag),
            self.enable.eq(free.valid & ~canceller.active & ~self.cancel.valid),
            self.job.payload.tag.eq(tag),
            self.job.payload.function.eq(ident.function),
            self.job.payload.number.eq(hand.number),
            self.job.payload.address.eq(command.prp2),
            self.job.payload.entries.eq(check.entries),
            self.lookup.function.eq(ident.function),
            self.lookup.index.eq(Mux(ident.broadcast, hand.number, ident.index)),
            self.first.tag.eq(tag),
            self.page.tag.eq(tag),
            self.page.data.eq(command.prp2[PAGE_BITS:]),
            self.completion.payload.function.eq(ident.function),
            self.completion.payload.queue.eq(ident.queue),
            self.completion.payload.cid.eq(ident.cid),
        ]
        with m.Switch(steps.outcome):
            for value, code in STATUS.items():
                with m.Case(value):
                    m.d.comb += self.completion.payload.status.eq(code)
        steps.build()
        return m

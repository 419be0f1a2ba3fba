"""The life of a command: one machine takes all commands through it, a step at a time."""

from typing import Any

from amaranth import C, Cat, Mux, Signal, Value
from amaranth.hdl import Module
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import BlockCompletion, BlockOpcode, BlockRequest, BlockStatus
from niter.nvme.command import Cancel, Cancelled, Completion
from niter.ram import Ram

from .cancel import Canceller
from .check import Check
from .layouts import (
    PAGE_BITS,
    TAG_BITS,
    Command,
    Fetched,
    Job,
    Kind,
    LookupPort,
    LowHalf,
    Mark,
    Outcome,
    State,
    StoreFirst,
    StorePage,
)
from .status import STATUS, Verdict
from .tags import TagQueue

__all__ = ["CHUNK", "Control"]

#: Blocks of one request of a command without data, which may be longer than a request.
CHUNK = 4096

_OPCODES = {
    Kind.FLUSH: BlockOpcode.FLUSH,
    Kind.WRITE: BlockOpcode.WRITE,
    Kind.READ: BlockOpcode.READ,
    Kind.COMPARE: BlockOpcode.READ,
    Kind.WRITE_ZEROES: BlockOpcode.WRITE_ZEROES,
    Kind.DATASET: BlockOpcode.DISCARD,
    Kind.VERIFY: BlockOpcode.VERIFY,
}


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
        m.submodules.verdict = verdict = Verdict()
        m.submodules.canceller = canceller = Canceller(self.tags)
        m.submodules.states = states = Ram(shape=36, depth=8 * self.tags, init=[])
        m.submodules.marks = marks = memory.Memory(shape=Outcome, depth=self.tags, init=[])
        load, store = states.read_port(), states.write_port()
        mark, set_mark = marks.read_port(domain="comb"), marks.write_port()
        for name in ("cancel", "cancelled", "abort", "aborted"):
            outside, inside = flipped(getattr(self, name)), getattr(canceller, name)
            if name in ("cancel", "aborted"):
                connect(m, outside, inside)
            else:
                connect(m, inside, outside)

        command, record = self.command.payload, self.lookup.record
        # The command in hand.
        tag, state = Signal(TAG_BITS), Signal(State)
        ident, kind = state.ident, state.ident.kind
        first, blocks = Signal(64), Signal(33)
        volume, large = Signal(4), Signal()
        # Ranges, or namespaces of a Flush of all: the one whose turn it is, and the last one.
        number, final = Signal(8), Signal(8)
        status, outcome = Signal(BlockStatus), Signal(Outcome)
        # It has no tag yet; it comes from the fetch.
        fresh, back = Signal(), Signal()
        step = Signal(3)
        parts, changes, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            moves.eq(check.moves),
            parts.eq(~moves & (kind != Kind.FLUSH)),
            changes.eq((kind == Kind.WRITE) | (kind == Kind.WRITE_ZEROES) | (kind == Kind.DATASET)),
        ]

        loaded = State(load.data)
        words = [
            Value.cast(state),
            first[:36],
            Cat(first[36:56], volume, large),
            blocks,
            Cat(number, final),
        ]
        m.d.comb += [
            load.addr.eq(Cat(step, tag)),
            store.addr.eq(Cat(step, tag)),
            check.kind.eq(kind),
            check.first.eq(first),
            check.blocks.eq(blocks),
            check.ranges.eq(final),
            check.prp1.eq(command.prp1),
            check.prp2.eq(command.prp2),
            check.record.eq(record),
            verdict.kind.eq(loaded.ident.kind),
            verdict.status.eq(status),
            mark.addr.eq(tag),
            verdict.mark.eq(mark.data),
            free.i.eq(tag),
            again.i.eq(tag),
            canceller.state.eq(loaded),
            canceller.begun.eq(self.begun),
            self.victim.eq(canceller.tag),
            self.enable.eq(free.valid & ~canceller.active & ~self.cancel.valid),
        ]
        self._marks(m, set_mark, tag, starting := Signal())

        def keep(**fields):
            """Write the tag's state, all of whose other fields are zero."""
            return [
                store.addr.eq(Cat(C(0, 3), tag)),
                store.data.eq(State.const(fields)),
                store.en.eq(1),
            ]

        # What an entry, or a range, ends with before there is a request.
        refusal = Signal(Outcome)
        skips = Signal()
        m.d.comb += skips.eq(
            Mux(ident.broadcast, ~record.active, (kind == Kind.DATASET) & ~fresh & (blocks == 0))
        )
        ranges = (kind == Kind.DATASET) & fresh
        with m.If(check.outside & (kind != Kind.FLUSH) & ~ranges):
            m.d.comb += refusal.eq(Outcome.OUT_OF_RANGE)
        with m.If(fresh & check.misaligned):
            m.d.comb += refusal.eq(Outcome.PRP_OFFSET)
        with m.If(moves & check.too_long):
            m.d.comb += refusal.eq(Outcome.INVALID_FIELD)
        with m.If(changes & record.read_only):
            m.d.comb += refusal.eq(Outcome.WRITE_PROTECTED)
        with m.If(~record.active):
            m.d.comb += refusal.eq(Outcome.INVALID_FIELD)

        m.d.comb += [
            self.job.payload.tag.eq(tag),
            self.job.payload.function.eq(ident.function),
            self.job.payload.range.eq(kind == Kind.DATASET),
            self.job.payload.number.eq(number),
            self.job.payload.address.eq(command.prp2),
            self.job.payload.entries.eq(check.entries),
            self.lookup.function.eq(ident.function),
            self.lookup.index.eq(Mux(ident.broadcast, number, ident.index)),
            self.first.tag.eq(tag),
            self.page.tag.eq(tag),
            self.page.data.eq(command.prp2[PAGE_BITS:]),
            self.completion.payload.function.eq(ident.function),
            self.completion.payload.queue.eq(ident.queue),
            self.completion.payload.cid.eq(ident.cid),
        ]
        with m.Switch(outcome):
            for value, code in STATUS.items():
                with m.Case(value):
                    m.d.comb += self.completion.payload.status.eq(code)
        low = Signal(LowHalf)
        m.d.comb += [
            low.address.eq(command.prp1[2:32]),
            low.function.eq(command.ident.function),
            low.compare.eq(command.ident.kind == Kind.COMPARE),
        ]

        big = Signal()
        count = Signal(17)
        request = self.request.payload
        m.d.comb += [big.eq(parts & (blocks > CHUNK)), count.eq(Mux(big, CHUNK, blocks))]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)

        with m.FSM():
            with m.State("RESET"):
                m.d.comb += [*keep(), free.push.eq(1)]
                m.d.sync += tag.eq(tag + 1)
                with m.If(tag == self.tags - 1):
                    m.next = "IDLE"

            with m.State("IDLE"):
                m.d.sync += [step.eq(0), fresh.eq(0), back.eq(0)]
                m.d.comb += canceller.calm.eq(~self.ended.valid)
                can_ask = ~self.request.valid
                with m.If(self.ended.valid):
                    m.d.comb += self.ended.ready.eq(1)
                    m.d.sync += [
                        tag.eq(self.ended.payload.tag),
                        status.eq(self.ended.payload.status),
                    ]
                    with m.If(~canceller.aborting | (self.ended.payload.tag != canceller.tag)):
                        m.next = "LOAD"
                with m.Elif(canceller.stopped & ~self.moving):
                    m.d.sync += tag.eq(canceller.tag)
                    m.next = "RELEASE"
                with m.Elif(self.fetched.valid & can_ask):
                    m.d.sync += [tag.eq(self.fetched.payload.tag), back.eq(1)]
                    m.next = "RESTORE"
                with m.Elif(canceller.active):
                    m.d.sync += tag.eq(canceller.tag)
                    with m.If(canceller.scans & can_ask & ~self.fetching):
                        m.next = "SCAN"
                with m.Elif(again.valid & can_ask & ~self.fetching):
                    m.d.comb += again.pop.eq(1)
                    m.d.sync += tag.eq(again.o)
                    m.next = "RESTORE"
                with m.Elif(self.command.valid & can_ask & ~self.fetching):
                    m.d.sync += [tag.eq(free.o), fresh.eq(1)]
                    m.next = "BEGIN"

            # An entry: what it says goes to where it is looked for later.
            with m.State("BEGIN"):
                m.d.comb += [starting.eq(1), self.first.en.eq(1), self.first.data.eq(low)]
                m.d.sync += [
                    state.eq(State.const({"busy": 1})),
                    ident.eq(command.ident),
                    first.eq(command.start),
                    blocks.eq(command.blocks),
                    number.eq(0),
                    final.eq(
                        Mux(
                            command.ident.broadcast,
                            self.namespaces - 1,
                            command.start[:8],
                        )
                    ),
                    outcome.eq(command.outcome),
                ]
                m.next = "LOOKUP"
                with m.If(command.outcome != Outcome.OK):
                    m.next = "REFUSE"
            with m.State("LOOKUP"):
                m.d.comb += self.lookup.start.eq(step == 0)
                m.d.sync += step.eq(1)
                with m.If(fresh & (step == 0)):
                    m.d.comb += [
                        self.first.en.eq(1),
                        self.first.half.eq(1),
                        self.first.data.eq(command.prp1[32:]),
                        self.page.en.eq(1),
                    ]
                with m.If(self.lookup.done):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.sync += [
                    volume.eq(record.volume),
                    large.eq(record.large),
                    outcome.eq(refusal),
                    step.eq(0),
                ]
                hint = (kind == Kind.DATASET) & fresh & ~first[34]
                fetches = ((kind == Kind.DATASET) & fresh) | (moves & (check.entries > 1))
                with m.If(skips):
                    m.d.comb += free.pop.eq(fresh)
                    m.next = "NEXT"
                with m.Elif((refusal != Outcome.OK) | hint):
                    m.next = "END"
                    with m.If(fresh):
                        m.next = "REFUSE"
                with m.Else():
                    m.d.comb += free.pop.eq(fresh)
                    m.next = "ISSUE"
                    with m.If(fetches):
                        m.next = "JOB"
            with m.State("REFUSE"):
                m.d.comb += self.command.ready.eq(1)
                m.next = "FINISH"

            with m.State("JOB"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.d.comb += self.command.ready.eq(fresh)
                    m.next = "SAVE"
            with m.State("ISSUE"):
                m.d.comb += self.command.ready.eq(fresh)
                m.d.sync += [
                    self.request.valid.eq(1),
                    request.tag.eq(tag),
                    request.volume.eq(volume),
                    request.fua.eq(ident.fua & (kind == Kind.WRITE)),
                    request.lba.eq(Mux(large, first << 3, first)),
                    request.sectors.eq(Mux(large, count << 3, count)),
                    first[12:].eq(first[12:] + 1),
                    blocks.eq(Mux(big, blocks - CHUNK, 0)),
                    state.waiting.eq(0),
                    state.more.eq(
                        big | (((kind == Kind.DATASET) | ident.broadcast) & (number != final))
                    ),
                ]
                with m.Switch(kind):
                    for value, opcode in _OPCODES.items():
                        with m.Case(value):
                            m.d.sync += request.opcode.eq(opcode)
                m.next = "SAVE"
            with m.State("SAVE"):
                m.d.comb += store.en.eq(1)
                m.d.sync += step.eq(step + 1)
                with m.Switch(step):
                    for at, word in enumerate(words):
                        with m.Case(at):
                            m.d.comb += store.data.eq(word)
                with m.If(step == len(words) - 1):
                    m.next = "IDLE"

            # The end of a request.
            with m.State("LOAD"):
                m.next = "LOADED"
            with m.State("LOADED"):
                m.d.sync += [state.eq(loaded), outcome.eq(verdict.outcome)]
                m.next = "ENDED"
            with m.State("ENDED"):
                m.next = "END"
                with m.If(state.more & (outcome == Outcome.OK)):
                    m.d.comb += [
                        store.en.eq(1),
                        store.data.eq(Value.cast(state) | State.const({"waiting": 1}).as_bits()),
                        again.push.eq(1),
                    ]
                    m.next = "IDLE"
            with m.State("END"):
                m.d.comb += [*keep(), free.push.eq(1)]
                m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += self.completion.valid.eq(1)
                with m.If(self.completion.ready):
                    m.next = "IDLE"

            # A list or a range is there, or it is time for the next request.
            with m.State("RESTORE"):
                m.d.sync += step.eq(step + 1)
                with m.Switch(step):
                    for at, word in enumerate(words, 1):
                        with m.Case(at):
                            m.d.sync += word.eq(load.data)
                with m.If(step == len(words)):
                    m.d.sync += step.eq(0)
                    m.next = "RESUME"
            with m.State("RESUME"):
                m.d.comb += self.fetched.ready.eq(back)
                m.d.sync += outcome.eq(self.fetched.payload.outcome)
                m.next = "ISSUE"
                with m.If(back):
                    with m.If(kind == Kind.DATASET):
                        m.d.sync += [
                            first.eq(self.fetched.payload.start),
                            blocks.eq(self.fetched.payload.blocks),
                        ]
                        m.next = "LOOKUP"
                    with m.If(self.fetched.payload.outcome != Outcome.OK):
                        m.next = "END"
                with m.Elif(~state.busy):
                    m.next = "RELEASE"
                with m.Elif((kind == Kind.FLUSH) | ((kind == Kind.DATASET) & (blocks == 0))):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += self.command.ready.eq(fresh)
                m.d.sync += [number.eq(number + 1), fresh.eq(0), outcome.eq(Outcome.OK)]
                with m.If(number == final):
                    m.next = "END"
                with m.Elif(ident.broadcast):
                    m.next = "LOOKUP"
                with m.Else():
                    m.next = "JOB"

            # A cancel.
            with m.State("SCAN"):
                m.next = "MATCH"
            with m.State("MATCH"):
                m.next = "IDLE"
                with m.If(~canceller.match):
                    m.d.comb += canceller.following.eq(1)
                with m.Elif(loaded.waiting):
                    # Its tag is released when its turn comes.
                    m.d.comb += [*keep(waiting=1), canceller.found.eq(1)]
                    m.d.comb += canceller.following.eq(1)
                with m.Else():
                    m.next = "KILL"
            with m.State("KILL"):
                m.d.comb += [
                    self.hold.eq(1),
                    self.first.en.eq(self.held),
                    self.first.data.eq(LowHalf.const({"dead": 1})),
                ]
                with m.If(self.held):
                    m.d.comb += [canceller.kill.eq(1), canceller.found.eq(1)]
                    m.next = "IDLE"
            with m.State("RELEASE"):
                m.d.comb += [*keep(), free.push.eq(1), canceller.following.eq(canceller.stopped)]
                m.next = "IDLE"
        return m

    def _marks(self, m: Module, write: Any, tag: Signal, clear: Signal):
        """Let comparisons set marks; a new command has none."""
        m.d.comb += [
            write.addr.eq(Mux(clear, tag, self.mark.payload.tag)),
            write.data.eq(Mux(clear, Outcome.OK, self.mark.payload.outcome)),
            write.en.eq(clear | self.mark.valid),
            self.mark.ready.eq(~clear),
        ]

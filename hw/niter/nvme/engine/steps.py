"""The steps of a command: the states of the control machine."""

from dataclasses import dataclass
from typing import Any

from amaranth import Module, Mux, Signal, Value

from niter.interface import BlockStatus

from .cancel import Canceller
from .check import Check
from .hand import Hand
from .layouts import Kind, LowHalf, Outcome, State
from .request import CHUNK, CHUNK_BITS, Request
from .status import Verdict
from .tags import TagQueue

__all__ = ["Steps"]


@dataclass
class Steps:
    """What the machine's states work on, and the states, a method for each way through them.

    Every way begins in IDLE and comes back to it.

    Parameters
    ----------
    m
        The machine's module.
    port
        The ``Control`` that it is.
    hand
        The command in hand.
    free, again, check, request, verdict, canceller
        Its submodules.
    """

    m: Module
    port: Any
    hand: Hand
    free: TagQueue
    again: TagQueue
    check: Check
    request: Request
    verdict: Verdict
    canceller: Canceller

    def __post_init__(self):
        #: How the request of the command in hand has ended.
        self.status = Signal(BlockStatus)
        #: How the command ends.
        self.outcome = Signal(Outcome)
        #: It has no tag yet.
        self.fresh = Signal()
        #: It comes from the fetch.
        self.back = Signal()
        self.dataset = Signal()
        kind = self.hand.state.ident.kind
        self.m.d.comb += [
            self.dataset.eq(kind == Kind.DATASET),
            self.check.fresh.eq(self.fresh),
            self.verdict.status.eq(self.status),
            self.port.job.payload.range.eq(self.dataset),
        ]

    def build(self) -> None:
        """Make the machine."""
        with self.m.FSM():
            self._idle()
            self._entry()
            self._ask()
            self._end()
            self._resume()
            self._cancel()

    def _idle(self):
        """What comes next. Completions never wait for a request to be accepted."""
        m, port, hand = self.m, self.port, self.hand
        canceller, request, entry = self.canceller, self.request, port.command
        # Commands of many requests and new entries take turns.
        yields = Signal()
        with m.State("RESET"):
            m.d.comb += self.free.push.eq(1)
            hand.keep(0)
            m.d.sync += hand.tag.eq(hand.tag + 1)
            with m.If(hand.tag == port.tags - 1):
                m.next = "IDLE"

        with m.State("IDLE"):
            m.d.sync += [hand.step.eq(0), self.fresh.eq(0), self.back.eq(0)]
            m.d.comb += canceller.calm.eq(~port.ended.valid)
            can_ask = ~request.o.valid
            with m.If(port.ended.valid):
                m.d.comb += port.ended.ready.eq(1)
                m.d.sync += [
                    hand.tag.eq(port.ended.payload.tag),
                    self.status.eq(port.ended.payload.status),
                ]
                with m.If(~canceller.aborting | (port.ended.payload.tag != canceller.tag)):
                    m.next = "LOAD"
            with m.Elif(canceller.stopped & ~port.moving):
                m.d.sync += hand.tag.eq(canceller.tag)
                m.next = "RELEASE"
            with m.Elif(port.fetched.valid & can_ask):
                m.d.sync += [hand.tag.eq(port.fetched.payload.tag), self.back.eq(1)]
                m.next = "RESTORE"
            with m.Elif(canceller.active):
                m.d.sync += hand.tag.eq(canceller.tag)
                with m.If(canceller.scans & can_ask & ~port.fetching):
                    m.next = "SCAN"
            with m.Elif(self.again.valid & can_ask & ~port.fetching & ~(yields & entry.valid)):
                m.d.comb += self.again.pop.eq(1)
                m.d.sync += [hand.tag.eq(self.again.o), yields.eq(1)]
                m.next = "RESTORE"
            with m.Elif(entry.valid & can_ask & ~port.fetching):
                m.d.sync += [hand.tag.eq(self.free.o), self.fresh.eq(1), yields.eq(0)]
                m.next = "BEGIN"

    def _entry(self):
        """An entry: what it says goes to where it is looked for later."""
        m, port, hand = self.m, self.port, self.hand
        check, state = self.check, hand.state
        command, record = port.command.payload, port.lookup.record
        low = Signal(LowHalf)
        m.d.comb += [
            low.address.eq(command.prp1[2:32]),
            low.function.eq(command.ident.function),
            low.compare.eq(command.ident.kind == Kind.COMPARE),
        ]
        with m.State("BEGIN"):
            m.d.comb += [self.verdict.clear.eq(1), port.first.en.eq(1), port.first.data.eq(low)]
            m.d.sync += [
                state.eq(State.const({"busy": 1})),
                state.ident.eq(command.ident),
                hand.first.eq(command.start),
                hand.blocks.eq(command.blocks),
                hand.number.eq(0),
                hand.final.eq(Mux(command.ident.broadcast, port.namespaces - 1, command.start[:8])),
                self.outcome.eq(command.outcome),
            ]
            m.next = "LOOKUP"
            with m.If(command.outcome != Outcome.OK):
                m.next = "REFUSE"
        with m.State("LOOKUP"):
            m.d.comb += port.lookup.start.eq(hand.step == 0)
            m.d.sync += hand.step.eq(1)
            with m.If(self.fresh & (hand.step == 0)):
                m.d.comb += [
                    port.first.en.eq(1),
                    port.first.half.eq(1),
                    port.first.data.eq(command.prp1[32:]),
                    port.page.en.eq(1),
                ]
            with m.If(port.lookup.done):
                m.next = "DECIDE"
        with m.State("DECIDE"):
            m.d.sync += [
                hand.volume.eq(record.volume),
                hand.large.eq(record.large),
                self.outcome.eq(check.refusal),
                hand.step.eq(0),
            ]
            hint = self.dataset & self.fresh & ~hand.first[34]
            fetches = (self.dataset & self.fresh) | (check.moves & (check.entries > 1))
            with m.If(check.skips):
                m.d.comb += self.free.pop.eq(self.fresh)
                m.next = "NEXT"
            with m.Elif((check.refusal != Outcome.OK) | hint):
                m.next = "END"
                with m.If(self.fresh):
                    m.next = "REFUSE"
            with m.Else():
                m.d.comb += self.free.pop.eq(self.fresh)
                m.next = "ISSUE"
                with m.If(fetches):
                    m.next = "JOB"
        with m.State("REFUSE"):
            m.d.comb += port.command.ready.eq(1)
            m.next = "FINISH"

    def _ask(self):
        """To fetch something, or to make a request; and to keep all that is known."""
        m, port, hand = self.m, self.port, self.hand
        state, request = hand.state, self.request
        # Write Zeroes with FUA is followed by a flush.
        flushes = (state.ident.kind == Kind.WRITE_ZEROES) & state.ident.fua
        turns = (self.dataset | state.ident.broadcast) & (hand.number != hand.final)
        with m.State("JOB"):
            m.d.comb += port.job.valid.eq(1)
            with m.If(port.job.ready):
                m.d.comb += port.command.ready.eq(self.fresh)
                m.next = "SAVE"
        with m.State("ISSUE"):
            m.d.comb += port.command.ready.eq(self.fresh)
            m.d.comb += request.make.eq(1)
            m.d.sync += [
                hand.first[CHUNK_BITS:].eq(hand.first[CHUNK_BITS:] + 1),
                hand.blocks.eq(Mux(request.big, hand.blocks - CHUNK, 0)),
                state.waiting.eq(0),
                state.more.eq(request.big | flushes | turns),
            ]
            m.next = "SAVE"
        with m.State("SAVE"), m.If(hand.save()):
            m.next = "IDLE"

    def _end(self):
        """The end of a request, and of a command."""
        m, port, hand = self.m, self.port, self.hand
        state = hand.state
        with m.State("LOAD"):
            m.next = "LOADED"
        with m.State("LOADED"):
            m.d.sync += [state.eq(hand.loaded), self.outcome.eq(self.verdict.outcome)]
            m.next = "ENDED"
        with m.State("ENDED"):
            m.next = "END"
            with m.If(state.more & (self.outcome == Outcome.OK)):
                hand.keep(Value.cast(state) | State.const({"waiting": 1}).as_bits())
                m.d.comb += self.again.push.eq(1)
                m.next = "IDLE"
        with m.State("END"):
            m.d.comb += self.free.push.eq(1)
            hand.keep(0)
            m.next = "FINISH"
        with m.State("FINISH"):
            m.d.comb += port.completion.valid.eq(1)
            with m.If(port.completion.ready):
                m.next = "IDLE"

    def _resume(self):
        """A list or a range is there, or it is time for the next request."""
        m, port, hand = self.m, self.port, self.hand
        state, kind = hand.state, hand.state.ident.kind
        with m.State("RESTORE"), m.If(hand.restore()):
            m.d.sync += hand.step.eq(0)
            m.next = "RESUME"
        with m.State("RESUME"):
            m.d.comb += port.fetched.ready.eq(self.back)
            m.d.sync += self.outcome.eq(port.fetched.payload.outcome)
            m.next = "ISSUE"
            with m.If(self.back):
                with m.If(self.dataset):
                    m.d.sync += [
                        hand.first.eq(port.fetched.payload.start),
                        hand.blocks.eq(port.fetched.payload.blocks),
                    ]
                    m.next = "LOOKUP"
                with m.If(port.fetched.payload.outcome != Outcome.OK):
                    m.next = "END"
            with m.Elif(~state.busy):
                m.next = "RELEASE"
            with m.Elif((kind == Kind.FLUSH) | (self.dataset & (hand.blocks == 0))):
                m.next = "NEXT"
            with m.Elif((kind == Kind.WRITE_ZEROES) & (hand.blocks == 0)):
                m.d.sync += kind.eq(Kind.FLUSH)
        with m.State("NEXT"):
            m.d.comb += port.command.ready.eq(self.fresh)
            m.d.sync += [
                hand.number.eq(hand.number + 1),
                self.fresh.eq(0),
                self.outcome.eq(Outcome.OK),
            ]
            with m.If(hand.number == hand.final):
                m.next = "END"
            with m.Elif(state.ident.broadcast):
                m.next = "LOOKUP"
            with m.Else():
                m.next = "JOB"

    def _cancel(self):
        """A cancel looks at a tag, or has done with it."""
        m, port, hand = self.m, self.port, self.hand
        canceller, state = self.canceller, hand.state
        with m.State("SCAN"):
            m.next = "SCANNED"
        with m.State("SCANNED"):
            m.d.sync += state.eq(hand.loaded)
            m.next = "MATCH"
        with m.State("MATCH"):
            m.next = "IDLE"
            with m.If(~canceller.match):
                m.d.comb += canceller.following.eq(1)
            with m.Elif(state.waiting):
                # Its tag is released when its turn comes.
                hand.keep(State.const({"waiting": 1}))
                m.d.comb += [canceller.found.eq(1), canceller.following.eq(1)]
            with m.Else():
                m.next = "KILL"
        with m.State("KILL"):
            m.d.comb += [
                port.hold.eq(1),
                port.first.en.eq(port.held),
                port.first.data.eq(LowHalf.const({"dead": 1})),
            ]
            with m.If(port.held):
                m.d.comb += [canceller.kill.eq(1), canceller.found.eq(1)]
                m.next = "IDLE"
        with m.State("RELEASE"):
            m.d.comb += [self.free.push.eq(1), canceller.following.eq(canceller.stopped)]
            hand.keep(0)
            m.next = "IDLE"

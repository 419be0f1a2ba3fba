"""Proofs about tags: none is used again while a completion or a time-out of it may still come.

Two halves, each of which assumes what the other one proves. ``OutstandingReads`` shows a tag's
use as done exactly once, when it was completed or has waited for too long, and knows nothing of
it any more from then on, if a tag is not opened again before that. Requester and mover do not
open it again before that, whatever is shown and when.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.pcie.tl.read_answer import AnswerMover
from niter.pcie.tl.read_request import ReadRequester
from niter.pcie.tl.read_table import OutstandingReads
from niter.pcie.tl.slots import SLOTS, SlotMap
from tests.formal.harness import follow_stream, prove


class Table(Elaboratable):
    """``OutstandingReads`` with any requests and completions under two tags, one of them watched.

    They are those that the round through all tags comes to while the solver looks. What the
    table only keeps for others (doublewords, addresses) is zero.
    """

    TIMEOUT = 3
    TAGS = 0b0010

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = OutstandingReads(timeout=self.TIMEOUT, functions=1)
        tag = Cat(AnyConst(1), Const(self.TAGS, 4))
        opening, progress = dut.open.p, dut.progress
        follow_stream(m, dut.open, rule=Assume)
        m.d.comb += [
            dut.open.valid.eq(AnySeq(1)),
            opening.tag.eq(Cat(AnySeq(1), Const(self.TAGS, 4))),
            opening.phase.eq(AnySeq(1)),
            opening.void.eq(AnySeq(1)),
            dut.find.eq(AnySeq(1)),
            dut.tag.eq(Cat(AnySeq(1), Const(self.TAGS, 4))),
            dut.end.eq(AnySeq(1)),
            dut.keep.eq(AnySeq(1)),
            progress.entry.eq(dut.entry),
            progress.entry.valid.eq(AnySeq(1)),
            progress.done.eq(~progress.entry.valid),
            dut.stalled.eq(AnySeq(1)),
            dut.states.eq(0),
            dut.done_tag.eq(tag),
        ]

        # The memories are being cleared: the link is down, and nothing comes.
        clearing = Signal(range(SLOTS + 2))
        cleared = clearing == SLOTS + 1
        with m.If(~cleared):
            m.d.sync += clearing.eq(clearing + 1)
        m.d.comb += Assume(cleared | ~(dut.find | dut.end | dut.open.valid))

        # A completion begins, and ends later, before the next one has come to its tag; it
        # changes its row as the tracker does.
        inside, current = Signal(), Signal(5)
        with m.If(dut.find):
            m.d.sync += [inside.eq(1), current.eq(dut.tag)]
        with m.Elif(dut.end):
            m.d.sync += inside.eq(0)
        m.d.comb += [
            Assume(~dut.find | ~inside),
            Assume(~dut.end | inside),
            Assume(dut.entry.valid | dut.keep),
        ]

        # A use of the tag, until it shows as done.
        phase, pending = Signal(), Signal()
        opened = dut.open.valid & dut.open.ready & (opening.tag == tag)
        mine = dut.open.valid & (opening.tag == tag)
        shown = dut.done.phase == phase
        m.d.comb += Assume(~mine | (~pending & (opening.phase != phase)))
        age = Signal(3)
        m.d.sync += age.eq(Mux(age.all(), age, age + 1))
        with m.If(opened):
            m.d.sync += [phase.eq(opening.phase), pending.eq(1), age.eq(0)]
        with m.Elif(shown):
            m.d.sync += pending.eq(0)

        # It shows as done because of its last completion, or of its time, or as nothing was
        # sent; and only while it is pending.
        completes = dut.end & (current == tag) & ~dut.keep & progress.done
        ended, expired, void = Signal(), Signal(), Signal()
        m.d.sync += [ended.eq(completes), expired.eq(dut.expired), void.eq(opened & opening.void)]
        before = Signal()
        m.d.sync += before.eq(dut.done.phase)
        with m.If(cleared & (before != dut.done.phase)):
            m.d.comb += Assert(pending & (ended | void | (expired & (age >= self.TIMEOUT))))
        # What comes after that finds no row, and no later use of the tag is taken for it.
        found = Signal()
        m.d.sync += found.eq(dut.find & (dut.tag == tag) & ~opened)
        with m.If(found & ~opened):
            m.d.comb += Assert(~dut.entry.valid | pending)
        m.d.comb += Assert(~completes | pending)
        return m


class _Few(SlotMap):
    """A port with a ring of two slots, one of which may be in use."""

    def __init__(self):
        self.sizes, self.bases = (2,), [0]


class Ring(Elaboratable):
    """Requester and mover, with slots that show as done at any time.

    Commands have one piece or two; where they read does not matter here.
    """

    def elaborate(self, platform):
        m = Module()
        slots = _Few()
        m.submodules.requester = requester = ReadRequester(slots)
        m.submodules.mover = mover = AnswerMover(slots)
        for command in requester.command:
            follow_stream(m, command, rule=Assume)
            m.d.comb += [
                command.valid.eq(AnySeq(1)),
                command.p.length.eq(Mux(AnySeq(1), 1, 129)),
            ]
        for answer in mover.answer:
            m.d.comb += answer.ready.eq(AnySeq(1))
        m.d.comb += [
            requester.open.ready.eq(AnySeq(1)),
            requester.o.ready.eq(AnySeq(1)),
            requester.order.eq(0),
            requester.states[0].master.eq(AnySeq(1)),
            mover.info.beats.eq(AnySeq(1)),
            mover.info.first.eq(AnySeq(1)),
            mover.info.last.eq(AnySeq(1)),
            mover.info.ahead.eq(AnySeq(1)),
        ]
        for mine, theirs in zip(requester.freed, mover.freed, strict=True):
            m.d.comb += mine.eq(theirs)

        # What is shown of each slot, and whether its use is still pending.
        tags = sum(slots.sizes)
        shown, pending = Signal(tags), Signal(tags)
        opening = requester.open.p
        opened = requester.open.valid & requester.open.ready
        m.d.comb += [
            mover.done.phase.eq(shown.bit_select(mover.done_tag[:1], 1)),
            mover.done.error.eq(AnySeq(1)),
        ]
        for tag in range(tags):
            ends = AnySeq(1)
            with m.If(opened & (opening.tag == tag)):
                m.d.sync += pending[tag].eq(1)
                m.d.comb += Assert(opening.phase != shown[tag])
            with m.Elif(pending[tag] & ends):
                m.d.sync += [pending[tag].eq(0), shown[tag].eq(~shown[tag])]
        m.d.comb += [
            Assert(~requester.open.valid | ~pending.bit_select(opening.tag[:1], 1)),
            Assert(~requester.open.valid | (opening.tag < tags)),
        ]
        return m


def test_a_use_of_a_tag_ends_once_and_for_all():
    prove(Table(), depth=SLOTS + 14)


def test_a_tag_is_not_opened_while_it_is_pending():
    prove(Ring(), depth=28)

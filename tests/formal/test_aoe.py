"""Proofs of the AoE initiator's tags: what a slot knows of its copies, and answers of old ones."""

from amaranth import Const, Module, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable
from amaranth.lib import data

from niter.storage.aoe.copies import answered, begun, counted, is_fresh, may_linger, sent
from tests.formal.harness import prove


class Kind(data.Struct):
    """What counts of ``SlotKind``, with fewer bits."""

    lost: 1
    copies: 3


class Copies(data.Struct):
    """``SlotCopies``, with fewer bits."""

    generation: 6
    outstanding: 3


class Slot(Elaboratable):
    """A slot that is used again and again, and a network that answers any copy at any time.

    One transmission is watched, whichever. It is of the present frame or of an earlier one, and
    it was answered or not; the specification keeps that by itself.
    """

    def elaborate(self, platform):
        m = Module()
        kind, copies = Kind(Signal(Kind)), Copies(Signal(Copies))
        transmits, answers, begins = AnySeq(1), AnySeq(1), AnySeq(1)
        m.d.comb += Assume(transmits + answers + begins <= 1)
        # Counted as far as the proof looks.
        number, watched = Signal(4), AnyConst(4)
        was_sent, present, open_ = Signal(), Signal(), Signal()
        first = AnyConst(len(copies.generation))
        started = Signal()
        m.d.sync += started.eq(1)
        with m.If(~started):
            # Wherever generations are, also where they wrap.
            m.d.sync += copies.generation.eq(first)
        generation = AnySeq(len(copies.generation))
        age = Signal(len(copies.generation))
        fresh = Signal()
        named = Signal()
        mine = Signal(len(copies.generation))
        m.d.comb += [
            age.eq(counted(copies, Const(0), Const(1), generation)),
            fresh.eq(is_fresh(kind, age)),
            mine.eq(first + watched + 1),
            named.eq(was_sent & (generation == mine)),
        ]
        with m.If(started & begins):
            # A frame makes room when none of its copies may linger.
            m.d.comb += Assume(~may_linger(kind, copies))
            m.d.sync += [*begun(kind, copies), present.eq(0)]
        with m.If(started & transmits):
            m.d.sync += [*sent(kind, copies), copies.generation.eq(copies.generation + 1)]
            m.d.sync += number.eq(number + 1)
            with m.If(number == watched):
                m.d.sync += [was_sent.eq(1), present.eq(1), open_.eq(1)]
        with m.If(started & answers):
            # The network answers what was sent, now or before.
            m.d.comb += Assume(age < number)
            with m.If(fresh):
                m.d.sync += answered(m, copies, age)
            with m.If(named):
                m.d.sync += open_.eq(0)
                # Of an earlier frame, it is not taken for an answer to this one.
                m.d.comb += Assert(present | ~fresh)
        # While it is not answered, the slot knows that a copy is under way.
        with m.If(present & open_):
            m.d.comb += Assert(may_linger(kind, copies))
        return m


#: Cycles: a frame's first copy, more than are known one by one, answers, and another frame.
DEPTH = 10


def test_a_slot_is_not_used_again_while_a_copy_is_open():
    prove(Slot(), depth=DEPTH)

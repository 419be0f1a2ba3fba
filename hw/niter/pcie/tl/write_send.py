"""Planned writes become memory write requests."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Beat, PacketStream
from niter.stream import SkidBuffer

from .choice import register_one_of
from .header import Identifier, RequestHead, TlpFormat, TlpType, swap_dwords
from .lanes import LaneShifter
from .layouts import LinkState
from .write_cut import WritePlan

__all__ = ["WriteSender"]


class _Step(data.Struct):
    """One beat on its way through the pipeline."""

    valid: 1
    head: 1
    tail: 1
    last: 1
    empty: 1
    rotate: 3
    final: 1
    function: 3


class _Sent(data.Struct):
    """One beat that is made, and what it is of."""

    packet: Beat
    final: 1
    function: 3


class WriteSender(wiring.Component):
    """Puts a header before each piece of payload, and the payload to its lanes.

    Beats of one TLP follow each other without a gap, and TLPs too when they are six beats or
    longer: the next one is planned meanwhile. The pipeline is seven stages long.

    Members
    -------
    i : In(stream of WritePlan)
        TLPs; accepted when the one before it needs its header no more.
    base : In(10)
        What is before here in the ring belongs to what is planned already.
    word_addr : Out(9), word_en : Out(1), word : In(64)
        Read port of the ring; one cycle later.
    freed : Out(10)
        What is before here in the ring is not needed any more.
    drained : Out(1)
        Nothing is under way.
    retired : Out(1)
        Strobe: the last TLP of a memory write has been taken.
    o : Out(PacketStream)
        Memory write requests.
    asked : In(range(MAX_FUNCTIONS)), holds : Out(1)
        Whether a TLP of function ``asked`` is here; combinational.
    link : In(LinkState)
        See there.
    """

    i: In(stream.Signature(WritePlan))
    base: In(10)
    word_addr: Out(9)
    word_en: Out(1)
    word: In(64)
    freed: Out(10)
    drained: Out(1)
    retired: Out(1)
    o: Out(PacketStream)
    asked: In(range(MAX_FUNCTIONS))
    holds: Out(1)
    link: In(LinkState)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        ready = Signal()

        # One beat a cycle. Words are read from the first one that the payload needs, one
        # beat early if the first beat of payload is made of two.
        steps = [Signal(_Step, name=f"step_{stage}") for stage in range(6)]
        active = Signal()
        run = Signal(_Step)
        short_run = Signal()
        ahead = Signal()
        step = steps[0]
        left = Signal(7)
        odd = Signal()
        word = Signal(9)
        final = Signal()
        ending = Signal()
        begin = Signal()
        #: The plan at hand has begun; its header is still to be taken over.
        begun = Signal()
        plan = self.i.payload
        m.d.comb += [
            step.eq(run),
            step.valid.eq(active),
            final.eq(active & (left == 1)),
            step.last.eq(final),
            step.empty.eq(final & odd),
            ending.eq(ready & final),
            begin.eq(self.i.valid & ~begun & ready & (~active | final)),
            self.word_addr.eq(word),
            self.word_en.eq(ready),
        ]
        with m.If(ready & active):
            m.d.sync += [left.eq(left - 1), run.head.eq(0), run.tail.eq(run.head)]
            with m.If(Mux(step.head, short_run & ahead, ~step.tail | short_run | ahead)):
                m.d.sync += word.eq(word + 1)
        with m.If(ending):
            m.d.sync += active.eq(0)
        with m.If(self.drained | (ending & step.final)):
            m.d.sync += self.freed.eq(self.base)
        with m.If(begin):
            m.d.sync += [
                active.eq(1),
                begun.eq(1),
                short_run.eq(plan.short),
                ahead.eq(plan.ahead),
                left.eq((plan.dwords + 5 - plan.short) >> 1),
                odd.eq(plan.dwords[0] ^ plan.short),
                word.eq(plan.word),
                self.freed.eq(plan.word),
                run.head.eq(1),
                run.tail.eq(0),
                run.rotate.eq(plan.rotate),
                run.final.eq(plan.final),
                run.function.eq(plan.function),
            ]

        # The header of the beats that leave the shifter.
        m.submodules.shifter = shifter = LaneShifter()
        header = Signal(WritePlan)
        head = Signal(RequestHead)
        single = Signal()
        with m.If(ready & steps[3].valid & steps[3].head):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [header.eq(plan), begun.eq(0)]
        m.d.comb += [
            shifter.enable.eq(ready),
            shifter.i.eq(self.word),
            shifter.rotate.eq(steps[1].rotate),
            single.eq(header.dwords == 1),
            head.common.length.eq(header.dwords),
            head.common.type.eq(TlpType.MEMORY),
            head.common.fmt.eq(Mux(header.short, TlpFormat.THREE_DATA, TlpFormat.FOUR_DATA)),
            head.first_enables.eq(
                Mux(single, header.first_enables & header.last_enables, header.first_enables)
            ),
            head.last_enables.eq(Mux(single, 0, header.last_enables)),
            Identifier(head.requester).function.eq(header.function),
            Identifier(head.requester).device.eq(self.link.device),
            Identifier(head.requester).bus.eq(self.link.bus),
        ]
        low = swap_dwords(Cat(0, 0, header.place[:30]))
        high = swap_dwords(header.place[30:])
        leaving, out = steps[4], steps[5]
        short_tail = leaving.tail & header.short
        long_tail = leaving.tail & ~header.short
        lower = register_one_of(
            m,
            "lower",
            ready,
            (
                (leaving.head, swap_dwords(head)[:32]),
                (short_tail, low),
                (long_tail, high),
                (~leaving.head & ~leaving.tail, shifter.o[:32]),
            ),
        )
        upper = register_one_of(
            m,
            "upper",
            ready,
            (
                (leaving.head, swap_dwords(head)[32:]),
                (long_tail, low),
                (~leaving.head & ~long_tail, shifter.o[32:]),
            ),
        )
        with m.If(ready):
            for stage, after in pairwise(steps):
                m.d.sync += after.eq(stage)

        # From the link through all stages is too far for one cycle.
        m.submodules.edge = edge = SkidBuffer(_Sent)
        made, sent = edge.i.payload, edge.o.payload
        here = [
            *((stage.valid, stage.function) for stage in steps),
            (edge.holds, edge.held.function),
            (edge.o.valid, sent.function),
        ]
        m.d.comb += [
            ready.eq(~out.valid | edge.i.ready),
            edge.i.valid.eq(out.valid),
            made.packet.data.eq(Cat(lower, upper)),
            made.packet.last.eq(out.last),
            made.packet.empty.eq(Cat(0, 0, out.empty)),
            made.final.eq(out.final),
            made.function.eq(out.function),
            self.o.valid.eq(edge.o.valid),
            self.o.payload.eq(sent.packet),
            edge.o.ready.eq(self.o.ready),
            self.drained.eq(~Cat(self.i.valid, (valid for valid, _ in here)).any()),
            self.retired.eq(self.o.valid & self.o.ready & sent.packet.last & sent.final),
            self.holds.eq(Cat(valid & (of == self.asked) for valid, of in here).any()),
        ]
        return m

"""Answered slots become answers."""

from itertools import pairwise

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import ReadBeat
from niter.stream import SkidBuffer

from .count import increment
from .lanes import LaneShifter
from .slots import Done, SlotInfo, SlotMap

__all__ = ["AnswerMover"]

#: Words of a slot.
_WORDS = 16


class _Step(data.Struct):
    """What becomes of the word that is read: a beat of an answer, if ``valid``."""

    valid: 1
    port: 2
    rotate: 3
    beat: ReadBeat


class AnswerMover(wiring.Component):
    """Delivers each port's slots in order, as one packet for each command.

    While one slot is being delivered the next one is looked for, port by port, so that a
    port whose completions are late does not hold up another. Slots of one command need not
    follow each other at once: the last word of the slot before, part of which is still to
    be delivered, is read again. A slot takes one cycle more than its beats, two when its
    first beat is made of two words.

    A command of which a slot failed ends with a beat of one byte that says ``error``; what
    else it still has coming is swallowed.

    Parameters
    ----------
    slots : SlotMap
        The ports' shares of the buffer.

    Members
    -------
    done_tag : Out(5), done : In(Done)
        Whether a slot is answered; combinational.
    finished : In(1), finished_tag : In(5)
        A slot is being answered, which can be seen in the next cycle.
    info_tag : Out(5), info : In(SlotInfo)
        How it is to be delivered; one cycle later.
    word_addr : Out(9), word_en : Out(1), word : In(64), swapped : In(1)
        The buffer, and whether the halves of the word are the wrong way round; one cycle later.
    freed : Out, array
        Pointer of each port's ring: slots before it are free again.
    answer : array of Out(stream of ReadBeat)
        Answers of each port.
    """

    def __init__(self, slots: SlotMap):
        self._slots = slots
        ports = len(slots.sizes)
        super().__init__(
            {
                "done_tag": Out(5),
                "done": In(Done),
                "finished": In(1),
                "finished_tag": In(5),
                "info_tag": Out(5),
                "info": In(SlotInfo),
                "word_addr": Out(9),
                "word_en": Out(1),
                "word": In(64),
                "swapped": In(1),
                "freed": Out(6).array(ports),
                "answer": Out(stream.Signature(ReadBeat)).array(ports),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        slots = self._slots
        ports = len(slots.sizes)
        ready = Signal()
        take = Signal()

        # Look for the next slot that is answered.
        looks = [Signal(slots.pointer_bits(p), name=f"looks_{p}") for p in range(ports)]
        look = Signal(range(ports))
        hit = Signal()
        full = Signal()
        next_port = Signal(range(ports))
        next_tag = Signal(5)
        next_error = Signal()
        next_info = Signal(SlotInfo)
        tags = Array(slots.tag(p, pointer) for p, pointer in enumerate(looks))
        phases = Array(slots.phase(p, pointer) for p, pointer in enumerate(looks))
        m.d.comb += [self.done_tag.eq(tags[look]), self.info_tag.eq(tags[look])]
        # Ports looked at in vain since a slot was answered or found; after all of them it rests.
        in_vain = Signal(range(ports + 1))
        with m.If(~hit & (~full | take)):
            m.d.sync += full.eq(0)
            with m.If(in_vain != ports):
                m.d.sync += [
                    look.eq(Mux(look == ports - 1, 0, look + 1)),
                    next_port.eq(look),
                    next_tag.eq(tags[look]),
                    next_error.eq(self.done.error),
                    in_vain.eq(in_vain + 1),
                ]
                with m.If(self.done.phase == phases[look]):
                    m.d.sync += [hit.eq(1), in_vain.eq(0)]
                    with m.Switch(look):
                        for p, pointer in enumerate(looks):
                            with m.Case(p):
                                m.d.sync += pointer.eq(increment(pointer))
        with m.If(hit):
            m.d.sync += [hit.eq(0), full.eq(1), next_info.eq(self.info)]
        with m.If(self.finished):
            m.d.sync += in_vain.eq(0)
            # Straight to what has just come, since nothing else may be due.
            with m.If(in_vain == ports):
                m.d.sync += look.eq(slots.port(self.finished_tag))

        # One step a cycle: read a word, and say what becomes of it.
        failed = Signal(ports)
        port = Signal(range(ports))
        info = Signal(SlotInfo)
        before = Signal(5)
        address = Signal(9)
        left = Signal(5)
        prime = Signal()
        active = Signal()
        bad = Signal()
        end = Signal()
        again = Signal()
        m.d.comb += [
            again.eq(prime & ~info.first),
            end.eq(ready & active & ~prime & (left <= 1)),
            take.eq(full & (~active | end)),
            self.word_en.eq(ready),
            self.word_addr.eq(Mux(again, Cat(Const(_WORDS - 1, 4), before), address)),
        ]
        freed = [Signal(slots.pointer_bits(p), name=f"freed_{p}") for p in range(ports)]
        m.d.comb += [out.eq(pointer) for out, pointer in zip(self.freed, freed, strict=True)]
        with m.If(end):
            m.d.sync += active.eq(0)
            with m.Switch(port):
                for p, pointer in enumerate(freed):
                    with m.Case(p):
                        m.d.sync += pointer.eq(increment(pointer))
        with m.If(ready & active):
            m.d.sync += [address.eq(increment(address, ~again)), prime.eq(0)]
            with m.If(~prime):
                m.d.sync += left.eq(left - 1)
        with m.If(take):
            refused = Signal()
            previous = Array(slots.before(p, next_tag) for p in range(ports))
            m.d.comb += refused.eq(next_error | failed.bit_select(next_port, 1))
            m.d.sync += [
                active.eq(1),
                port.eq(next_port),
                info.eq(next_info),
                bad.eq(refused),
                before.eq(previous[next_port]),
                address.eq(Cat(next_info.start, next_tag)),
                prime.eq(next_info.ahead & ~refused),
                left.eq(Mux(refused, next_info.last, next_info.beats)),
                failed.bit_select(next_port, 1).eq(refused & ~next_info.last),
            ]

        # The steps accompany their words through the shifter.
        m.submodules.shifter = shifter = LaneShifter()
        # Whether the port takes its beat is not known before a cycle has passed.
        m.submodules.edge = edge = SkidBuffer(_Step)
        steps = [Signal(_Step, name=f"step_{stage}") for stage in range(5)]
        final = Signal()
        m.d.comb += [
            steps[0].valid.eq(active & ~prime & (left != 0)),
            steps[0].port.eq(port),
            steps[0].rotate.eq(info.rotate),
            steps[0].beat.context.eq(info.context),
            final.eq(info.last & (left == 1)),
            steps[0].beat.packet.last.eq(final),
            shifter.enable.eq(ready),
            shifter.i.eq(self.word),
            shifter.swapped.eq(self.swapped),
            shifter.rotate.eq(steps[1].rotate),
        ]
        with m.If(final):
            m.d.comb += [
                steps[0].beat.packet.error.eq(bad),
                steps[0].beat.packet.empty.eq(Mux(bad, 7, info.empty)),
            ]
        with m.If(ready):
            for step, following in pairwise(steps):
                m.d.sync += following.eq(step)
        m.d.comb += [
            edge.i.valid.eq(steps[-1].valid),
            edge.i.payload.eq(steps[-1]),
            edge.i.payload.beat.packet.data.eq(shifter.o),
            ready.eq(edge.i.ready),
        ]

        out = edge.o.payload
        for p, answer in enumerate(self.answer):
            m.d.comb += [
                answer.payload.eq(out.beat),
                answer.valid.eq(edge.o.valid & (out.port == p)),
            ]
            with m.If(out.port == p):
                m.d.comb += edge.o.ready.eq(answer.ready)
        return m

"""Sorts what comes back from host memory."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import ReadBeat
from niter.stream import Ram

from .fetcher import MAX_READS
from .geometry import Geometry
from .line import Line
from .messages import Answer, AnswerKind, Context
from .standing import HEADS
from .used import MAX_EVENTS

__all__ = ["Answers"]


class Answers(wiring.Component):
    """Sends descriptors to the walker, stores heads, and notes the rest.

    Nothing here waits for anything but the walker, who never waits: heads have their place
    and small answers a FIFO that holds all reads that may be on their way. A beat of four
    heads takes four cycles.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    i : In(stream.Signature(ReadBeat))
        The ring port's answers.
    descriptors : Out(stream.Signature(ReadBeat))
    fetcher, used : Out(stream.Signature(Answer))
        ``INDEX`` and ``HEADS``; ``EVENT``.
    head_at : In(11), head : Out(16)
        Look-up in the head buffer, one cycle later: place (4 bits) and row.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "i": In(stream.Signature(ReadBeat)),
                "descriptors": Out(stream.Signature(ReadBeat)),
                "fetcher": Out(stream.Signature(Answer)),
                "used": Out(stream.Signature(Answer)),
                "head_at": In(11),
                "head": Out(16),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.heads = heads = Ram(shape=16, depth=HEADS * g.rows, init=[])
        store, load = heads.write_port(), heads.read_port()
        m.submodules.notes = notes = Line(Answer, MAX_READS + MAX_EVENTS + 1)

        context = Context(self.i.p.context)
        beat = self.i.p.packet
        lane = Signal(2)
        arrived = Signal(4)
        note = notes.i
        m.d.comb += [
            load.addr.eq(self.head_at),
            self.head.eq(load.data),
            store.addr.eq(Cat((context.extra + arrived)[:4], context.row)),
            store.data.eq(beat.data.word_select(lane, 16)),
            self.descriptors.p.eq(self.i.p),
            note.kind.eq(context.kind),
            note.row.eq(context.row),
            note.error.eq(beat.error & beat.last),
            note.value.eq(beat.data[:16]),
        ]
        ready = Signal()
        m.d.comb += self.i.ready.eq(ready)
        with m.If(self.i.valid), m.Switch(context.kind):
            with m.Case(AnswerKind.DESCRIPTORS):
                m.d.comb += [
                    self.descriptors.valid.eq(1),
                    ready.eq(self.descriptors.ready),
                ]
            with m.Case(AnswerKind.HEADS):
                end = Mux(beat.last, 3 - beat.empty[1:], 3)
                m.d.comb += [
                    store.en.eq(1),
                    ready.eq(lane == end),
                    note.value.eq(arrived + 1),
                    notes.put.eq((lane == end) & beat.last),
                ]
                m.d.sync += [lane.eq(lane + 1), arrived.eq(arrived + 1)]
                with m.If(lane == end):
                    m.d.sync += lane.eq(0)
                    with m.If(beat.last):
                        m.d.sync += arrived.eq(0)
            with m.Default():
                m.d.comb += [ready.eq(1), notes.put.eq(beat.last)]

        out = notes.o
        is_event = out.p.kind == AnswerKind.EVENT
        m.d.comb += [
            self.fetcher.p.eq(out.p),
            self.used.p.eq(out.p),
            self.fetcher.valid.eq(out.valid & ~is_event),
            self.used.valid.eq(out.valid & is_event),
            out.ready.eq(Mux(is_event, self.used.ready, self.fetcher.ready)),
        ]
        return m

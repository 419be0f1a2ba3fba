"""Gives chains back: the used rings and the interrupts."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream
from niter.stream import Ram

from .geometry import (
    Access,
    AccessKind,
    Answer,
    AnswerKind,
    Context,
    Control,
    ControlKind,
    Geometry,
)
from .layouts import RingArea, Used

__all__ = ["MAX_EVENTS", "MAX_RUN", "UsedWriter", "beyond", "moved"]

#: Most used entries that are written at once.
MAX_RUN = 16

#: Reads of used event indices that may be on their way.
MAX_EVENTS = 8


class Row(data.Struct):
    """What is known of a queue.

    Members
    -------
    index : 16 bits
        Entries written, ever.
    visible : 16 bits
        How far the driver may look: all but a group that is not complete.
    told : 16 bits
        The used index up to which the driver needs no further interrupt.
    reading : 1 bit
        The event index is being read.
    again : 1 bit
        The used index has moved meanwhile.
    enabled, interrupt, vector, event_idx, size_log2
        As configured.
    """

    index: 16
    visible: 16
    told: 16
    reading: 1
    again: 1
    enabled: 1
    interrupt: 1
    vector: 8
    event_idx: 1
    size_log2: 4


def moved(told: Value, visible: Value) -> Value:
    """How far the used index has moved since it was last considered."""
    return (visible - told)[:16]


def beyond(event: Value, visible: Value) -> Value:
    """How many entries stand behind the one that the driver waits for.

    An interrupt is due when that is less than what ``moved`` says (virtio 1.2, 2.7.7.2): the
    driver waits for one of the entries since.
    """
    return (visible + ~event)[:16]


class UsedWriter(wiring.Component):
    """Writes used entries, the used index behind them, and interrupts if they are wanted.

    Entries of one queue that are in hand at the same time and adjacent in the ring are
    written at once, with one index and one look at what the driver wants: its used event
    index, or its flags where EVENT_IDX was not negotiated (virtio 1.2, 2.7.7). That is read
    after the index was written, at most once at a time for a queue; what is used meanwhile
    is covered by the next reading. About 20 cycles for a chain alone, 3 more for each that
    comes with it.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    control : In(stream.Signature(Control))
    idle : Out(1), returned : Out(10)
        Of the row told last, when ``control`` was accepted: nothing of it is under way;
        chains that the device has given back.
    i : In(stream.Signature(Used))
    answer : In(stream.Signature(Answer))
        ``EVENT``.
    run : Out(PacketStream), access : Out(stream.Signature(Access))
        To ``RingPort``.
    stopped : In(8)
        Functions that are faulty.
    fault : Out(1), fault_function : Out(3)
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "control": In(stream.Signature(Control)),
                "idle": Out(1),
                "returned": Out(10),
                "i": In(stream.Signature(Used)),
                "answer": In(stream.Signature(Answer)),
                "run": Out(PacketStream),
                "access": Out(stream.Signature(Access)),
                "stopped": In(8),
                "fault": Out(1),
                "fault_function": Out(3),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.rows = rows = Ram(shape=Row, depth=self.geometry.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        q = Signal(7)
        row = Signal(Row)
        told = Signal(Control)
        answer = Signal(Answer)
        is_told, is_answer = Signal(), Signal()
        reads = Signal(range(MAX_EVENTS + 1))
        length = Signal(range(MAX_RUN + 1))
        more = Signal()
        start = Signal(10)
        mask = Signal(10)
        span, distance = Signal(16), Signal(16)
        active = row.enabled & ~self.stopped.bit_select(q[4:7], 1)
        access = self.access.p
        context = Signal(Context)
        entry = Signal(64)
        last = Signal()
        same = self.i.valid & (Cat(self.i.p.queue) == q)
        m.d.comb += [
            load.addr.eq(q),
            store.addr.eq(q),
            store.data.eq(row),
            mask.eq((1 << row.size_log2) - 1),
            context.kind.eq(AnswerKind.EVENT),
            context.place.eq(q),
            access.place.eq(q),
            access.function.eq(q >> 4),
            self.fault_function.eq(q >> 4),
            self.run.p.data.eq(entry),
            self.run.p.last.eq(last),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [is_told.eq(0), is_answer.eq(0), length.eq(0)]
                with m.If(self.control.valid):
                    m.d.sync += [is_told.eq(1), told.eq(self.control.p)]
                    m.d.sync += q.eq(self.control.p.row)
                    m.next = "LOAD"
                with m.Elif(self.answer.valid):
                    m.d.comb += self.answer.ready.eq(1)
                    m.d.sync += [is_answer.eq(1), answer.eq(self.answer.p)]
                    m.d.sync += [q.eq(self.answer.p.row), reads.eq(reads - 1)]
                    m.next = "LOAD"
                with m.Elif(self.i.valid & (reads != MAX_EVENTS)):
                    m.d.sync += q.eq(self.i.p.queue)
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += row.eq(load.data)
                m.next = "ENTRY"
                with m.If(is_told):
                    m.next = "CONTROL"
                with m.Elif(is_answer):
                    m.next = "DIFFERENCE"
            with m.State("CONTROL"):
                m.d.comb += self.control.ready.eq(1)
                m.d.sync += [
                    self.idle.eq(~row.reading),
                    self.returned.eq(row.index),
                    row.enabled.eq(0),
                ]
                with m.If(told.kind != ControlKind.STOP):
                    m.d.sync += row.eq(0)
                with m.If(told.kind == ControlKind.START):
                    m.d.sync += [
                        row.enabled.eq(1),
                        row.interrupt.eq(told.interrupt),
                        row.vector.eq(told.vector),
                        row.event_idx.eq(told.event_idx),
                        row.size_log2.eq(told.size_log2),
                    ]
                m.next = "STORE"

            with m.State("ENTRY"):
                # The first entry is in hand; later ones join if they are there in time.
                m.d.comb += self.i.ready.eq(same)
                m.d.sync += [
                    entry.eq(Cat(self.i.p.head, C(0, 16), self.i.p.length)),
                    more.eq(self.i.p.more),
                    row.index.eq(row.index + 1),
                    length.eq(length + 1),
                ]
                with m.If(length == 0):
                    m.d.sync += start.eq(row.index & mask)
                m.next = "LOOK"
                with m.If(~active):
                    m.next = "STORE"
            with m.State("LOOK"):
                m.d.sync += last.eq(~same | ((row.index & mask) == 0) | (length == MAX_RUN))
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.run.valid.eq(1)
                with m.If(self.run.ready):
                    m.next = "ENTRY"
                    with m.If(last):
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.WRITE),
                    access.area.eq(RingArea.DEVICE),
                    access.offset.eq(Cat(C(4, 3), start)),
                    access.length.eq(length << 3),
                    access.run.eq(1),
                ]
                with m.If(self.access.ready):
                    m.next = "INDEX"
                    with m.If(more):
                        m.next = "STORE"
            with m.State("INDEX"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.WRITE),
                    access.area.eq(RingArea.DEVICE),
                    access.offset.eq(2),
                    access.length.eq(2),
                    access.value.eq(row.index),
                ]
                with m.If(self.access.ready):
                    m.d.sync += row.visible.eq(row.index)
                    m.next = "STORE"
                    with m.If(row.reading):
                        m.d.sync += row.again.eq(1)
                    with m.Elif(row.interrupt):
                        m.next = "EVENT"
            with m.State("EVENT"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.READ),
                    access.area.eq(RingArea.DRIVER),
                    access.offset.eq(Mux(row.event_idx, 4 + ((mask + 1) << 1), 0)),
                    access.length.eq(2),
                    access.value.eq(context),
                ]
                with m.If(self.access.ready):
                    m.d.sync += [row.reading.eq(1), row.again.eq(0), reads.eq(reads + 1)]
                    m.next = "STORE"

            with m.State("DIFFERENCE"):
                m.d.sync += [
                    row.reading.eq(0),
                    span.eq(moved(row.told, row.visible)),
                    distance.eq(beyond(answer.value, row.visible)),
                ]
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.next = "STORE"
                with m.If(active):
                    wanted = Mux(row.event_idx, distance < span, ~answer.value[0] & (span != 0))
                    with m.If(answer.error):
                        m.d.comb += self.fault.eq(1)
                    with m.Elif(wanted):
                        m.d.sync += [row.told.eq(row.visible), row.again.eq(0)]
                        m.next = "INTERRUPT"
                    with m.Elif(row.again):
                        m.next = "EVENT"
                    with m.Else():
                        m.d.sync += row.told.eq(row.visible)
            with m.State("INTERRUPT"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.INTERRUPT),
                    access.value.eq(row.vector),
                ]
                with m.If(self.access.ready):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += store.en.eq(1)
                m.next = "IDLE"
        return m

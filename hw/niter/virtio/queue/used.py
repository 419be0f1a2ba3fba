"""Gives chains back: the used rings and the interrupts."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream
from niter.stream import Ram

from .geometry import Geometry, ring_mask
from .layouts import HEAD_BITS, Used
from .messages import Access, AccessKind, Answer, Area, ControlKind, Supervision
from .usage import Ring, Shown, beyond, moved

__all__ = ["MAX_EVENTS", "MAX_RUN", "UsedWriter"]

#: Most used entries that are written at once.
MAX_RUN = 16

#: Reads of used event indices that may be on their way.
MAX_EVENTS = 7

#: Width of the RAM's words; each of ``Ring`` and ``Shown`` is one.
_WORD_BITS = 36


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
    supervision : In(Supervision)
    returned : Out(10)
        Of the row told last, as ``idle``: chains that the device has given back.
    i : In(stream.Signature(Used))
    answer : In(stream.Signature(Answer))
        ``EVENT``.
    run : Out(PacketStream), access : Out(stream.Signature(Access))
        To ``RingPort``.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "supervision": In(Supervision),
                "returned": Out(10),
                "i": In(stream.Signature(Used)),
                "answer": In(stream.Signature(Answer)),
                "run": Out(PacketStream),
                "access": Out(stream.Signature(Access)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.rows = rows = Ram(shape=_WORD_BITS, depth=2 * self.geometry.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        control = self.supervision.control
        q, next_q = Signal(7), Signal(7)
        ring, shown = Signal(Ring), Signal(Shown)
        storing_shown = Signal()
        answer = Signal(Answer)
        is_told, is_answer = Signal(), Signal()
        reads = Signal(range(MAX_EVENTS + 1))
        length = Signal(range(MAX_RUN + 1))
        more = Signal()
        start = Signal(10)
        mask = ring_mask(m, ring.size_log2)
        size = Signal(11)
        span, distance = Signal(16), Signal(16)
        wanted = Signal()
        active = ring.enabled & ~self.supervision.stopped.bit_select(q[4:7], 1)
        access = self.access.p
        entry = Signal(64)
        last = Signal()
        same = self.i.valid & (Cat(self.i.p.queue) == q)
        m.d.comb += [
            store.addr.eq(Cat(storing_shown, q)),
            store.data.eq(Mux(storing_shown, shown.as_value(), ring.as_value())),
            size.eq(1 << ring.size_log2),
            access.of.area.eq(Area.DEVICE),
            access.value.eq(ring.index),
            Cat(access.of.index, access.of.function).eq(q),
            self.supervision.fault_function.eq(q >> 4),
            self.run.p.data.eq(entry),
            self.run.p.last.eq(last),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += load.addr.eq(Cat(C(0, 1), next_q))
                m.d.sync += [
                    q.eq(next_q),
                    is_told.eq(0),
                    is_answer.eq(0),
                    length.eq(0),
                    answer.eq(self.answer.p),
                ]
                m.next = "RING"
                with m.If(control.valid):
                    m.d.comb += next_q.eq(control.p.row)
                    m.d.sync += is_told.eq(1)
                with m.Elif(self.answer.valid):
                    m.d.comb += [self.answer.ready.eq(1), next_q.eq(self.answer.p.row)]
                    m.d.sync += [is_answer.eq(1), reads.eq(reads - 1)]
                with m.Elif(self.i.valid & (reads != MAX_EVENTS)):
                    m.d.comb += next_q.eq(self.i.p.queue)
                with m.Else():
                    m.next = "IDLE"
            with m.State("RING"):
                m.d.comb += load.addr.eq(Cat(C(1, 1), q))
                m.d.sync += ring.eq(load.data)
                m.next = "SHOWN"
            with m.State("SHOWN"):
                m.d.sync += shown.eq(load.data)
                m.next = "ENTRY"
                with m.If(is_told):
                    m.next = "CONTROL"
                with m.Elif(is_answer):
                    m.next = "DIFFERENCE"
            with m.State("CONTROL"):
                m.d.comb += control.ready.eq(1)
                m.d.sync += [
                    self.supervision.idle.eq(~ring.reading),
                    self.returned.eq(ring.index),
                    ring.enabled.eq(0),
                ]
                with m.If(control.p.kind != ControlKind.STOP):
                    m.d.sync += [
                        shown.eq(0),
                        ring.index.eq(0),
                        ring.reading.eq(0),
                        ring.again.eq(0),
                        ring.enabled.eq(control.p.kind == ControlKind.START),
                        ring.interrupt.eq(control.p.interrupt),
                        ring.vector.eq(control.p.vector),
                        ring.event_idx.eq(control.p.event_idx),
                        ring.size_log2.eq(control.p.size_log2),
                    ]
                m.next = "STORE SHOWN"

            with m.State("ENTRY"):
                # The first entry is in hand; later ones join if they are there in time.
                m.d.comb += self.i.ready.eq(same)
                m.d.sync += [
                    entry.eq(Cat(self.i.p.head, C(0, 32 - HEAD_BITS), self.i.p.length)),
                    more.eq(self.i.p.more),
                    ring.index.eq(ring.index + 1),
                    length.eq(length + 1),
                ]
                with m.If(length == 0):
                    m.d.sync += start.eq(ring.index & mask)
                m.next = "LOOK"
                # What was begun is written to its end, also if the function has failed meanwhile:
                # others wait for the end of the run.
                with m.If((length == 0) & ~active):
                    m.next = "STORE"
            with m.State("LOOK"):
                m.d.sync += last.eq(~same | ((ring.index & mask) == 0) | (length == MAX_RUN))
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
                    access.kind.eq(AccessKind.WRITE_RUN),
                    access.offset.eq(Cat(C(4, 3), start)),
                    access.length.eq(length << 3),
                ]
                with m.If(self.access.ready):
                    m.next = "INDEX"
                    with m.If(more):
                        m.next = "STORE"
            with m.State("INDEX"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.WRITE),
                    access.offset.eq(2),
                    access.length.eq(2),
                ]
                with m.If(self.access.ready):
                    m.d.sync += shown.visible.eq(ring.index)
                    m.next = "STORE SHOWN"
            with m.State("EVENT"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.READ_EVENT),
                    access.of.area.eq(Area.DRIVER),
                    # 4 + 2 * size: the sum has a carry for a ring of two only.
                    access.offset.eq(Mux(size[1], 8, Cat(C(0, 1), size | 2))),
                    access.length.eq(2),
                ]
                with m.If(~ring.event_idx):
                    m.d.comb += access.offset.eq(0)
                with m.If(self.access.ready):
                    m.d.sync += [ring.reading.eq(1), ring.again.eq(0), reads.eq(reads + 1)]
                    m.next = "STORE"

            with m.State("DIFFERENCE"):
                m.d.sync += [
                    ring.reading.eq(0),
                    span.eq(moved(shown.told, shown.visible)),
                    distance.eq(beyond(answer.value, shown.visible)),
                ]
                m.next = "COMPARE"
            with m.State("COMPARE"):
                suppressed = answer.value[0] | (span == 0)
                m.d.sync += wanted.eq(Mux(ring.event_idx, distance < span, ~suppressed))
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.next = "STORE"
                with m.If(active):
                    with m.If(answer.error):
                        m.d.comb += self.supervision.fault.eq(1)
                    with m.Elif(wanted):
                        m.d.sync += [shown.told.eq(shown.visible), ring.again.eq(0)]
                        m.next = "INTERRUPT"
                    with m.Elif(ring.again):
                        m.next = "EVENT"
                    with m.Else():
                        m.d.sync += shown.told.eq(shown.visible)
                        m.next = "STORE SHOWN"
            with m.State("INTERRUPT"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.INTERRUPT),
                    access.value.eq(ring.vector),
                ]
                with m.If(self.access.ready):
                    m.next = "STORE SHOWN"
            with m.State("STORE SHOWN"):
                m.d.comb += [storing_shown.eq(1), store.en.eq(1)]
                m.next = "STORE"
                # The used index has moved: what does the driver want?
                with m.If(~is_told & ~is_answer & ring.reading):
                    m.d.sync += ring.again.eq(1)
                with m.Elif(~is_told & ~is_answer & ring.interrupt):
                    m.next = "EVENT"
            with m.State("STORE"):
                m.d.comb += store.en.eq(1)
                m.next = "IDLE"
        return m

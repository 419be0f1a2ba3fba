"""Reads the available rings ahead and begins chains, queue by queue."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS
from niter.stream import Ram

from .agenda import Agenda, Event
from .events import Hand, event_states
from .geometry import Geometry, ring_mask
from .layouts import Notification
from .messages import (
    Access,
    AccessKind,
    Answer,
    AnswerKind,
    Area,
    Begin,
    Commit,
    Release,
    Supervision,
)
from .standing import Course, Judgement, Standing

__all__ = ["MAX_READS", "Fetcher"]

#: Reads that may be on their way.
MAX_READS = 8

#: Width of the RAM's words; each of ``Standing`` and ``Course`` is one.
_WORD_BITS = 36


class Fetcher(wiring.Component):
    """Knows how far each driver has come, fetches heads, and puts chains into slots.

    Events are taken one at a time, 6 to 17 cycles each. A queue that has something to do
    stands in a list, once; in its turn it may begin ``1 << weight`` chains, read entries and
    read the index.

    The index is read until it stands still; then the driver is asked to notify
    (``avail_event``, or the flags where EVENT_IDX was not negotiated) and the index is read
    once more: nothing that the driver adds is missed. A notification with an index saves a
    read.

    An index that is more than the ring's size ahead of what was fetched, a head beyond the
    ring, and a failed read are faults.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    supervision : In(Supervision)
    enabled : Out(1), given : Out(10)
        Of the row told last, as ``idle``: whether it was enabled before, and how many chains
        its device has got.
    answer : In(stream.Signature(Answer))
        ``INDEX`` and ``HEADS``.
    release : In(stream.Signature(Release))
        Slots that are free again.
    commit : In(stream.Signature(Commit))
        Chains at hand that are now the device's.
    notification : In(stream.Signature(Notification))
    begin : Out(stream.Signature(Begin)), slot : In(3)
        Chains for the slots, see ``Scanner``.
    access : Out(stream.Signature(Access))
    head_at : Out(11), head : In(16)
        Look-up in the head buffer, one cycle later.
    held : In(8)
        Functions of which no chain of a queue that can be held is to be begun; their turns pass.
    judged : Out(1), judged_row : Out(7), coming : Out(1)
        Whether chains of a row are on their way; told four cycles after each event of it.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "supervision": In(Supervision),
                "enabled": Out(1),
                "given": Out(10),
                "answer": In(stream.Signature(Answer)),
                "release": In(stream.Signature(Release)),
                "commit": In(stream.Signature(Commit)),
                "notification": In(stream.Signature(Notification)),
                "begin": Out(stream.Signature(Begin)),
                "slot": In(3),
                "access": Out(stream.Signature(Access)),
                "head_at": Out(11),
                "head": In(16),
                "held": In(MAX_FUNCTIONS),
                "judged": Out(1),
                "judged_row": Out(7),
                "coming": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.agenda = agenda = Agenda(self.geometry)
        m.submodules.judgement = may = Judgement()
        m.submodules.rows = rows = Ram(shape=_WORD_BITS, depth=2 * self.geometry.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        control = self.supervision.control
        for stream_name in ("answer", "release", "commit", "notification"):
            connect(m, flipped(getattr(self, stream_name)), getattr(agenda, stream_name))

        # The queue in hand. Of its two words, ``Standing`` is stored with every event,
        # ``Course`` by those that may have changed it.
        row = Signal(7)
        standing, course = Signal(Standing), Signal(Course)
        loaded = Course(load.data[: len(course.as_value())])
        storing_course = Signal()
        event, latest = agenda.event, agenda.latest
        active = Signal()
        reads = Signal(range(MAX_READS + 1))
        turn = Signal(4)
        m.d.comb += [
            may.standing.eq(standing),
            may.course.eq(course),
            agenda.told.eq(control.valid),
            agenda.told_row.eq(control.p.row),
            agenda.listed_row.eq(row),
            agenda.left.eq(turn),
            store.addr.eq(Cat(storing_course, row)),
            store.data.eq(Mux(storing_course, course.as_value(), standing.as_value())),
            active.eq(standing.enabled & ~self.supervision.stopped.bit_select(row[4:7], 1)),
            self.supervision.fault_function.eq(row >> 4),
            self.judged_row.eq(row),
            self.coming.eq(may.coming),
        ]

        ahead = Signal(16)
        batch = Signal.like(may.batch)
        reads_entries = Signal()

        # The ring's mask stands ready when the queue is in hand: checks with it are long enough.
        sized, size_log2 = Signal(), Signal.like(course.size_log2)
        m.d.comb += size_log2.eq(loaded.size_log2)
        fresh_mask = ring_mask(m, size_log2)
        with m.If(sized):
            m.d.sync += may.mask.eq(fresh_mask)

        # A chain is begun, or comes back to be begun anew.
        step = Signal(6)
        head, beyond = Signal(16), Signal()
        m.d.sync += [
            standing.begun.eq(standing.begun + step),
            head.eq(self.head),
            beyond.eq((self.head & ~may.mask) != 0),
        ]
        hand = Hand(agenda, may, standing, course, active, ahead, step, sized, size_log2)

        # What is asked of others; ``valid`` follows below.
        access, begin = self.access.p, self.begin.p
        m.d.comb += [
            access.kind.eq(AccessKind.READ_INDEX),
            access.of.area.eq(Area.DRIVER),
            Cat(access.of.index, access.of.function).eq(row),
            access.length.eq(2),
            access.offset.eq(2),
            access.value.eq(course.fetched),
            self.head_at.eq(Cat(standing.begun[:4], row)),
            begin.row.eq(row),
            begin.head.eq(head),
            begin.size_log2.eq(course.size_log2),
            begin.pulled.eq(course.pulled),
            begin.indirect.eq(course.indirect),
            begin.guess.eq(Mux(standing.grain > 2, 2, standing.grain[:2])),
            begin.first.eq(may.idle),
            begin.after.eq(standing.last),
        ]
        with m.If(course.indirect):
            m.d.comb += begin.guess.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [agenda.take.eq(1), load.addr.eq(Cat(C(0, 1), agenda.row))]
                m.d.sync += row.eq(agenda.row)
                with m.If(agenda.valid):
                    m.next = "STANDING"
                with m.If(self.answer.valid & self.answer.ready):
                    m.d.sync += reads.eq(reads - 1)
            with m.State("STANDING"):
                m.d.comb += load.addr.eq(Cat(C(1, 1), row))
                m.d.sync += standing.eq(load.data)
                m.next = "COURSE"
            with m.State("COURSE"):
                m.d.comb += sized.eq(1)
                m.d.sync += [
                    course.eq(loaded),
                    ahead.eq(latest.value - loaded.fetched),
                    turn.eq(Mux(agenda.turn != 0, agenda.turn, 1 << standing.weight)),
                ]
                with m.Switch(event):
                    with m.Case(Event.CONTROL):
                        m.next = "CONTROL"
                    with m.Case(Event.ANSWER):
                        m.next = "HEADS"
                        with m.If(latest.kind == AnswerKind.INDEX):
                            m.next = "INDEX"
                    with m.Case(Event.RELEASE, Event.COMMIT):
                        m.next = "PASS ON"
                    with m.Case(Event.NOTIFICATION):
                        m.next = "INDEX"
                        with m.If(~agenda.hinted):
                            m.d.sync += standing.again.eq(1)
                            m.next = "FINISH"
                            with m.If(active & ~standing.reading_index & (reads != MAX_READS)):
                                m.next = "READ INDEX"
                    with m.Default():
                        m.d.sync += standing.listed.eq(0)
                        m.next = "TURN"

            event_states(m, self, hand)

            # A turn: begin chains, read entries, and see whether there is more.
            held = Signal()
            held_now = self.held.bit_select(row[4:7], 1)
            if self.geometry.holdable is None:
                m.d.sync += held.eq(held_now)
            else:
                # By a chain that was begun ``held`` is set a cycle later, and then by each.
                m.d.sync += held.eq(held_now & self.geometry.holds(row))
                held_now = Signal(name="holdable")
                m.d.sync += held_now.eq(self.geometry.holds(row))
            # Known too late in a cycle for the choice of a state: `BEGIN` begins a chain or not.
            goes = Signal()
            begins = may.may_begin & self.begin.ready & (turn != 0) & ~held
            with m.State("TURN"):
                m.d.comb += [storing_course.eq(1), store.en.eq(1)]
                m.d.sync += [
                    batch.eq(may.batch),
                    reads_entries.eq(may.may_read & (reads != MAX_READS)),
                    goes.eq(begins),
                ]
                m.next = "FINISH"
                with m.If(active):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                # Two cycles ahead: `head` is a register behind the buffer's.
                m.d.comb += self.head_at[:4].eq(standing.begun[:4] + 1)
                with m.If(~goes):
                    m.next = "READ HEADS"
                with m.Elif(beyond):
                    m.d.comb += self.supervision.fault.eq(1)
                    m.next = "FINISH"
                with m.Else():
                    m.d.comb += [self.begin.valid.eq(1), step.eq(1)]
                    m.d.sync += [
                        standing.last.eq(self.slot),
                        turn.eq(turn - 1),
                    ]
                    m.next = "BEGUN"
            with m.State("BEGUN"):
                m.d.sync += goes.eq(begins & ~held_now)
                m.next = "BEGIN"
            with m.State("READ HEADS"):
                m.d.comb += [
                    access.kind.eq(AccessKind.READ_HEADS),
                    access.length.eq(batch << 1),
                    access.offset.eq(4 + ((course.fetched[:10] & may.mask) << 1)),
                    self.access.valid.eq(reads_entries),
                ]
                with m.If(~reads_entries):
                    m.next = "ASK"
                with m.Elif(self.access.ready):
                    m.d.sync += [standing.reading_heads.eq(1), reads.eq(reads + 1)]
                    m.next = "ASK"
            with m.State("ASK"):
                # Once all that is known of was asked for, see whether there is more.
                covered = Mux(standing.reading_heads, batch, 0)
                due = standing.again | (~standing.armed & (course.lag == covered))
                m.next = "FINISH"
                with m.If(active & due & ~standing.reading_index & (reads != MAX_READS)):
                    m.next = "READ INDEX"
            with m.State("READ INDEX"):
                m.d.comb += self.access.valid.eq(1)
                with m.If(self.access.ready):
                    m.d.sync += [
                        standing.reading_index.eq(1),
                        standing.again.eq(0),
                        reads.eq(reads + 1),
                    ]
                    m.next = "FINISH"

            listed, more, resumes = Signal(), Signal(), Signal()
            with m.State("FINISH"):
                # In the list is whoever can go on without another event.
                due = standing.again | (~standing.armed & may.caught_up)
                wanted = active & (may.may_begin | may.may_read | (~standing.reading_index & due))
                m.d.comb += self.judged.eq(1)
                m.d.sync += [
                    standing.flushing.eq(may.flushing),
                    standing.listed.eq(standing.listed | wanted),
                    listed.eq(wanted & ~standing.listed),
                    more.eq(may.may_begin),
                    resumes.eq((event == Event.TURN) & (turn != 0) & ~held & ~agenda.held),
                ]
                m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += [
                    store.en.eq(1),
                    agenda.hold.eq(listed & more & resumes),
                    agenda.list.eq(listed & ~agenda.hold),
                ]
                m.next = "IDLE"
        return m

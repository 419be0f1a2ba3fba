"""Reads the available rings ahead and begins chains, queue by queue."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram

from .geometry import (
    Access,
    AccessKind,
    Answer,
    AnswerKind,
    Begin,
    Commit,
    Context,
    Control,
    ControlKind,
    Geometry,
    Release,
)
from .layouts import Notification, RingArea

__all__ = ["HEADS", "HEADS_PER_READ", "MAX_READS", "Fetcher"]

#: Heads kept at hand for each queue.
HEADS = 16

#: Most heads that one read fetches; a read does not cross a multiple of it.
HEADS_PER_READ = 8

#: Reads that may be on their way.
MAX_READS = 8

#: VIRTQ_USED_F_NO_NOTIFY.
NO_NOTIFY = 1


class Row(data.Struct):
    """What is known of a queue. 72 bits: two block RAMs.

    Members
    -------
    seen : 16 bits
        The available index as last read.
    lag : 11 bits
        Entries up to there that have not arrived.
    heads : 4 bits
        Heads that have arrived and were not begun.
    inflight : 3 bits
        Chains in slots.
    cached : 6 bits
        Chains of a pulled queue that are at hand.
    given : 10 bits
        Chains given to the device for good, ever.
    grain : 3 bits
        Logarithm of the number of segments, of the last chain of a pushed queue, of the
        longest one of a pulled queue.
    last : 3 bits
        Slot of the chain begun last.
    enabled, pulled, event_idx, indirect, size_log2, weight
        As configured.
    reading_index, reading_heads : 1 bit
        A read is on its way.
    armed : 1 bit
        The driver was told to notify.
    again : 1 bit
        The index is to be read again, whatever the read under way finds.
    flushing : 1 bit
        Chains come back from the slots; begin none.
    listed : 1 bit
        It stands in the list.
    """

    seen: 16
    lag: 11
    heads: 4
    inflight: 3
    cached: 6
    given: 10
    grain: 3
    last: 3
    enabled: 1
    pulled: 1
    event_idx: 1
    indirect: 1
    size_log2: 4
    weight: 2
    reading_index: 1
    reading_heads: 1
    armed: 1
    again: 1
    flushing: 1
    listed: 1


class Event(enum.Enum, shape=3):
    """What the fetcher is busy with."""

    CONTROL = 0
    ANSWER = 1
    RELEASE = 2
    COMMIT = 3
    NOTIFICATION = 4
    TURN = 5


class Fetcher(wiring.Component):
    """Knows how far each driver has come, fetches heads, and puts chains into slots.

    Events are taken one at a time, 4 to 20 cycles each. A queue that has something to do
    stands in a list, once; in its turn it may read entries, read the index and begin
    ``1 << weight`` chains.

    The index is read until it stands still; then the driver is asked to notify
    (``avail_event``, or the flags where EVENT_IDX was not negotiated) and the index is read
    once more: nothing that the driver adds is missed. A notification with an index saves a
    read.

    An index that is more than the ring's size ahead, a head beyond the ring, and a failed
    read are faults.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    control : In(stream.Signature(Control))
    enabled, idle : Out(1), given : Out(10)
        Of the row told last, when ``control`` was accepted: whether it was enabled before,
        whether nothing of it is under way, and how many chains its device has got.
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
    stopped : In(8)
        Functions that are faulty.
    fault : Out(1), fault_function : Out(3)
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "control": In(stream.Signature(Control)),
                "enabled": Out(1),
                "idle": Out(1),
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
                "stopped": In(8),
                "fault": Out(1),
                "fault_function": Out(3),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.rows = rows = Ram(shape=Row, depth=g.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        m.submodules.turns = turns = fifo.SyncFIFO(width=g.row_bits, depth=g.rows)

        event = Signal(Event)
        q, next_q = Signal(7), Signal(7)
        row = Signal(Row)
        reads = Signal(range(MAX_READS + 1))
        may_read = Signal()
        m.d.comb += [
            may_read.eq(reads != MAX_READS),
            store.addr.eq(q),
            store.data.eq(row),
            turns.w_data.eq(q),
            self.fault_function.eq(q >> 4),
        ]

        # What was latched with the event.
        told = Signal(Control)
        answer = Signal(Answer)
        release = Signal(Release)
        chains = Signal(6)
        hint, hint_valid = Signal(16), Signal()
        rung = Signal()
        # A turn that ended for want of a slot goes on after the next release: weights count
        # where slots are scarce.
        held, retry, resumed = Signal(), Signal(), Signal()
        held_q, held_turn = Signal(7), Signal(4)
        # After a doorbell somebody has his turn, lest a driver that keeps ringing stops all.
        rang = Signal()

        active = Signal()
        index = Signal(16)
        step = Signal(16)
        ahead = Signal(17)
        size = Signal(11)
        mask = Signal(17)
        too_far = Signal()
        fetched = Signal(10)
        batch = Signal(4)
        room = Signal()
        turn = Signal(4)
        m.d.comb += [
            active.eq(row.enabled & ~self.stopped.bit_select(q[4:7], 1)),
            index.eq(Mux(event == Event.ANSWER, answer.value, hint)),
        ]

        # A turn's figures, one register stage after the row.
        may_begin = Signal()
        credit = Signal()
        with m.If(row.pulled):
            m.d.comb += credit.eq((row.cached + row.inflight) < (g.depth >> row.grain)[:6])
        with m.Else():
            m.d.comb += credit.eq(1)
        # More than ``size``: a bit above the ring's mask, unless it is the size itself.
        m.d.comb += too_far.eq(((ahead & ~mask) != 0) & (ahead != size))
        covered = Mux(row.reading_heads, batch, 0)
        m.d.comb += [
            may_begin.eq((row.heads != 0) & ~row.flushing & credit),
            room.eq(row.heads + row.inflight < HEADS - HEADS_PER_READ),
        ]

        def to_boundary():
            boundary = Signal(4)
            with m.Switch(row.size_log2):
                for log2 in range(3):
                    with m.Case(log2):
                        m.d.comb += boundary.eq((1 << log2) - (fetched & ((1 << log2) - 1)))
                with m.Default():
                    m.d.comb += boundary.eq(HEADS_PER_READ - fetched[:3])
            return boundary

        boundary = to_boundary()
        context = Signal(Context)
        access = self.access.p
        m.d.comb += [
            context.place.eq(q),
            context.extra.eq(fetched[:4]),
            access.place.eq(q),
            access.function.eq(q >> 4),
            access.value.eq(context),
            self.head_at.eq(Cat((fetched - row.heads)[:4], q)),
            self.begin.p.row.eq(q),
            self.begin.p.head.eq(self.head),
            self.begin.p.size_log2.eq(row.size_log2),
            self.begin.p.pulled.eq(row.pulled),
            self.begin.p.indirect.eq(row.indirect),
            self.begin.p.guess.eq(Mux(row.indirect, 0, Mux(row.grain > 2, 2, row.grain[:2]))),
            self.begin.p.first.eq(row.inflight == 0),
            self.begin.p.after.eq(row.last),
        ]

        with m.FSM():
            with m.State("IDLE"):
                # Everything is taken as it stands; what counts is told by ``event``.
                m.d.comb += load.addr.eq(next_q)
                m.d.sync += [
                    q.eq(next_q),
                    told.eq(self.control.p),
                    answer.eq(self.answer.p),
                    release.eq(self.release.p),
                    chains.eq(self.commit.p.chains),
                    hint.eq(self.notification.p.index),
                    hint_valid.eq(self.notification.p.has_index),
                    rung.eq(0),
                    resumed.eq(0),
                ]
                m.next = "TAKE"
                with m.If(self.control.valid):
                    m.d.comb += next_q.eq(self.control.p.row)
                    m.d.sync += event.eq(Event.CONTROL)
                with m.Elif(self.answer.valid):
                    m.d.comb += [self.answer.ready.eq(1), next_q.eq(self.answer.p.row)]
                    m.d.sync += [event.eq(Event.ANSWER), reads.eq(reads - 1)]
                with m.Elif(self.release.valid):
                    m.d.comb += [self.release.ready.eq(1), next_q.eq(self.release.p.row)]
                    m.d.sync += [event.eq(Event.RELEASE), retry.eq(1)]
                with m.Elif(self.commit.valid):
                    m.d.comb += [self.commit.ready.eq(1), next_q.eq(self.commit.p.row)]
                    m.d.sync += event.eq(Event.COMMIT)
                with m.Elif(self.notification.valid & ~(rang & turns.r_rdy)):
                    m.d.sync += rang.eq(1)
                    m.d.comb += [
                        self.notification.ready.eq(1),
                        next_q.eq(self.notification.p.queue),
                    ]
                    m.d.sync += [event.eq(Event.NOTIFICATION), rung.eq(1)]
                with m.Elif(held & retry):
                    m.d.comb += next_q.eq(held_q)
                    m.d.sync += [event.eq(Event.TURN), resumed.eq(1)]
                    m.d.sync += [held.eq(0), retry.eq(0), rang.eq(0)]
                with m.Elif(turns.r_rdy):
                    m.d.comb += [turns.r_en.eq(1), next_q.eq(turns.r_data)]
                    m.d.sync += [event.eq(Event.TURN), rang.eq(0)]
                with m.Else():
                    m.next = "IDLE"
            with m.State("TAKE"):
                m.d.sync += row.eq(load.data)
                m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.sync += [
                    step.eq(index - row.seen),
                    fetched.eq(row.seen - row.lag),
                    size.eq(1 << row.size_log2),
                    mask.eq((1 << row.size_log2) - 1),
                    turn.eq(Mux(resumed, held_turn, 1 << row.weight)),
                ]
                with m.Switch(event):
                    with m.Case(Event.CONTROL):
                        m.next = "CONTROL"
                    with m.Case(Event.ANSWER):
                        with m.If(answer.kind == AnswerKind.INDEX):
                            m.next = "SUM"
                        with m.Else():
                            m.next = "HEADS"
                    with m.Case(Event.RELEASE):
                        m.next = "RELEASE"
                    with m.Case(Event.COMMIT):
                        m.d.sync += [
                            row.cached.eq(row.cached - chains),
                            row.given.eq(row.given + chains),
                        ]
                        m.next = "FINISH"
                    with m.Case(Event.NOTIFICATION):
                        m.next = "SUM"
                    with m.Default():
                        m.d.sync += row.listed.eq(0)
                        m.next = "TURN"
            with m.State("CONTROL"):
                m.d.comb += self.control.ready.eq(1)
                m.d.sync += [
                    self.enabled.eq(row.enabled),
                    self.given.eq(row.given),
                    self.idle.eq(~row.reading_index & ~row.reading_heads & (row.inflight == 0)),
                    row.enabled.eq(0),
                ]
                with m.If(told.kind != ControlKind.STOP):
                    m.d.sync += [
                        row.eq(0),
                        row.listed.eq(row.listed & (told.kind != ControlKind.CLEAR)),
                    ]
                with m.If(told.kind == ControlKind.START):
                    m.d.sync += [
                        row.enabled.eq(1),
                        row.armed.eq(1),
                        row.pulled.eq(told.pulled),
                        row.event_idx.eq(told.event_idx),
                        row.indirect.eq(told.indirect),
                        row.size_log2.eq(told.size_log2),
                        row.weight.eq(told.weight),
                        row.again.eq(1),
                    ]
                m.next = "FINISH"
            with m.State("SUM"):
                m.d.sync += ahead.eq(step + row.lag)
                m.next = "INDEX"
            with m.State("INDEX"):
                with m.If(event == Event.ANSWER):
                    m.d.sync += row.reading_index.eq(0)
                    m.next = "FINISH"
                with m.Else():
                    m.next = "TURN"
                with m.If(active):
                    with m.If(event == Event.ANSWER):
                        with m.If(answer.error | too_far):
                            m.d.comb += self.fault.eq(1)
                        with m.Elif(step != 0):
                            m.d.sync += [
                                row.seen.eq(index),
                                row.lag.eq(ahead),
                                row.armed.eq(0),
                                row.again.eq(0),
                            ]
                            m.next = "TURN"
                            with m.If(row.armed & ~row.event_idx):
                                m.next = "QUIET"
                        with m.Elif(row.again):
                            m.d.sync += row.again.eq(0)
                            m.next = "READ INDEX"
                        with m.Elif(~row.armed):
                            m.next = "ARM"
                    with m.Elif(hint_valid & ~row.reading_index & (step != 0) & ~too_far):
                        # The driver says what a read would find; one that is under way
                        # may find less.
                        m.d.sync += [
                            row.seen.eq(index),
                            row.lag.eq(ahead),
                            row.armed.eq(0),
                        ]
                        m.d.sync += rung.eq(0)
                        with m.If(row.armed & ~row.event_idx):
                            m.next = "QUIET"
            with m.State("QUIET"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.WRITE),
                    access.area.eq(RingArea.DEVICE),
                    access.length.eq(2),
                    access.value.eq(NO_NOTIFY),
                ]
                with m.If(self.access.ready):
                    m.next = "TURN"
            with m.State("ARM"):
                m.d.comb += [
                    self.access.valid.eq(1),
                    access.kind.eq(AccessKind.WRITE),
                    access.area.eq(RingArea.DEVICE),
                    access.length.eq(2),
                    access.value.eq(Mux(row.event_idx, row.seen, 0)),
                    access.offset.eq(Mux(row.event_idx, Cat(C(4, 3), size), 0)),
                ]
                with m.If(self.access.ready):
                    m.d.sync += row.armed.eq(1)
                    m.next = "READ INDEX"
            with m.State("HEADS"):
                m.d.sync += row.reading_heads.eq(0)
                m.next = "FINISH"
                with m.If(active):
                    with m.If(answer.error):
                        m.d.comb += self.fault.eq(1)
                    with m.Else():
                        m.d.sync += [
                            row.lag.eq(row.lag - answer.value[:4]),
                            row.heads.eq(row.heads + answer.value[:4]),
                            fetched.eq(fetched + answer.value[:4]),
                        ]
                        m.next = "TURN"
            with m.State("RELEASE"):
                m.d.sync += row.inflight.eq(row.inflight - 1)
                # Never shrinking for a pulled queue: what is begun then finds room for sure.
                with m.If(~row.pulled | (release.grain > row.grain)):
                    m.d.sync += row.grain.eq(release.grain)
                with m.If(release.delivered):
                    with m.If(row.pulled):
                        m.d.sync += row.cached.eq(row.cached + 1)
                    with m.Else():
                        m.d.sync += row.given.eq(row.given + 1)
                with m.Else():
                    m.d.sync += row.heads.eq(row.heads + 1)
                with m.If(release.misfit):
                    m.d.sync += row.flushing.eq(1)
                with m.If(row.inflight == 1):
                    m.d.sync += row.flushing.eq(0)
                m.next = "FINISH"
            with m.State("TURN"):
                m.d.sync += [
                    batch.eq(Mux((row.lag[4:] == 0) & (row.lag[:4] < boundary), row.lag, boundary)),
                ]
                with m.If(active):
                    m.next = "READ HEADS"
                with m.Else():
                    m.next = "FINISH"
            with m.State("READ HEADS"):
                m.d.comb += [
                    context.kind.eq(AnswerKind.HEADS),
                    access.kind.eq(AccessKind.READ),
                    access.area.eq(RingArea.DRIVER),
                    access.length.eq(batch << 1),
                    access.offset.eq(4 + ((fetched[:10] & mask[:10]) << 1)),
                ]
                with m.If((row.lag != 0) & ~row.reading_heads & room & may_read):
                    m.d.comb += self.access.valid.eq(1)
                    with m.If(self.access.ready):
                        m.d.sync += [row.reading_heads.eq(1), reads.eq(reads + 1)]
                        m.next = "ASK"
                with m.Else():
                    m.next = "ASK"
            with m.State("ASK"):
                # Once all that is known of was asked for, see whether there is more.
                m.next = "BEGIN"
                with m.If(row.reading_index):
                    m.d.sync += row.again.eq(row.again | rung)
                with m.Elif(row.again | ((rung | ~row.armed) & (row.lag == covered))):
                    m.next = "READ INDEX"
            with m.State("READ INDEX"):
                m.d.comb += [
                    context.kind.eq(AnswerKind.INDEX),
                    access.kind.eq(AccessKind.READ),
                    access.area.eq(RingArea.DRIVER),
                    access.length.eq(2),
                    access.offset.eq(2),
                    self.access.valid.eq(may_read),
                ]
                with m.If(self.access.ready & self.access.valid):
                    m.d.sync += [
                        row.reading_index.eq(1),
                        reads.eq(reads + 1),
                        row.again.eq(0),
                    ]
                    m.next = "BEGIN"
                with m.If(~may_read):
                    m.d.sync += row.again.eq(row.again | rung)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                with m.If(may_begin & self.begin.ready & (turn != 0)):
                    m.next = "PUT"
                with m.Else():
                    m.next = "FINISH"
            with m.State("PUT"):
                with m.If((self.head & ~mask) != 0):
                    m.d.comb += self.fault.eq(1)
                    m.next = "FINISH"
                with m.Else():
                    m.d.comb += self.begin.valid.eq(1)
                    m.d.sync += [
                        row.heads.eq(row.heads - 1),
                        row.inflight.eq(row.inflight + 1),
                        row.last.eq(self.slot),
                        turn.eq(turn - 1),
                    ]
                    m.next = "BEGIN"
            with m.State("FINISH"):
                # In the list is whoever can go on without another event.
                wanted = active & (
                    may_begin
                    | ((row.lag != 0) & ~row.reading_heads & room)
                    | (~row.reading_index & (row.again | (~row.armed & (row.lag == 0))))
                )
                m.d.comb += store.en.eq(1)
                with m.If(wanted & ~row.listed):
                    m.d.comb += store.data.listed.eq(1)
                    with m.If((event == Event.TURN) & may_begin & (turn != 0) & ~held):
                        m.d.sync += [held.eq(1), held_q.eq(q), held_turn.eq(turn)]
                    with m.Else():
                        m.d.comb += turns.w_en.eq(1)
                m.next = "IDLE"
        return m

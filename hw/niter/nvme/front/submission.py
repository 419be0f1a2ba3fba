"""The submission queues: doorbells, turns, and what was fetched and not completed."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.compare import less
from niter.interface import MAX_FUNCTIONS, ReadCommand
from niter.stream import Fifo, Ram

from .choice import Choice
from .finisher import FinisherPort
from .layouts import (
    WORD_BITS,
    Arrival,
    Base,
    Claim,
    Doorbell,
    Geometry,
    RowOperation,
    RowPort,
    SubmissionPointers,
    SubmissionUse,
    Word,
)
from .reader import EntryReader
from .rings import batch, distance, fewer, is_in, past

__all__ = ["SubmissionQueues"]


class _Event(enum.Enum, shape=3):
    """What there is to do for a row."""

    CONTROL = 0
    ARRIVAL = 1
    DOORBELL = 2
    DONE = 3
    TURN = 4


class SubmissionQueues(wiring.Component):
    """Takes doorbells, fetches entries in batches, and sends completions to their queues.

    One event at a time is served for one row, in 5 to 20 cycles, never waiting for host memory.
    A queue with new entries stands in a list, once; in its turn it reads up to ``BATCH``
    entries, at most to the ring's end and what its completion queue has room for, and stands
    at the list's end again when they have arrived and there are more. A queue that cannot read
    now goes to the list's end. After a doorbell something else has its turn, lest a host that
    keeps ringing stops all.

    A doorbell's value must be in the ring and must not take entries back or pass the head.

    Parameters
    ----------
    geometry
        Size of the front.

    Members
    -------
    port : In(RowPort)
        The steward's way to the rows; ``LOAD`` gives ``USE``. Whether a row is listed survives.
    running, live : In(8)
        Controllers that are enabled; that may fetch.
    function : Out(3), left : In(4)
        Whose queue is in hand, and for how many entries it may ask.
    room : In(1), admissible : In(8)
        ``BATCH`` entries of I/O queues, or an admin entry of a function, can be kept.
    doorbell : In(stream.Signature(Doorbell))
    finisher : Out(FinisherPort)
        Completions. What nobody waits for is dropped.
    claim : Out(stream.Signature(Claim)), granted : In(4)
        Room in completion queues; ``granted`` is valid when a claim is accepted.
    arrival : In(stream.Signature(Arrival))
    read : Out(stream.Signature(ReadCommand))
    asked : Out(1)
        A read has been issued: the first cycle of ``read``.
    invalid_register, invalid_value, fatal : Out(8)
        Pulses: a doorbell of a queue that does not exist, or a value that is not possible;
        entries could not be read.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "port": In(RowPort),
                "running": In(MAX_FUNCTIONS),
                "live": In(MAX_FUNCTIONS),
                "function": Out(3),
                "left": In(4),
                "room": In(1),
                "admissible": In(MAX_FUNCTIONS),
                "doorbell": In(stream.Signature(Doorbell)),
                "finisher": Out(FinisherPort),
                "claim": Out(stream.Signature(Claim)),
                "granted": In(4),
                "arrival": In(stream.Signature(Arrival)),
                "read": Out(stream.Signature(ReadCommand)),
                "asked": Out(1),
                "invalid_register": Out(MAX_FUNCTIONS),
                "invalid_value": Out(MAX_FUNCTIONS),
                "fatal": Out(MAX_FUNCTIONS),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.rows = rows = Ram(shape=WORD_BITS, depth=4 * g.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        m.submodules.turns = turns = Fifo(len(g.row(Signal(3), Signal(5))), g.rows)
        command, doorbell = self.port.command, self.doorbell.payload
        arrival = self.arrival.payload

        # The queue in hand.
        function, queue = self.function, Signal(5)
        pointers, base, use = Signal(SubmissionPointers), Signal(Base), Signal(SubmissionUse)
        running, live = Signal(), Signal()
        word = Signal(2)
        row = g.row(function, queue)
        m.d.comb += [
            store.addr.eq(Cat(word, row)),
            load.addr.eq(Cat(C(Word.HIGH, 2), row)),
            turns.i.payload.eq(row),
            running.eq(self.running.bit_select(function, 1)),
            live.eq(self.live.bit_select(function, 1)),
        ]

        # What comes next.
        choice = Choice(_Event)
        event = choice.event
        can_turn = turns.o.valid & ~self.read.valid
        others = self.arrival.valid | self.finisher.valid | can_turn
        with m.If(command.valid):
            choice.choose(m, _Event.CONTROL, command.payload.function, command.payload.queue)
        with m.Elif(self.arrival.valid):
            choice.choose(m, _Event.ARRIVAL, arrival.function, arrival.queue)
        with m.Elif(self.doorbell.valid & ~((event == _Event.DOORBELL) & others)):
            choice.choose(m, _Event.DOORBELL, doorbell.function, doorbell.queue)
        with m.Elif(self.finisher.valid):
            choice.choose(m, _Event.DONE, self.finisher.function, self.finisher.queue)
        with m.Elif(can_turn):
            turn = turns.o.payload
            choice.choose(m, _Event.TURN, turn[g.queue_bits :], turn[: g.queue_bits])

        # Arithmetic of rings.
        gap, before, left, later = Signal(12), Signal(12), Signal(12), Signal(12)
        count = Signal(4)
        m.d.comb += later.eq(pointers.tail)
        m.d.sync += gap.eq(distance(later, pointers.head, base.last))
        m.d.sync += left.eq(base.last - pointers.head)

        claim = self.claim.payload
        m.submodules.reader = reader = EntryReader()
        connect(m, reader.read, flipped(self.read))
        m.d.comb += [
            reader.function.eq(function),
            reader.queue.eq(queue),
            reader.count.eq(count),
            reader.head.eq(pointers.head),
            reader.page.eq(base.page),
            reader.high.eq(load.data),
            self.asked.eq(reader.asked),
            claim.function.eq(function),
            claim.queue.eq(use.partner),
            claim.count.eq(count),
            self.port.loaded.eq(use),
            self.finisher.partner.eq(use.partner),
            self.finisher.head.eq(pointers.head),
        ]

        def pulse(signal):
            m.d.comb += signal.bit_select(function, 1).eq(1)

        with m.FSM():
            with m.State("IDLE"):
                upcoming = g.row(choice.function, choice.queue)
                m.d.comb += load.addr.eq(Cat(C(Word.POINTERS, 2), upcoming))
                m.d.sync += [function.eq(choice.function), queue.eq(choice.queue)]
                with m.If(choice.waits):
                    m.d.sync += event.eq(choice.chosen)
                    m.d.comb += [
                        turns.o.ready.eq(choice.chosen == _Event.TURN),
                        self.finisher.look.eq(choice.chosen == _Event.DONE),
                    ]
                    m.next = "POINTERS"
            for at, target, following in (
                (Word.POINTERS, pointers, Word.BASE),
                (Word.BASE, base, Word.USE),
            ):
                with m.State(at.name):
                    m.d.comb += load.addr.eq(Cat(C(following, 2), row))
                    m.d.sync += target.eq(load.data)
                    m.next = following.name
            with m.State("USE"):
                m.d.sync += use.eq(load.data)
                m.next = "FILL"
                with m.Switch(event):
                    with m.Case(_Event.CONTROL):
                        m.next = "CONTROL"
                    with m.Case(_Event.ARRIVAL):
                        m.next = "ARRIVAL"
                    with m.Case(_Event.DONE):
                        m.next = "DONE"

            with m.State("CONTROL"):
                operation = command.payload.operation
                m.d.comb += [
                    command.ready.eq(1),
                    word.eq(command.payload.word),
                    store.data.eq(command.payload.data),
                    store.en.eq((operation == RowOperation.STORE) & ~command.payload.word[2]),
                ]
                with m.If(word == Word.POINTERS):
                    m.d.comb += data.View(SubmissionPointers, store.data).listed.eq(pointers.listed)
                m.next = "IDLE"

            with m.State("ARRIVAL"):
                # A batch ends with the ring at the latest.
                m.d.comb += self.arrival.ready.eq(1)
                m.d.sync += [
                    pointers.head.eq(past(pointers.head, arrival.count, base.last)),
                    pointers.reading.eq(0),
                ]
                with m.If(arrival.error & running):
                    pulse(self.fatal)
                m.next = "LIST"

            with m.State("DONE"):
                m.next = "IDLE"
                with m.If(use.outstanding == 0):
                    m.d.comb += self.finisher.drop.eq(1)
                with m.Else():
                    m.d.sync += use.outstanding.eq(use.outstanding - 1)
                    m.d.comb += [self.finisher.post.eq(running), self.finisher.drop.eq(~running)]
                    m.next = "STORE USE"

            # Doorbells and turns begin with what is in the ring.
            with m.State("FILL"):
                may_read = Mux(
                    queue == 0,
                    self.admissible.bit_select(function, 1),
                    self.room & (self.left != 0),
                )
                with m.If(event == _Event.DOORBELL):
                    m.next = "NEW"
                with m.Elif(~live | ~pointers.active | (pointers.tail == pointers.head)):
                    m.d.sync += pointers.listed.eq(0)
                    m.next = "STORE POINTERS"
                with m.Elif(~may_read):
                    m.next = "AGAIN"
                with m.Else():
                    m.next = "COUNT"
            with m.State("NEW"):
                m.d.comb += later.eq(doorbell.value)
                m.d.sync += before.eq(gap)
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += self.doorbell.ready.eq(1)
                with m.If(~running | ~pointers.active):
                    pulse(self.invalid_register)
                with m.Elif(~less(gap, before) & is_in(doorbell.value, base.last)):
                    m.d.sync += pointers.tail.eq(doorbell.value)
                with m.Else():
                    pulse(self.invalid_value)
                m.next = "LIST"
            with m.State("LIST"):
                due = pointers.active & (pointers.tail != pointers.head) & (pointers.reading == 0)
                m.d.comb += turns.i.valid.eq(due & ~pointers.listed)
                m.d.sync += pointers.listed.eq(pointers.listed | due)
                m.next = "STORE POINTERS"

            with m.State("COUNT"):
                m.d.sync += count.eq(Mux(queue == 0, 1, fewer(batch(gap, left), self.left)))
                m.next = "CLAIM"
            with m.State("CLAIM"):
                m.d.comb += self.claim.valid.eq(1)
                with m.If(self.claim.ready):
                    m.d.sync += count.eq(self.granted)
                    m.next = "ISSUE"
                    with m.If(self.granted == 0):
                        m.next = "AGAIN"
            with m.State("AGAIN"):
                m.d.comb += turns.i.valid.eq(1)
                m.next = "IDLE"
            with m.State("ISSUE"):
                m.d.comb += reader.start.eq(1)
                m.d.sync += [
                    use.outstanding.eq(use.outstanding + count),
                    pointers.reading.eq(count),
                    pointers.listed.eq(0),
                ]
                m.next = "STORE USE"
            with m.State("STORE USE"):
                m.d.comb += [word.eq(Word.USE), store.data.eq(use), store.en.eq(1)]
                m.next = "STORE POINTERS"
            with m.State("STORE POINTERS"):
                m.d.comb += [word.eq(Word.POINTERS), store.data.eq(pointers), store.en.eq(1)]
                m.next = "IDLE"
        return m

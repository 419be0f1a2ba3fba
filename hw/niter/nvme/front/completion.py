"""The completion queues: room, entries and interrupts."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.compare import less
from niter.interface import MAX_FUNCTIONS, HostWrite
from niter.stream import Ram

from .ager import Ager
from .choice import Choice
from .layouts import (
    WORD_BITS,
    Base,
    Claim,
    Coalescing,
    CompletionPointers,
    CompletionUse,
    Doorbell,
    Geometry,
    Post,
    RowOperation,
    RowPort,
    Waiting,
    Word,
)
from .messages import NO_INTERRUPT
from .poster import Poster
from .rings import advance, distance, fewer, is_in

__all__ = ["CompletionQueues"]


class _Event(enum.Enum, shape=3):
    """What there is to do for a row."""

    CONTROL = 0
    DOORBELL = 1
    POST = 2
    #: It is time to look whether entries have waited long enough for their interrupt.
    AGE = 3
    CLAIM = 4


class CompletionQueues(wiring.Component):
    """Gives out room, posts entries and decides about interrupts.

    One event at a time is served for one row, in 7 to 12 cycles, never waiting for host memory.
    An entry that has been claimed can always be posted: what is claimed, or posted and not yet
    taken by the host, is never more than the entries of the ring less one.

    A queue's entries wait for their interrupt until there are ``threshold + 1`` of them, or the
    first has seen ``time`` ticks; an interrupt is behind the entries that it stands for. A
    doorbell's value must be in the ring and may pass only what was posted; one that takes all
    takes the interrupt back, too.

    Parameters
    ----------
    geometry
        Size of the front.
    tick
        Cycles of a unit of time: 100 us.

    Members
    -------
    port : In(RowPort)
        The steward's way to the rows: ``STORE`` and ``RELEASE``.
    running : In(8)
        Controllers that are enabled; what others ring is ignored.
    doorbell : In(stream.Signature(Doorbell))
    claim : In(stream.Signature(Claim)), granted : Out(4)
        ``granted`` entries, at most ``count``, are claimed when ``claim`` is accepted.
    post : In(stream.Signature(Post))
        Accepted when host memory has taken the entry and its interrupt.
    write : Out(HostWrite)
    invalid_register, invalid_value : Out(8)
        Pulses: a doorbell of a queue that does not exist, or a value that is not possible.
    quiet : Out(1)
        Nothing waits for host memory.
    """

    def __init__(self, geometry: Geometry, tick: int):
        self.geometry = geometry
        self.tick = tick
        super().__init__(
            {
                "port": In(RowPort),
                "running": In(MAX_FUNCTIONS),
                "doorbell": In(stream.Signature(Doorbell)),
                "claim": In(stream.Signature(Claim)),
                "granted": Out(4),
                "post": In(stream.Signature(Post)),
                "write": Out(HostWrite),
                "invalid_register": Out(MAX_FUNCTIONS),
                "invalid_value": Out(MAX_FUNCTIONS),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.rows = rows = Ram(shape=WORD_BITS, depth=8 * g.rows, init=[])
        store, load = rows.write_port(), rows.read_port()
        m.submodules.poster = poster = Poster()
        connect(m, flipped(self.post), poster.post)
        connect(m, poster.write, flipped(self.write))
        command, doorbell, post = self.port.command, self.doorbell.payload, self.post.payload
        claim = self.claim.payload
        m.d.comb += self.quiet.eq(~self.post.valid & ~poster.busy)

        # The queue in hand.
        function, queue = Signal(3), Signal(5)
        base, use = Signal(Base), Signal(CompletionUse)
        pointers, coalescing = Signal(CompletionPointers), Signal(Coalescing)
        waiting = Signal(Waiting)
        word = Signal(Word)
        row = g.row(function, queue)
        m.d.comb += [store.addr.eq(Cat(word, row)), load.addr.eq(Cat(C(Word.HIGH, 3), row))]

        # Rows to be looked at since a tick.
        m.submodules.ager = ager = Ager(g, self.tick)

        # What comes next. Claims come again and again while there is no room: they are last. But
        # who keeps coming lets others go between: hosts that ring, and rows to look at.
        choice = Choice(_Event)
        event = choice.event
        can_post, can_age = self.post.valid & ~poster.busy, ager.due & ~poster.busy
        others = can_post | can_age | self.claim.valid
        with m.If(command.valid):
            choice.choose(m, _Event.CONTROL, command.payload.function, command.payload.queue)
        with m.Elif(self.doorbell.valid & ~((event == _Event.DOORBELL) & others)):
            choice.choose(m, _Event.DOORBELL, doorbell.function, doorbell.queue)
        with m.Elif(can_post):
            choice.choose(m, _Event.POST, post.function, post.partner)
        with m.Elif(can_age & ~((event == _Event.AGE) & self.claim.valid)):
            choice.choose(m, _Event.AGE, ager.function, ager.queue)
        with m.Elif(self.claim.valid):
            choice.choose(m, _Event.CLAIM, claim.function, claim.queue)

        # Arithmetic of rings.
        gap, before, free = Signal(12), Signal(12), Signal(12)
        later = Signal(12)
        page, carry = Signal(20), Signal()
        m.d.comb += later.eq(pointers.tail)
        m.d.sync += [
            gap.eq(distance(later, pointers.head, base.last)),
            free.eq(base.last - use.used),
            Cat(page, carry).eq(base.page + pointers.tail[8:]),
        ]

        full, expired, taken_back = Signal(), Signal(), Signal()
        interrupts = use.partner != NO_INTERRUPT
        m.d.comb += [
            poster.function.eq(function),
            poster.vector.eq(use.partner),
            poster.phase.eq(~pointers.phase),
            poster.address.eq(Cat(C(0, 4), pointers.tail[:8], page, (load.data + carry)[:32])),
        ]
        m.d.sync += [
            full.eq(~less(waiting.count, coalescing.threshold) | (coalescing.time == 0)),
            expired.eq(~less(waiting.age + 1, coalescing.time) & (waiting.count != 0)),
        ]

        with m.FSM():
            with m.State("IDLE"):
                upcoming = g.row(choice.function, choice.queue)
                m.d.comb += load.addr.eq(Cat(C(Word.POINTERS, 3), upcoming))
                m.d.sync += [
                    function.eq(choice.function),
                    queue.eq(choice.queue),
                    taken_back.eq(0),
                ]
                with m.If(choice.waits):
                    m.d.sync += event.eq(choice.chosen)
                    m.next = "POINTERS"
                m.d.comb += ager.taken.eq(choice.waits & (choice.chosen == _Event.AGE))
            for state, target, following in (
                ("POINTERS", pointers, Word.BASE),
                ("BASE", base, Word.USE),
                ("USE", use, Word.COALESCING),
                ("COALESCING", coalescing, Word.WAITING),
                ("WAITING", waiting, Word.HIGH),
            ):
                with m.State(state):
                    m.d.comb += load.addr.eq(Cat(C(following, 3), row))
                    m.d.sync += target.eq(load.data)
                    m.next = "DISPATCH" if target is waiting else following.name
                    # Only what decides about interrupts needs the rest.
                    if target is use:
                        with m.If((event != _Event.POST) & (event != _Event.AGE)):
                            m.next = "DISPATCH"
            with m.State("DISPATCH"):
                # Of a queue that does not exist there is nothing to do.
                m.next = "IDLE"
                with m.Switch(event):
                    with m.Case(_Event.CONTROL):
                        m.next = "CONTROL"
                    with m.Case(_Event.CLAIM):
                        m.next = "CLAIM"
                    with m.Case(_Event.DOORBELL):
                        m.next = "NEW"
                    with m.Case(_Event.POST):
                        m.next = "POST"
                    with m.Case(_Event.AGE), m.If(pointers.active):
                        m.next = "AGE"

            with m.State("CONTROL"):
                m.d.comb += [
                    command.ready.eq(1),
                    word.eq(command.payload.word),
                    store.data.eq(command.payload.data),
                ]
                m.next = "IDLE"
                with m.If(command.payload.operation == RowOperation.STORE):
                    m.d.comb += store.en.eq(1)
                with m.Else():
                    m.d.sync += use.used.eq(use.used - command.payload.data)
                    m.next = "STORE USE"
            with m.State("CLAIM"):
                m.d.comb += [
                    self.claim.ready.eq(1),
                    self.granted.eq(fewer(free, claim.count)),
                ]
                with m.If(~pointers.active):
                    m.d.comb += self.granted.eq(0)
                m.d.sync += use.used.eq(use.used + self.granted)
                m.next = "STORE USE"

            with m.State("NEW"):
                m.d.comb += later.eq(doorbell.value)
                m.d.sync += before.eq(gap)
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += self.doorbell.ready.eq(1)
                m.next = "IDLE"
                with m.If(~self.running.bit_select(function, 1) | ~pointers.active):
                    m.d.comb += self.invalid_register.bit_select(function, 1).eq(1)
                with m.Elif(less(before, gap) | ~is_in(doorbell.value, base.last)):
                    m.d.comb += self.invalid_value.bit_select(function, 1).eq(1)
                with m.Else():
                    m.d.sync += [pointers.head.eq(doorbell.value), use.used.eq(use.used - gap)]
                    m.d.sync += [waiting.eq(0), taken_back.eq(gap == before)]
                    m.next = "STORE POINTERS"

            with m.State("POST"):
                with m.If(pointers.active):
                    m.d.comb += [poster.start.eq(1), poster.interrupt.eq(interrupts & full)]
                    m.d.sync += [
                        waiting.count.eq(waiting.count + 1),
                        pointers.tail.eq(advance(pointers.tail, base.last)),
                        pointers.phase.eq(pointers.phase ^ (pointers.tail == base.last)),
                    ]
                    with m.If(full | ~interrupts):
                        m.d.sync += waiting.count.eq(0)
                    with m.If(waiting.count == 0):
                        m.d.sync += waiting.age.eq(0)
                    m.next = "STORE POINTERS"
                with m.Else():
                    m.d.comb += poster.drop.eq(1)
                    m.next = "IDLE"
            with m.State("AGE"):
                m.d.sync += waiting.age.eq(waiting.age + 1)
                with m.If(expired):
                    m.d.comb += [poster.alone.eq(1), poster.interrupt.eq(1)]
                    m.d.sync += waiting.count.eq(0)
                m.next = "STORE WAITING"

            with m.State("STORE POINTERS"):
                m.d.comb += [word.eq(Word.POINTERS), store.data.eq(pointers), store.en.eq(1)]
                m.next = "STORE USE"
            with m.State("STORE USE"):
                m.d.comb += [word.eq(Word.USE), store.data.eq(use), store.en.eq(1)]
                m.next = "IDLE"
                with m.If((event == _Event.POST) | taken_back):
                    m.next = "STORE WAITING"
            with m.State("STORE WAITING"):
                m.d.comb += [word.eq(Word.WAITING), store.data.eq(waiting), store.en.eq(1)]
                m.next = "IDLE"
        return m

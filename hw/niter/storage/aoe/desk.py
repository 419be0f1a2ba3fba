"""What the engine has in hand: one slot, one request and one target out of their memories."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import enum, memory

from niter.interface import BlockCompletion, BlockOpcode
from niter.ram import Ram

from .layouts import (
    REQUEST_WORDS,
    SLOT_WORDS,
    TIME_BITS,
    WORD_BITS,
    Limits,
    RequestLink,
    RequestState,
    SlotKind,
    SlotState,
    TargetState,
)

__all__ = ["Desk", "Event", "Task", "answer_units", "changes"]

_STATE = REQUEST_WORDS.index(RequestState)


class Task(enum.Enum, shape=3):
    """What the engine is doing: where it goes when what that needs is in hand."""

    SEND = 0
    ANSWER = 1
    TIMER = 2
    ABORT = 3
    FAULT = 4
    #: Looks for a dangerous slot in the way of what is to be sent.
    OVERLAP = 5


class Event(enum.IntEnum):
    """What is counted for each target."""

    #: Frames sent for the first time.
    SENT = 0
    #: Frames that were answered.
    ANSWERED = 1
    #: Frames sent again.
    REPEATED = 2
    #: Answers that nobody waits for any more.
    LATE = 3
    #: Answers that do not fit what was asked.
    UNFIT = 4
    #: Frames that were never answered.
    SILENT = 5
    #: Answers with an error.
    ERRORS = 6
    #: Times that a request had to wait for sectors.
    WAITED = 7


def changes(opcode: Value) -> Value:
    """A write of any kind."""
    return (opcode == BlockOpcode.WRITE) | (opcode == BlockOpcode.WRITE_ZEROES)


def answer_units(opcode: Value, sectors: Value) -> Value:
    """Room that the answer to a frame takes in the receive buffer."""
    reads = (opcode == BlockOpcode.READ) | (opcode == BlockOpcode.VERIFY)
    return Cat(C(1, 3), Mux(reads, sectors, 0))


class Desk:
    """Memories, what is in hand of them, and the states that fetch and store it.

    A state of any part goes to ``LOAD_SLOT`` or ``LOAD_REQUEST`` after setting ``slot`` or
    ``tag``; these go on to the state that belongs to ``task``. ``STORE`` writes back the slot if
    ``keep_slot`` and the request if ``keep_request``, new ones whole, and then completes the
    request if ``completes``.

    Parameters
    ----------
    m
        The engine's module.
    slots
        Number of slots.
    """

    def __init__(self, m: Module, slots: int):
        self.m = m
        self.slots = slots
        m.submodules.slot_words = slot_words = Ram(shape=WORD_BITS, depth=8 * slots, init=[])
        m.submodules.request_words = request_words = Ram(shape=WORD_BITS, depth=1024, init=[])
        self.slot_read, self.slot_write = slot_words.read_port(), slot_words.write_port()
        self.request_read, self.request_write = (
            request_words.read_port(),
            request_words.write_port(),
        )
        m.submodules.target_words = target_words = memory.Memory(
            shape=TargetState, depth=16, init=[]
        )
        m.submodules.limit_words = limit_words = memory.Memory(shape=Limits, depth=16, init=[])
        m.submodules.volume_words = volume_words = memory.Memory(shape=5, depth=16, init=[])
        self.set_limits = limit_words.write_port()
        self.set_volume = volume_words.write_port()
        self.volume = volume_words.read_port(domain="comb")

        self.slot = Signal(range(slots))
        self.tag = Signal(8)
        self.kind, self.copies, self.span, self.time = (
            word(Signal(word, name=f"slot_{word.__name__[4:].lower()}")) for word in SLOT_WORDS[:4]
        )
        self.started = Signal(TIME_BITS)
        self.state, self.link = RequestState(Signal(RequestState)), RequestLink(Signal(RequestLink))
        self.sectors = Signal(16)
        self.home = Signal(4)
        #: First sector at the target of what was loaded last, and what is to be sent.
        self.base = Signal(48)
        self.here = Signal(48)
        #: ``base`` and this is a place, with a carry.
        self.offset = Signal(16)
        self.reach = Signal(49)
        m.d.comb += [
            self.offset.eq(self.state.cut),
            self.reach.eq(self.base + self.offset),
        ]

        # The target in hand is there at once; ``learnt`` becomes its next state.
        self.target = Signal(4)
        known = target_words.read_port(domain="comb")
        learn = target_words.write_port()
        limits = limit_words.read_port(domain="comb")
        self.limits = limits.data
        self.known = known.data
        self.learnt = Signal(TargetState)
        self.learn = Signal()
        m.d.comb += [
            known.addr.eq(self.target),
            limits.addr.eq(self.target),
            learn.addr.eq(self.target),
            learn.data.eq(self.learnt),
            learn.en.eq(self.learn),
            self.learnt.eq(known.data),
        ]

        self.task = Signal(Task)
        self.step = Signal(3)
        # Time since ``past``, a cycle later, and whether that is ``bound`` or more.
        self.now = Signal(TIME_BITS)
        self.past = Signal(TIME_BITS)
        self.elapsed = Signal(TIME_BITS)
        self.bound = Signal(TIME_BITS)
        self.overdue = Signal()
        m.d.comb += [self.past.eq(self.time.sent), self.overdue.eq(self.elapsed >= self.bound)]
        m.d.sync += self.elapsed.eq(self.now - self.past)
        self.keep_slot = Signal()
        self.keep_request = Signal()
        self.new_slot = Signal()
        self.new_request = Signal()
        self.completes = Signal()
        self.completion = Signal(BlockCompletion)
        #: Counts what lets targets try again that could not send.
        self.changes = Signal(4)
        #: Slots whose copies are dangerous; free slots that were used, and the next that was not.
        self.dangers = Signal(range(slots + 1))
        self.returned = Signal(range(slots + 1))
        self.first_free = Signal(range(slots))
        self.unused = Signal(range(slots + 1))
        #: Room for answers that is promised.
        self.promised = Signal(11)
        #: What to count.
        self.event = Signal(Event)
        self.counts = Signal()

    def count(self, event: Event) -> None:
        """Count an event of the target in hand."""
        self.m.d.sync += [self.event.eq(event), self.counts.eq(1)]

    def find_slot(self, slot: Any, task: Task) -> None:
        """Take up a slot for a task."""
        self.m.d.sync += [self.slot.eq(slot), self.task.eq(task), self.step.eq(0)]
        self.m.next = "LOAD_SLOT"

    def find_request(self, tag: Any) -> None:
        """Take up a request for the task at hand."""
        self.m.d.sync += [self.tag.eq(tag), self.step.eq(0)]
        self.m.next = "LOAD_REQUEST"

    def store(self, *, slot: Any = 0, request: Any = 0, new: Any = 0) -> None:
        """Write back what is in hand; all of the request if it is ``new``."""
        self.m.d.sync += [
            self.keep_slot.eq(slot),
            self.keep_request.eq(request),
            self.new_request.eq(new),
            self.step.eq(0),
        ]
        self.m.next = "STORE"

    def free_slot(self) -> None:
        """Give the slot in hand back; it is to be stored."""
        m = self.m
        m.d.sync += [
            self.kind.state.eq(SlotState.FREE),
            self.span.tag.eq(self.first_free),
            self.first_free.eq(self.slot),
            self.returned.eq(self.returned + 1),
            self.dangers.eq(self.dangers - self.kind.danger),
            self.kind.danger.eq(0),
            self.changes.eq(self.changes + 1),
        ]

    def leave_target(self) -> None:
        """The slot in hand is no longer one of its target's, nor its answer expected."""
        m = self.m
        room = answer_units(self.kind.opcode, self.span.sectors)
        m.d.comb += [self.learn.eq(1), self.learnt.inflight.eq(self.known.inflight - 1)]
        m.d.sync += [self.promised.eq(self.promised - room), self.changes.eq(self.changes + 1)]

    def hold_slot(self) -> None:
        """Keep the slot in hand until the network cannot deliver any of its copies."""
        m = self.m
        m.d.sync += self.kind.state.eq(SlotState.HELD)
        with m.If(changes(self.kind.opcode)):
            self.endanger()

    def endanger(self) -> None:
        """A copy of the write in hand may be executed when it is no longer wanted."""
        self.m.d.sync += [
            self.kind.danger.eq(1),
            self.dangers.eq(self.dangers + ~self.kind.danger),
        ]

    def unlink(self) -> None:
        """Take the request in hand, the first of its list, out of it."""
        m = self.m
        m.d.comb += [self.learn.eq(1), self.learnt.head.eq(self.link.next)]
        m.d.sync += self.state.queued.eq(0)
        with m.If(self.known.head == self.known.tail):
            m.d.comb += self.learnt.listed.eq(0)

    def block(self) -> None:
        """Let the target in hand wait until something changes."""
        m = self.m
        m.d.comb += [self.learn.eq(1), self.learnt.blocked.eq(self.changes)]
        m.next = "IDLE"

    def end_request(self, status: Any) -> None:
        """Let the request in hand end when it is stored."""
        self.m.d.sync += [
            self.completes.eq(1),
            self.state.live.eq(0),
            self.completion.tag.eq(self.tag),
            self.completion.status.eq(status),
        ]

    def connect(self) -> None:
        """Point the memories at what is in hand."""
        m = self.m
        step = self.step
        m.d.comb += [
            self.slot_read.addr.eq(Cat(step, self.slot)),
            self.request_read.addr.eq(Cat(step[:2], self.tag)),
            self.slot_write.addr.eq(Cat(step, self.slot)),
            self.request_write.addr.eq(Cat(step[:2], self.tag)),
        ]
        # The last two words of a slot are written once: when it begins, here and now.
        slot = (self.kind, self.copies, self.span, self.time, self.here[:WORD_BITS])
        with m.Switch(step):
            for n, word in enumerate((*slot, Cat(self.here[WORD_BITS:], self.now))):
                with m.Case(n):
                    m.d.comb += self.slot_write.data.eq(word)
        rest = Cat(self.base[WORD_BITS:], self.sectors, self.home)
        with m.Switch(step):
            for n, word in enumerate((self.state, rest, self.base[:WORD_BITS], self.link)):
                with m.Case(n):
                    m.d.comb += self.request_write.data.eq(word)

    def states(self, completed: Value) -> None:
        """The states that fetch and store.

        Parameters
        ----------
        completed
            A completion on offer is taken.
        """
        m = self.m
        step = self.step
        with m.State("LOAD_SLOT"):
            m.d.sync += step.eq(step + 1)
            for n, word in enumerate((self.kind, self.copies, self.span, self.time), 1):
                with m.If(step == n):
                    m.d.sync += word.eq(self.slot_read.data)
            with m.If(step == 5):
                m.d.sync += self.base[:WORD_BITS].eq(self.slot_read.data)
            with m.If(step == 6):
                m.d.sync += Cat(self.base[WORD_BITS:], self.started).eq(self.slot_read.data)
            kind = SlotKind(self.slot_read.data[: SlotKind.as_shape().size])
            with m.If(step == len(SLOT_WORDS)):
                m.d.sync += self.target.eq(self.kind.target)
                with m.Switch(self.task):
                    with m.Case(Task.SEND):
                        m.d.sync += self.target.eq(self.home)
                        m.next = "LAUNCH"
                    with m.Case(Task.ANSWER):
                        m.next = "AGE"
                    with m.Case(Task.TIMER):
                        m.next = "TIMER"
                    with m.Case(Task.OVERLAP):
                        m.d.sync += self.target.eq(self.home)
                        m.next = "OVERLAP"
                    with m.Case(Task.ABORT):
                        m.next = "ORPHAN"
            # Most slots need no further look.
            with m.If(step == 1), m.Switch(self.task):
                with m.Case(Task.TIMER), m.If(kind.state == SlotState.FREE):
                    m.next = "IDLE"
                with m.Case(Task.OVERLAP), m.If(~kind.danger):
                    m.next = "OVERLAP_NEXT"
                with m.Case(Task.ABORT), m.If(kind.state != SlotState.ACTIVE):
                    m.next = "ORPHAN_NEXT"
        with m.State("LOAD_REQUEST"):
            m.d.sync += step.eq(step + 1)
            with m.If(step == 1):
                m.d.sync += self.state.eq(self.request_read.data)
            with m.If(step == 2):
                words = (self.base[WORD_BITS:], self.sectors, self.home)
                m.d.sync += Cat(*words).eq(self.request_read.data)
            with m.If(step == 3):
                m.d.sync += self.base[:WORD_BITS].eq(self.request_read.data)
            with m.If(step == len(REQUEST_WORDS)):
                m.d.sync += [self.link.eq(self.request_read.data), self.target.eq(self.home)]
                with m.Switch(self.task):
                    with m.Case(Task.SEND):
                        m.next = "PART"
                    with m.Case(Task.ANSWER, Task.TIMER):
                        m.next = "SETTLE"
                    with m.Case(Task.ABORT):
                        m.next = "ABORT"
                    with m.Case(Task.FAULT):
                        m.next = "FAULT"
        with m.State("STORE"):
            m.d.comb += [
                self.slot_write.en.eq(self.keep_slot),
                self.request_write.en.eq(
                    self.keep_request & ~step[2] & ((step == _STATE) | self.new_request)
                ),
            ]
            m.d.sync += step.eq(step + 1)
            with m.If(step == Mux(self.new_slot, 5, 3)):
                m.d.sync += self.new_slot.eq(0)
                m.next = "IDLE"
                with m.If(self.task == Task.ABORT):
                    m.next = "ORPHAN_NEXT"
                with m.If(self.completes):
                    m.next = "COMPLETE"
        with m.State("COMPLETE"), m.If(completed):
            m.d.sync += self.completes.eq(0)
            m.next = "IDLE"

    def clear(self, sweep: Value) -> None:
        """Make everything new, as far as ``sweep`` reaches: a counter of nine bits."""
        m = self.m
        m.d.comb += [
            self.request_write.addr.eq(Cat(C(_STATE, 2), sweep[:8])),
            self.request_write.data.eq(0),
            self.request_write.en.eq(1),
            self.slot_write.addr.eq(Cat(C(0, 3), sweep[: len(self.slot)])),
            self.slot_write.data.eq(0),
            self.slot_write.en.eq(1),
        ]
        m.d.sync += self.target.eq(sweep)
        self.renew()
        m.d.comb += [self.learnt.inflight.eq(0), self.learnt.listed.eq(0)]

    def renew(self) -> None:
        """Forget what was learnt of the way to the target in hand."""
        m = self.m
        m.d.comb += [
            self.learn.eq(1),
            self.learnt.window.eq(4),
            self.learnt.credit.eq(0),
            self.learnt.sampled.eq(0),
            self.learnt.mean.eq(0),
            self.learnt.deviation.eq(0),
            self.learnt.settled.eq(1),
            self.learnt.silent.eq(0),
            self.learnt.proven.eq(0),
            self.learnt.fallen.eq(0),
        ]

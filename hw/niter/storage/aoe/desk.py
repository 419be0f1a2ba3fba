"""What the engine has in hand: one slot, one request and one target out of their memories."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import memory

from niter.compare import less
from niter.count import stepped
from niter.interface import BlockCompletion

from .codec import GENERATION_BITS
from .copies import counted, restarted
from .layouts import (
    SLOT_WORDS,
    TIME_BITS,
    Limits,
    RequestLink,
    RequestState,
    SlotState,
    TargetState,
)
from .tasks import Event, Task, answer_units, changes

__all__ = ["Desk"]


class Desk:
    """What is in hand, and what can be done with it.

    ``find_slot`` and ``find_request`` take something up, and the engine goes on with the state that
    belongs to ``task``; ``store`` puts it back. See ``shelf`` for how.

    Parameters
    ----------
    m
        The engine's module.
    slots, tags
        Number of slots, and of requests.
    """

    def __init__(self, m: Module, slots: int, tags: int):
        self.m = m
        self.slots = slots
        self.tags = tags
        m.submodules.limit_words = limit_words = memory.Memory(shape=Limits, depth=16, init=[])
        m.submodules.stale_words = stale_words = memory.Memory(shape=1, depth=16, init=[])
        m.submodules.volume_words = volume_words = memory.Memory(shape=5, depth=16, init=[])
        self.set_limits = limit_words.write_port()
        self.set_volume = volume_words.write_port()
        self.volume = volume_words.read_port(domain="comb")

        self.slot = Signal(range(slots))
        self.tag = Signal(range(tags))
        self.kind, self.copies, self.span, self.time = (
            word(Signal(word, name=f"slot_{word.__name__[4:].lower()}")) for word in SLOT_WORDS[:4]
        )
        #: Orders given so far.
        self.issued = Signal(5)
        #: Generation of the slot's last copy: one was sent since the slot was taken up, or not.
        #: While the slot's words come, how many copies were sent after the ``answered`` one.
        self.sent, self.loading = Signal(), Signal()
        self.generation, self.answered = Signal(GENERATION_BITS), Signal(GENERATION_BITS)
        m.d.comb += self.generation.eq(counted(self.copies, self.sent, self.loading, self.answered))
        self.state, self.link = RequestState(Signal(RequestState)), RequestLink(Signal(RequestLink))
        self.sectors = Signal(16)
        self.home = Signal(4)
        #: First sector of the request at the target, and of what is to be sent.
        self.base = Signal(48)
        self.here = Signal(48)
        #: ``base`` and this is a place, with a carry.
        self.offset = Signal(16)
        self.reach = Signal(49)
        #: Of the slot's next sector, counted in its request; with ``parts``, of the request's own
        #: next one behind the part that is in hand.
        self.next = Signal(16)
        self.part = Signal(5)
        self.parts = Signal()
        begin = Mux(self.parts, self.state.cut, self.span.first)
        m.d.comb += [
            self.next.eq(begin + Mux(self.parts, self.part, self.span.done)),
            self.offset.eq(self.state.cut),
            self.reach.eq(self.base + self.offset),
        ]

        # The target in hand: while it is fetched, what is known of it comes a cycle behind its
        # number; control's limits always do. What is learnt in a cycle is kept in the next one.
        self.target = Signal(4)
        #: Whose words come.
        self.fetched = Signal(4)
        self.fetches = Signal()
        self.known = TargetState(Signal(TargetState))
        # A tag has no more bits than there are tags.
        kept = Cat(
            value[: len(self.tag)] if name in ("head", "tail") else value
            for name, value in ((name, self.known[name]) for name, _ in TargetState.as_shape())
        )
        m.submodules.target_words = target_words = memory.Memory(shape=len(kept), depth=16, init=[])
        self.limits = Limits(Signal(Limits))
        self.learns, self.learnt = Signal(), Signal()
        #: Control has written its limits since it was made new; of the same age as they.
        self.stale = Signal()
        stored = target_words.read_port(domain="comb")
        keep = target_words.write_port()
        limits = limit_words.read_port(domain="comb")
        m.d.comb += [
            self.fetched.eq(self.target),
            stored.addr.eq(self.fetched),
            limits.addr.eq(self.fetched),
            keep.addr.eq(self.target),
            keep.data.eq(kept),
            keep.en.eq(self.learnt),
        ]
        stale, mark = stale_words.read_port(domain="comb"), stale_words.write_port()
        m.d.sync += [
            self.limits.eq(limits.data),
            self.stale.eq(stale.data),
            self.learnt.eq(self.learns),
        ]

        self.task = Signal(Task)
        self.step = Signal(3)
        # In this cycle what begins with zeros does so: see ``begin_with_zeros``.
        self.renews, self.restarts, self.uncuts, self.empties = (
            Signal(name=name) for name in ("renews", "restarts", "uncuts", "empties")
        )
        # Where control is faster, it is made new once more.
        m.d.comb += [
            stale.addr.eq(self.fetched),
            mark.addr.eq(Mux(self.set_limits.en, self.set_limits.addr, self.target)),
            mark.data.eq(self.set_limits.en),
            mark.en.eq(self.set_limits.en | self.renews),
        ]
        # Time since ``past``, a cycle later, and in the next one whether it is ``bound`` or more.
        # It may stop, and be halved then.
        self.now = Signal(TIME_BITS)
        self.past = Signal(TIME_BITS)
        self.elapsed = Signal(TIME_BITS)
        self.stops, self.halves = Signal(), Signal()
        self.bound = Signal(TIME_BITS)
        self.overdue = Signal()
        m.d.comb += self.past.eq(self.time.sent)
        m.d.sync += self.overdue.eq(~less(self.elapsed, self.bound))
        with m.If(self.halves):
            m.d.sync += self.elapsed.eq(self.elapsed >> 1)
        with m.Elif(~self.stops):
            m.d.sync += self.elapsed.eq(self.now - self.past)
        self.keep_slot = Signal()
        self.keep_request = Signal()
        self.new_slot = Signal()
        self.new_request = Signal()
        self.completes = Signal()
        self.completion = Signal(BlockCompletion)
        #: Counts what lets targets try again that could not send.
        self.changes = Signal(4)
        #: Slots whose copies are dangerous; free slots, and the first of their list.
        self.dangers = Signal(range(slots + 1))
        self.free = Signal(range(slots + 1), init=slots)
        self.first_free = Signal(range(slots), init=slots - 1)
        # In this cycle a slot is taken, or given back; its copies become dangerous, or are no more.
        self.takes, self.frees = Signal(), Signal()
        self.endangers, self.calms = Signal(), Signal()
        #: In this cycle a slot is no longer its target's, nor, with ``settles``, its request's.
        self.leaves, self.settles = Signal(), Signal()
        # What concerns all slots is counted a cycle later: nobody looks before all is stored.
        taken, freed, endangered, calmed, left = (
            Signal(name=name) for name in ("taken", "freed", "endangered", "calmed", "left")
        )
        m.d.sync += [
            taken.eq(self.takes),
            freed.eq(self.frees),
            endangered.eq(self.endangers),
            calmed.eq(self.calms),
            left.eq(self.leaves),
            self.free.eq(stepped(self.free, [freed], [taken])),
            self.dangers.eq(stepped(self.dangers, [endangered], [calmed])),
            self.state.active.eq(stepped(self.state.active, [self.takes], [self.settles])),
            self.known.inflight.eq(stepped(self.known.inflight, [self.takes], [self.leaves])),
        ]
        with m.If(self.fetches):
            m.d.sync += kept.eq(stored.data)
        #: Room for answers that is promised. One adder makes it more for a new frame, and less for
        #: one that leaves; a frame's opcode is its request's.
        self.promised = Signal(11)
        units = answer_units(self.state.opcode, Mux(left, self.kind.sectors, self.part))
        addend = (units ^ left.replicate(len(self.promised)))[: len(self.promised)]
        with m.If(taken | left):
            total = Cat(C(1, 1), self.promised) + Cat(left, addend)
            m.d.sync += self.promised.eq(total[1:])
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
        m.d.comb += [self.frees.eq(1), self.calms.eq(self.kind.danger)]
        m.d.sync += [
            self.kind.state.eq(SlotState.FREE),
            self.span.tag.eq(self.first_free),
            self.first_free.eq(self.slot),
            self.kind.danger.eq(0),
            self.changes.eq(self.changes + 1),
        ]

    def leave_target(self) -> None:
        """The slot and the request in hand: it is no longer one of its target's, nor its answer
        expected."""
        self.m.d.comb += [self.learns.eq(1), self.leaves.eq(1)]
        self.m.d.sync += self.changes.eq(self.changes + 1)

    def begin_with_zeros(self) -> None:
        """The last statements about what begins with zeros: there, it is a reset for synthesis."""
        m, known = self.m, self.known
        with m.If(self.renews):
            m.d.sync += [
                register.eq(0)
                for register in (known.credit, known.sampled, known.mean, known.deviation)
            ]
            m.d.sync += [flag.eq(0) for flag in (known.silent, known.proven, known.fallen)]
        with m.If(self.restarts):
            m.d.sync += restarted(self.kind, self.copies)
        with m.If(self.uncuts):
            m.d.sync += self.state.cut.eq(0)
        with m.If(self.empties):
            m.d.sync += self.sectors.eq(0)

    def hold_slot(self) -> None:
        """Keep the slot in hand until the network cannot deliver any of its copies."""
        m = self.m
        m.d.sync += self.kind.state.eq(SlotState.HELD)
        with m.If(changes(self.kind.opcode)):
            self.endanger()

    def endanger(self) -> None:
        """A copy of the write in hand may be executed when it is no longer wanted."""
        self.m.d.comb += self.endangers.eq(~self.kind.danger)
        self.m.d.sync += self.kind.danger.eq(1)

    def unlink(self) -> None:
        """Take the request in hand, the first of its list, out of it."""
        m = self.m
        m.d.comb += self.learns.eq(1)
        m.d.sync += [self.known.head.eq(self.link.next), self.state.queued.eq(0)]
        with m.If(self.known.head == self.known.tail):
            m.d.sync += self.known.listed.eq(0)

    def block(self) -> None:
        """Let the target in hand wait until something changes."""
        m = self.m
        m.d.comb += self.learns.eq(1)
        m.d.sync += self.known.blocked.eq(self.changes)
        m.next = "IDLE"
        # What came just now was not kept while it seemed that it could go at once.
        with m.If(self.new_request):
            self.store(request=1, new=1)

    def end_request(self, status: Any) -> None:
        """Let the request in hand end when it is stored."""
        self.m.d.sync += [
            self.completes.eq(1),
            self.state.live.eq(0),
            self.completion.tag.eq(self.tag),
            self.completion.status.eq(status),
        ]

    def renew(self) -> None:
        """Forget what was learnt of the way to the target in hand."""
        m = self.m
        m.d.comb += [self.learns.eq(1), self.renews.eq(1)]
        m.d.sync += [
            self.known.window.eq(4),
            self.known.settled.eq(1),
        ]

"""How what is in hand comes out of the memories of slots and requests, and back."""

from amaranth import Cat, Mux, Signal, Value

from niter.ram import Ram

from .desk import Desk
from .layouts import (
    LANE_BITS,
    LANES,
    REQUEST_WORDS,
    SLOT_WORDS,
    WORD_BITS,
    RequestState,
    SlotKind,
    SlotSpan,
    SlotState,
    SlotTime,
)
from .tasks import Task

__all__ = ["Shelf"]

_STATE = REQUEST_WORDS.index(RequestState)
_KIND, _SPAN = SLOT_WORDS.index(SlotKind), SLOT_WORDS.index(SlotSpan)


class Shelf:
    """The memories of slots and requests, and the states that fetch and store, a word a cycle.

    ``LOAD_SLOT`` and ``LOAD_REQUEST`` go on to the state that belongs to the desk's ``task``.
    ``STORE`` writes back the slot if ``keep_slot`` and the request if ``keep_request``, new ones
    whole, and then completes the request if ``completes``.

    Parameters
    ----------
    desk
        Where they lie in hand.
    """

    def __init__(self, desk: Desk):
        self._desk = desk
        m = desk.m
        m.submodules.slot_words = slot_words = Ram(shape=WORD_BITS, depth=8 * desk.slots, init=[])
        m.submodules.request_words = request_words = Ram(
            shape=WORD_BITS, depth=4 * desk.tags, init=[]
        )
        self.slot_read = slot_words.read_port()
        # What a slot was given with its frame stands in the upper lanes of its first word.
        self.slot_write = slot_words.write_port(granularity=LANE_BITS)
        self.request_read = request_words.read_port()
        # The first lane of a link is the request behind it, and can be written by itself.
        self.request_write = request_words.write_port(granularity=LANE_BITS)
        #: That is the request in hand.
        self.joins = Signal()

    def connect(self) -> None:
        """Point the memories at what is in hand; states that are made later may do otherwise."""
        desk, m = self._desk, self._desk.m
        step = desk.step
        m.d.comb += [
            self.slot_read.addr.eq(Cat(step, desk.slot)),
            self.request_read.addr.eq(Cat(step[:2], desk.tag)),
            self.slot_write.addr.eq(Cat(step, desk.slot)),
            self.request_write.addr.eq(Cat(step[:2], desk.tag)),
        ]
        # Times are written by who has just sent. The last word of a slot is written once, when it
        # begins: its first copy is its last.
        times = Cat(desk.now, desk.time.part, desk.issued)
        with m.Switch(step):
            given = Cat(desk.target, desk.time.part, desk.here[: len(desk.kind.place)])
            kind = Cat(desk.kind.as_value()[: -len(given)], given)
            copies = Cat(desk.generation, desk.copies.outstanding)
            for n, word in enumerate((kind, copies, desk.span)):
                with m.Case(n):
                    m.d.comb += self.slot_write.data.eq(word)
            with m.Default():
                m.d.comb += self.slot_write.data.eq(times)
        rest = Cat(desk.base[WORD_BITS:], desk.sectors, desk.home)
        # A link is written when its request has come just now: what is behind that is nothing yet.
        behind = Mux(self.joins, desk.tag, desk.link.next)
        link = Cat(behind, desk.now)
        with m.Switch(step):
            for n, word in enumerate((desk.state, rest, link, desk.base[:WORD_BITS])):
                with m.Case(n):
                    m.d.comb += self.request_write.data.eq(word)

    def states(self, completed: Value) -> None:
        """The states that fetch and store; with ``completed``, a completion on offer is taken."""
        desk, m = self._desk, self._desk.m
        step = desk.step
        with m.State("LOAD_SLOT"):
            m.d.comb += [desk.loading.eq(1), desk.fetches.eq(1)]
            m.d.sync += [step.eq(step + 1), desk.sent.eq(0)]
            for n, word in enumerate((desk.kind, desk.copies, desk.span, desk.time), 1):
                with m.If(step == n):
                    m.d.sync += word.eq(self.slot_read.data)
            # No more bits than tags have, or slots: it may be the next free one.
            with m.If(step == _SPAN + 1):
                numbers = max(len(desk.tag), len(desk.slot))
                m.d.sync += desk.span.tag.eq(self.slot_read.data[:numbers])
            # For as long as it takes to be compared, the first copy's time is behind the last's.
            with m.If(step == 5):
                m.d.sync += desk.time.sent.eq(self.slot_read.data)
            kind = SlotKind(self.slot_read.data[: SlotKind.as_shape().size])
            # A frame that is to be made has its target in hand.
            with m.If((step == 2) & (desk.task != Task.SEND)):
                m.d.sync += desk.target.eq(desk.kind.target)
            with m.If(step == len(SLOT_WORDS)), m.Switch(desk.task):
                with m.Case(Task.TIMER):
                    m.next = "TIMER"
                with m.Case(Task.ABORT):
                    m.next = "ORPHAN"
            # When it was first sent is nothing to an answer.
            with m.If((step == SLOT_WORDS.index(SlotTime) + 1) & (desk.task == Task.ANSWER)):
                m.next = "JUDGE"
            # What a slot was sent for last is of no use to its next frame.
            with m.If((step == _SPAN + 1) & (desk.task == Task.SEND)):
                m.next = "LAUNCH"
            # Most slots need no further look; for an overlap the first word says all.
            with m.If(step == 1), m.Switch(desk.task):
                with m.Case(Task.TIMER), m.If(kind.state == SlotState.FREE):
                    m.next = "IDLE"
                with m.Case(Task.OVERLAP):
                    m.next = "OVERLAP"
                    with m.If(~kind.danger):
                        m.next = "OVERLAP_NEXT"
                with m.Case(Task.ABORT), m.If(kind.state != SlotState.ACTIVE):
                    m.next = "ORPHAN_NEXT"
        with m.State("LOAD_REQUEST"):
            m.d.comb += desk.fetches.eq(1)
            m.d.sync += step.eq(step + 1)
            with m.If(step == 1):
                m.d.sync += desk.state.eq(self.request_read.data)
            with m.If(step == 2):
                words = (desk.base[WORD_BITS:], desk.sectors, desk.home)
                m.d.sync += Cat(*words).eq(self.request_read.data)
            with m.If(step == 3):
                m.d.sync += [desk.link.eq(self.request_read.data), desk.target.eq(desk.home)]
            # How long it has been waiting is known when there is something to be sent of it.
            with m.If(desk.task == Task.SEND):
                m.d.comb += desk.past.eq(desk.link.arrival)
            with m.If(step == len(REQUEST_WORDS)):
                m.d.sync += desk.base[:WORD_BITS].eq(self.request_read.data)
                with m.Switch(desk.task):
                    with m.Case(Task.SEND):
                        m.next = "PART"
                    with m.Case(Task.ANSWER, Task.TIMER):
                        m.next = "SETTLE"
                    with m.Case(Task.ABORT):
                        m.next = "ABORT"
                    with m.Case(Task.FAULT):
                        m.next = "FAULT"
                    with m.Case(Task.REPEAT):
                        m.next = "CUT"
        with m.State("STORE"):
            kept = desk.keep_slot & ((step <= _SPAN) | desk.sent)
            given = kept & ((step != _KIND) | desk.new_slot)
            m.d.comb += [
                self.slot_write.en.eq(Cat(kept, given.replicate(LANES - 1))),
                self.request_write.en.eq(
                    (
                        desk.keep_request & ~step[2] & ((step == _STATE) | desk.new_request)
                    ).replicate(LANES)
                ),
            ]
            m.d.sync += step.eq(step + 1)
            with m.If(step == Mux(desk.new_slot, len(SLOT_WORDS) - 1, 3)):
                m.d.sync += [desk.new_slot.eq(0), desk.new_request.eq(0)]
                m.next = "IDLE"
                with m.If(desk.task == Task.ABORT):
                    m.next = "ORPHAN_NEXT"
                with m.If(desk.completes):
                    m.next = "COMPLETE"
        with m.State("COMPLETE"), m.If(completed):
            m.d.sync += desk.completes.eq(0)
            m.next = "IDLE"

    def clear(self) -> None:
        """In a state of its own, all is made new: what is in hand is, and is written to every
        place; first the words of step 0, which are states, then those of step 2. Goes on to
        ``IDLE``."""
        desk, m = self._desk, self._desk.m
        places = (desk.slot, desk.tag, desk.target)
        following = max(places, key=len) + 1
        m.d.comb += [self.request_write.en.eq(-1), self.slot_write.en.eq(-1)]
        m.d.sync += [place.eq(following) for place in places]
        # All slots are free: each is behind the one above it.
        m.d.sync += desk.span.tag.eq(desk.slot)
        with m.If(following[: max(map(len, places))] == 0):
            m.d.sync += desk.step.eq(_SPAN)
            with m.If(desk.step == _SPAN):
                m.next = "IDLE"
        desk.renew()
        m.d.sync += [desk.known.inflight.eq(0), desk.known.listed.eq(0)]

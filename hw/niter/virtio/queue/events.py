"""What events tell the fetcher of the queue in hand."""

from dataclasses import dataclass
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data

from .agenda import Agenda, Event
from .messages import AccessKind, Area, ControlKind
from .standing import Judgement

__all__ = ["Hand", "event_states"]

#: VIRTQ_USED_F_NO_NOTIFY.
NO_NOTIFY = 1


@dataclass(frozen=True)
class Hand:
    """The queue in hand, as the fetcher's states see it.

    Parameters
    ----------
    agenda
        The event, and what came with it.
    may
        What may be done for the queue.
    standing, course
        Its two words.
    active
        It is enabled, and its function has no fault.
    ahead
        From what was fetched to the index that the event told.
    step
        By how much ``standing.begun`` moves in this cycle.
    sized, size_log2
        The ring's size is set in this cycle, and to what.
    """

    agenda: Agenda
    may: Judgement
    standing: data.View
    course: data.View
    active: Signal
    ahead: Signal
    step: Signal
    sized: Signal
    size_log2: Signal


def event_states(m: Module, fetcher: Any, hand: Hand) -> None:
    """Add the states of all events but a turn to the fetcher's machine.

    They are entered by ``CONTROL``, ``PASS ON``, ``INDEX`` and ``HEADS``, with the queue in
    hand, and end in ``TURN``, ``ASK``, ``READ INDEX`` or ``FINISH``.

    Parameters
    ----------
    m
        Module of the fetcher, inside its ``m.FSM()``.
    fetcher : Fetcher
        Its ports.
    hand
        The queue.
    """
    agenda, may, standing, course = hand.agenda, hand.may, hand.standing, hand.course
    active, ahead, step = hand.active, hand.ahead, hand.step
    event, latest = agenda.event, agenda.latest
    control, access = fetcher.supervision.control, fetcher.access.p

    news, too_far = Signal(), Signal()
    m.d.comb += [
        news.eq(ahead != course.lag),
        # More than the size: a bit above the ring's mask, unless it is the size itself.
        too_far.eq(((ahead & ~may.mask) != 0) & (ahead != may.size)),
    ]

    def write_flags(value):
        m.d.comb += [
            fetcher.access.valid.eq(1),
            access.kind.eq(AccessKind.WRITE),
            access.of.area.eq(Area.DEVICE),
            access.value.eq(value),
            access.offset.eq(0),
        ]

    with m.State("CONTROL"):
        m.d.comb += control.ready.eq(1)
        m.d.sync += [
            fetcher.enabled.eq(standing.enabled),
            fetcher.given.eq(standing.given),
            fetcher.supervision.idle.eq(
                ~standing.reading_index & ~standing.reading_heads & may.idle
            ),
            standing.enabled.eq(0),
        ]
        with m.If(control.p.kind != ControlKind.STOP):
            started = control.p.kind == ControlKind.START
            m.d.comb += [hand.sized.eq(1), hand.size_log2.eq(control.p.size_log2)]
            m.d.sync += [
                standing.eq(0),
                standing.listed.eq(standing.listed & started),
                standing.enabled.eq(started),
                standing.armed.eq(1),
                standing.again.eq(1),
                standing.weight.eq(control.p.weight),
                course.eq(0),
                course.pulled.eq(control.p.pulled),
                course.event_idx.eq(control.p.event_idx),
                course.indirect.eq(control.p.indirect),
                course.size_log2.eq(control.p.size_log2),
            ]
        m.next = "TURN"

    # Chains have left the slots, or have become the device's.
    with m.State("PASS ON"):
        released = agenda.released
        gain = Mux(event == Event.COMMIT, agenda.chains, released.delivered & ~course.pulled)
        m.d.sync += standing.given.eq(standing.given + gain)
        with m.If(event == Event.RELEASE):
            with m.If(released.delivered):
                m.d.sync += standing.kept.eq(standing.kept + 1)
            with m.Else():
                m.d.comb += step.eq(-1)
            # Never shrinking for a pulled queue: what is begun then finds room for sure.
            with m.If(~course.pulled | (released.grain > standing.grain)):
                m.d.sync += standing.grain.eq(released.grain)
            with m.If(released.misfit):
                m.d.sync += standing.flushing.eq(1)
        m.next = "FINISH"

    # The driver has moved the index, or says so.
    with m.State("INDEX"):
        by_read = event == Event.ANSWER
        # A read that is under way may find less than the driver says; and what it says may be
        # older than what a read has found, which counts while there is anything left of that.
        told = ~standing.reading_index & may.caught_up
        moved = active & news & ~too_far & (by_read | told)
        with m.If(by_read):
            m.d.sync += standing.reading_index.eq(0)
            m.next = "FINISH"
            with m.If(active & (latest.error | too_far)):
                m.d.comb += fetcher.supervision.fault.eq(1)
            with m.Elif(moved):
                m.d.sync += standing.again.eq(0)
            with m.Elif(active & standing.again):
                m.next = "READ INDEX"
            with m.Elif(active & ~standing.armed & may.caught_up):
                m.next = "ARM"
        with m.Else():
            m.d.sync += standing.again.eq(standing.again | ~moved)
            m.next = "ASK"
        with m.If(moved & ~(by_read & latest.error)):
            m.d.sync += [course.lag.eq(ahead), standing.armed.eq(0)]
            m.next = "TURN"
            with m.If(standing.armed & ~course.event_idx):
                m.next = "QUIET"
    with m.State("QUIET"):
        write_flags(NO_NOTIFY)
        with m.If(fetcher.access.ready):
            m.next = "TURN"
    with m.State("ARM"):
        write_flags(0)
        with m.If(course.event_idx):
            m.d.comb += [
                access.value.eq(course.fetched),
                access.offset.eq(Cat(C(4, 3), may.size)),
            ]
        with m.If(fetcher.access.ready):
            m.d.sync += standing.armed.eq(1)
            m.next = "READ INDEX"
    with m.State("HEADS"):
        m.d.sync += standing.reading_heads.eq(0)
        m.next = "FINISH"
        with m.If(active & latest.error):
            m.d.comb += fetcher.supervision.fault.eq(1)
        with m.Elif(active):
            m.d.sync += [
                course.lag.eq(course.lag - latest.value[:4]),
                course.fetched.eq(course.fetched + latest.value[:4]),
            ]
            m.next = "TURN"

"""What has been under way for too long: to be sent again, given up, or let go."""

from amaranth import Mux, Signal, Value

from niter.compare import less
from niter.interface import BlockStatus

from .answering import Answering
from .desk import Desk
from .layouts import SAMPLE_BITS, TIME_BITS, Settings, SlotState
from .sending import Sending
from .tasks import Event, Task, changes

__all__ = ["Timing"]

#: Most doublings of the time-out.
_DOUBLINGS = 7
#: Doublings of the floor for a target of which no round-trip time is known.
_UNKNOWN = 3
#: Of the time that an answer should take: its mean and four deviations.
_WAY_BITS = SAMPLE_BITS + 3


class Timing:
    """The states that look at one slot, in hand, and at the time.

    Parameters
    ----------
    desk
        What is in hand.
    sending, answering
        Where a slot goes that is sent again, and one that is given up.
    settings
        The network's times.
    """

    def __init__(self, desk: Desk, sending: Sending, answering: Answering, settings: Settings):
        self._desk = desk
        self._sending = sending
        self._answering = answering
        self._settings = settings

    def states(self, may_send: Value) -> None:
        """The states; with ``may_send`` there is room for an order."""
        desk, m = self._desk, self._desk.m
        kind, span, time, copies = desk.kind, desk.span, desk.time, desk.copies
        known, settings = desk.known, self._settings
        timeout = Signal(TIME_BITS)
        silent = Signal()
        doublings = Signal(4)

        with m.State("TIMER"):
            # Nothing, while nothing is known of it.
            known_way = known.mean[3:] + known.deviation
            held = kind.state == SlotState.HELD
            times = Mux(kind.copies > _DOUBLINGS, _DOUBLINGS, kind.copies - (kind.copies != 0))
            m.d.sync += [
                # A held slot has no other time to wait for.
                timeout.eq(Mux(held, settings.lifetime, known_way)),
                doublings.eq(times + Mux(known.sampled, 0, _UNKNOWN)),
            ]
            # A frame is silent since its first copy; a held slot waits for its last.
            with m.If(~held):
                m.d.comb += desk.past.eq(desk.started)
            m.next = "TIMEOUT"
        with m.State("TIMEOUT"):
            with m.If(held):
                m.d.comb += desk.bound.eq(timeout)
            with m.If(less(timeout[:_WAY_BITS], settings.floor)):
                m.d.sync += timeout.eq(settings.floor)
            m.next = "SINCE"
        with m.State("SINCE"):
            m.d.sync += silent.eq(desk.overdue)
            m.next = "DOUBLE"
            with m.If(held):
                m.next = "IDLE"
                with m.If(desk.overdue):
                    desk.free_slot()
                    desk.store(slot=1)
        with m.State("DOUBLE"):
            m.d.sync += [timeout.eq(timeout << 1), doublings.eq(doublings - 1)]
            with m.If((doublings == 0) | timeout[-1]):
                m.d.sync += timeout.eq(timeout)
                m.next = "EXPIRE"
        with m.State("EXPIRE"):
            m.d.comb += desk.bound.eq(timeout)
            m.next = "LATE"
        with m.State("LATE"):
            unsent = kind.copies == 0
            m.next = "IDLE"
            with m.If((desk.overdue | unsent) & ~self._answering.pending):
                with m.If(silent | ~desk.limits.enabled):
                    m.d.sync += [
                        self._answering.outcome.eq(BlockStatus.PATH),
                        self._answering.failing.eq(0),
                    ]
                    desk.count(Event.SILENT)
                    desk.find_request(span.tag)
                with m.Elif(may_send & ~desk.limits.paused):
                    with m.If(~unsent):
                        desk.count(Event.REPEATED)
                        m.d.comb += desk.learns.eq(1)
                        # What is lost within a window of frames counts once.
                        with m.If(known.settled):
                            m.d.sync += [
                                known.settled.eq(0),
                                known.credit.eq(0),
                                known.window.eq(known.window[1:] | (known.window == 1)),
                            ]
                        with m.If(~known.proven & (kind.copies >= 2) & (time.part > 2)):
                            m.d.sync += known.fallen.eq(1)
                    m.d.sync += desk.task.eq(Task.REPEAT)
                    desk.find_request(span.tag)
        with m.State("CUT"):
            # What is left of the slot's sectors, as far as the target takes it now. A frame of
            # another size is another frame: answers to the old ones no longer count.
            largest = self._sending.largest()
            rest = Signal(5)
            part = Signal(5)
            m.d.comb += [
                rest.eq(kind.sectors - span.done),
                part.eq(Mux(less(largest, rest), largest, rest)),
                desk.offset.eq(desk.next),
            ]
            m.d.sync += [
                desk.here.eq(desk.reach),
                time.part.eq(part),
                desk.keep_request.eq(0),
            ]
            with m.If(part != time.part):
                m.d.comb += desk.restarts.eq(1)
                m.d.sync += kind.lost.eq(
                    kind.lost | (changes(kind.opcode) & copies.outstanding.any())
                )
            m.next = "TRANSMIT"

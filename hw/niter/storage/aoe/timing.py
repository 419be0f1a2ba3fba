"""What has been under way for too long: to be sent again, given up, or let go."""

from amaranth import Array, Mux, Signal, Value

from niter.compare import less_of_few
from niter.interface import BlockStatus

from .answering import Answering
from .desk import Desk
from .layouts import Settings, SlotState
from .sending import Sending
from .tasks import Event, Task, changes

__all__ = ["Timing"]

#: Most doublings of the time-out.
_DOUBLINGS = 7
#: Doublings of the floor for a target of which no round-trip time is known.
_UNKNOWN = 3


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
        late = Signal()
        # Until this is nothing, the time since the last copy is halved; it is compared with both,
        # since the way may not be known yet. The way takes no time while nothing is known of it.
        doublings = Signal(4)
        way = known.mean[3:] + known.deviation
        held = kind.state == SlotState.HELD
        # Outside of these states it is the silence.
        which = Signal(2)
        m.d.comb += desk.bound.eq(
            Array((settings.silence, settings.lifetime, settings.floor, way))[which]
        )

        with m.State("TIMER"):
            times = Mux(kind.copies > _DOUBLINGS, _DOUBLINGS, kind.copies - (kind.copies != 0))
            m.d.sync += doublings.eq(times + Mux(known.sampled, 0, _UNKNOWN))
            # A held slot has no other time to wait for.
            m.d.comb += [desk.stops.eq(1), which.eq(1)]
            m.next = "HALVE"
        with m.State("HALVE"):
            m.d.comb += [desk.stops.eq(1), desk.halves.eq(1), which.eq(3)]
            m.d.sync += doublings.eq(doublings - 1)
            with m.If(doublings == 0):
                m.d.comb += desk.halves.eq(0)
                m.next = "FLOOR"
            with m.If(held):
                m.next = "IDLE"
                with m.If(desk.overdue):
                    desk.free_slot()
                    desk.store(slot=1)
        with m.State("FLOOR"):
            m.d.comb += which.eq(2)
            m.d.sync += late.eq(desk.overdue)
            m.next = "SILENCE"
        with m.State("SILENCE"):
            # Its first copy's time is in hand by now.
            m.d.sync += late.eq(late & desk.overdue)
            m.next = "LATE"
        with m.State("LATE"):
            unsent = kind.copies == 0
            m.next = "IDLE"
            with m.If((late | unsent) & ~self._answering.pending):
                with m.If(desk.overdue | ~desk.limits.enabled):
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
                part.eq(Mux(less_of_few(largest, rest), largest, rest)),
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

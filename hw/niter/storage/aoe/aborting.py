"""How a request is taken back: out of its list, and out of its slots."""

from amaranth import Signal

from .copies import may_linger
from .desk import Desk
from .layouts import REQUEST_WORDS, RequestLink
from .shelf import Shelf
from .tasks import Task

__all__ = ["Aborting"]

_LINK = REQUEST_WORDS.index(RequestLink)


class Aborting:
    """The states of an abort, which begins when nothing of any request is on its way through
    the builder or the receiver, and of joining a list.

    Parameters
    ----------
    desk, shelf
        What is in hand, and where the links of lists stand.
    """

    def __init__(self, desk: Desk, shelf: Shelf):
        self._desk = desk
        self._shelf = shelf

    def states(self, abort, aborted, completing, at_once) -> None:
        """The states; ``aborted`` stays behind a completion that is on offer, and with ``at_once``
        a new request that finds its list empty is sent before it is kept."""
        desk, m, shelf = self._desk, self._desk.m, self._shelf
        known = desk.known
        before = Signal.like(desk.tag)
        # The slot in hand is the request's: both stand for some cycles before that is looked at.
        own = Signal()
        m.d.sync += own.eq(desk.span.tag == desk.tag)
        link = RequestLink(shelf.request_read.data[: RequestLink.as_shape().size])

        def relink():
            """Write which request is behind the one before; the step is that of links."""
            m.d.comb += [
                shelf.request_write.addr[2:].eq(before),
                shelf.request_write.en.eq(1),
            ]

        with m.State("ABORT"):
            m.next = "ACKNOWLEDGE"
            with m.If(desk.state.live):
                m.next = "ORPHANS"
                with m.If(desk.state.queued):
                    m.d.sync += [before.eq(known.head), desk.step.eq(_LINK)]
                    m.next = "WALK"
                    with m.If(known.head == desk.tag):
                        desk.unlink()
                        m.next = "ORPHANS"
        with m.State("WALK"):
            m.d.comb += shelf.request_read.addr[2:].eq(before)
            m.next = "STEP"
        with m.State("STEP"):
            m.d.sync += before.eq(link.next)
            m.next = "WALK"
            with m.If(link.next == desk.tag):
                relink()
                with m.If(known.tail == desk.tag):
                    m.d.comb += desk.learns.eq(1)
                    m.d.sync += known.tail.eq(before)
                m.next = "ORPHANS"
        with m.State("ORPHANS"):
            m.d.sync += desk.state.live.eq(0)
            desk.find_slot(0, Task.ABORT)
            with m.If(desk.state.active == 0):
                m.next = "FORGET"
        with m.State("ORPHAN"):
            m.next = "ORPHAN_NEXT"
            with m.If(own):
                desk.leave_target()
                with m.If(may_linger(desk.kind, desk.copies)):
                    desk.hold_slot()
                with m.Else():
                    desk.free_slot()
                desk.store(slot=1)
        with m.State("ORPHAN_NEXT"):
            with m.If(desk.slot == desk.slots - 1):
                m.d.sync += desk.step.eq(0)
                m.next = "FORGET"
            with m.Else():
                desk.find_slot(desk.slot + 1, Task.ABORT)
        with m.State("FORGET"):
            # The first step: its state.
            m.d.comb += shelf.request_write.en.eq(-1)
            m.next = "ACKNOWLEDGE"
        with m.State("ACKNOWLEDGE"):
            m.d.comb += [
                aborted.valid.eq(~completing),
                abort.ready.eq(aborted.valid & aborted.ready),
            ]
            with m.If(abort.ready):
                m.next = "IDLE"

        # A request joins its target's list.
        with m.State("APPEND"):
            m.d.comb += desk.learns.eq(1)
            m.d.sync += [
                before.eq(known.tail),
                desk.state.queued.eq(1),
                known.listed.eq(1),
                known.tail.eq(desk.tag),
            ]
            m.next = "STORE"
            with m.If(known.listed):
                m.d.sync += desk.step.eq(_LINK)
                m.next = "JOIN"
            with m.Else():
                m.d.sync += [
                    known.head.eq(desk.tag),
                    known.blocked.eq(desk.changes - 1),
                ]
                with m.If((desk.task == Task.SEND) & at_once):
                    m.next = "PART"
        with m.State("JOIN"):
            m.d.comb += shelf.joins.eq(1)
            relink()
            m.d.sync += desk.step.eq(0)
            m.next = "STORE"
        m.d.comb += aborted.payload.eq(desk.tag)

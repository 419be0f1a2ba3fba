"""How requests become frames, one at a time, as far as the windows and other writes let them."""

from amaranth import Mux, Signal, Value

from niter.interface import BlockOpcode, BlockStatus

from .copies import begun, sent
from .desk import Desk, Event, Task, answer_units, changes
from .layouts import SlotState

__all__ = ["Sending"]


class Sending:
    """The states from a target that may have something to send, to its frame's order.

    ``SEND`` begins with the target in hand; ``TRANSMIT`` with the slot, ready to be sent
    (again).

    Parameters
    ----------
    desk
        What is in hand.
    receive
        Units of answers that may be in flight.
    silence
        How long a request may wait.
    """

    def __init__(self, desk: Desk, receive: Value, silence: Value):
        self._desk = desk
        self._receive = receive
        self._silence = silence
        #: Sectors of the frame to be made.
        self.part = Signal(5)
        #: Orders given so far.
        self.issued = Signal(5)

    def largest(self) -> Value:
        """Most sectors of a frame to the target in hand."""
        limit = self._desk.limits.sectors
        return Mux(self._desk.known.fallen & (limit > 2), 2, limit)

    def states(self, order, pull) -> None:
        """The states; ``order`` and ``pull`` have room whenever they begin."""
        desk, m = self._desk, self._desk.m
        known, limits = desk.known, desk.limits
        kind, span, time, copies = desk.kind, desk.span, desk.time, desk.copies
        part, here = self.part, desk.here
        m.d.comb += desk.bound.eq(self._silence)

        with m.State("SEND"):
            m.d.sync += desk.task.eq(Task.SEND)
            full = (known.inflight >= known.window) | (known.inflight >= limits.buffers)
            with m.If(~known.listed | (known.blocked == desk.changes)):
                m.next = "IDLE"
            with m.Elif(limits.enabled & full):
                desk.block()
            with m.Else():
                desk.find_request(known.head)
        with m.State("PART"):
            remaining = Signal(16)
            largest = self.largest()
            m.d.comb += [
                remaining.eq(desk.sectors - desk.state.cut),
                desk.past.eq(desk.link.arrival),
            ]
            m.d.sync += [
                part.eq(Mux(remaining > largest, largest, remaining)),
                here.eq(desk.reach),
            ]
            m.next = "CHECK"
        with m.State("CHECK"):
            room = Signal(12)
            m.d.comb += room.eq(desk.promised + answer_units(desk.state.opcode, part))
            # It may wait for as long as its target answers others.
            late = desk.overdue & (known.silent | limits.paused)
            bad = desk.state.status != BlockStatus.OK
            with m.If(bad | late | ~limits.enabled):
                with m.If(~bad):
                    m.d.sync += desk.state.status.eq(BlockStatus.PATH)
                desk.unlink()
                m.next = "DROP"
            with m.Elif(limits.paused | ((room > self._receive) & (desk.promised != 0))):
                desk.block()
            with m.Elif((desk.dangers != 0) & (part != 0)):
                desk.find_slot(0, Task.OVERLAP)
            with m.Else():
                m.next = "ALLOCATE"
        with m.State("DROP"):
            # Its last slot ends it, if it has any.
            with m.If(desk.state.active == 0):
                desk.end_request(desk.state.status)
            desk.store(request=1)
        with m.State("OVERLAP"):
            ahead = Signal(49)
            m.d.comb += ahead.eq(here - desk.base)
            behind = -ahead[:5]
            near = Mux(
                ahead[-1],
                ahead[5:].all() & (ahead[:5] != 0) & (behind[:5] < part),
                ~ahead[5:].any() & (ahead[:5] < span.sectors),
            )
            with m.If(near & (kind.target == desk.home)):
                desk.count(Event.WAITED)
                desk.block()
            with m.Else():
                m.next = "OVERLAP_NEXT"
        with m.State("OVERLAP_NEXT"):
            with m.If(desk.slot == desk.slots - 1):
                m.next = "ALLOCATE"
            with m.Else():
                desk.find_slot(desk.slot + 1, Task.OVERLAP)
        with m.State("ALLOCATE"):
            desk.find_slot(Mux(desk.returned != 0, desk.first_free, desk.unused), Task.SEND)
        with m.State("LAUNCH"):
            with m.If(desk.returned != 0):
                m.d.sync += [
                    desk.first_free.eq(span.tag),
                    desk.returned.eq(desk.returned - 1),
                ]
            with m.Else():
                m.d.sync += desk.unused.eq(desk.unused + 1)
            m.d.sync += [
                kind.state.eq(SlotState.ACTIVE),
                kind.danger.eq(0),
                kind.opcode.eq(desk.state.opcode),
                kind.target.eq(desk.target),
                *begun(kind, copies),
                span.tag.eq(desk.tag),
                span.first.eq(desk.state.cut),
                span.sectors.eq(part),
                span.done.eq(0),
                desk.new_slot.eq(1),
                time.part.eq(part),
                desk.state.cut.eq(desk.state.cut + part),
                desk.state.active.eq(desk.state.active + 1),
                desk.keep_request.eq(1),
                desk.new_request.eq(0),
                desk.promised.eq(desk.promised + answer_units(desk.state.opcode, part)),
            ]
            m.d.comb += [desk.learn.eq(1), desk.learnt.inflight.eq(known.inflight + 1)]
            with m.If((desk.state.cut + part)[:16] == desk.sectors):
                desk.unlink()
            desk.count(Event.SENT)
            m.next = "TRANSMIT"
        with m.State("TRANSMIT"):
            m.d.comb += [order.valid.eq(1), pull.valid.eq(kind.opcode == BlockOpcode.WRITE)]
            m.d.sync += [
                self.issued.eq(self.issued + 1),
                time.serial.eq(self.issued),
                time.sent.eq(desk.now),
                *sent(kind, copies),
            ]
            with m.If(changes(kind.opcode) & ((kind.copies != 0) | kind.lost)):
                desk.endanger()
            desk.store(slot=1, request=desk.keep_request)
        m.d.comb += [
            order.payload.target.eq(kind.target),
            order.payload.slot.eq(desk.slot),
            order.payload.generation.eq(copies.generation + 1),
            order.payload.opcode.eq(kind.opcode),
            order.payload.sectors.eq(time.part),
            order.payload.lba.eq(here),
            pull.payload.tag.eq(span.tag),
            pull.payload.first.eq(span.first + span.done),
            pull.payload.sectors.eq(time.part),
        ]

"""How requests become frames, one at a time, as far as the windows and other writes let them."""

from amaranth import Array, C, Cat, Mux, Signal, Value

from niter.compare import less, less_of_few
from niter.interface import BlockOpcode, BlockStatus

from .codec import AtaCommand, AtaFlag
from .copies import sent
from .desk import Desk
from .heads import HeadKind, swapped
from .layouts import Settings, SlotState
from .tasks import Event, Task, answer_units, changes

__all__ = ["Sending"]


class Sending:
    """The states from a target that may have something to send, to its frame's order.

    ``SEND`` begins with the target in hand; ``TRANSMIT`` with the slot, ready to be sent
    (again).

    Parameters
    ----------
    desk
        What is in hand.
    settings
        The network's, and what the tags are mixed with.
    """

    def __init__(self, desk: Desk, settings: Settings):
        self._desk = desk
        self._receive = settings.receive
        self._seed = settings.seed
        self._order = self._words()

    def largest(self) -> Value:
        """Most sectors of a frame to the target in hand."""
        limit = self._desk.limits.sectors
        return Mux(self._desk.known.fallen & (limit > 2), 2, limit)

    def _words(self) -> list[Value]:
        """What the builder needs of the slot in hand; see ``heads``."""
        desk = self._desk
        opcode = desk.kind.opcode
        tag = Cat(desk.slot, C(0, 8 - len(desk.slot)), desk.generation ^ self._seed)
        zeroes = opcode == BlockOpcode.WRITE_ZEROES
        writes = changes(opcode)
        command, flags = Signal(8), Signal(8)
        desk.m.d.comb += [
            command.eq(AtaCommand.READ_EXT),
            flags.eq(AtaFlag.EXTENDED | Mux(writes, AtaFlag.WRITE, 0)),
        ]
        with desk.m.If(writes):
            desk.m.d.comb += command.eq(AtaCommand.WRITE_EXT)
        with desk.m.If(opcode == BlockOpcode.FLUSH):
            desk.m.d.comb += [command.eq(AtaCommand.FLUSH), flags.eq(0)]
        return [
            Cat(swapped(tag), desk.target),
            Cat(flags, C(0, 8), desk.time.part, C(0, 3), command, writes, zeroes),
            desk.here[:32],
            desk.here[32:],
        ]

    def states(self, order, pull) -> None:
        """The states; there is room for an order and in ``pull`` whenever they begin."""
        desk, m = self._desk, self._desk.m
        known, limits = desk.known, desk.limits
        kind, span, time, copies = desk.kind, desk.span, desk.time, desk.copies
        part, here = desk.part, desk.here
        last = Signal()
        words = self._order
        # Room for answers that is not promised, a cycle late: nothing is promised in the cycle
        # before it is looked at. Negative when there is less room than there was.
        space = Signal(12)
        m.d.sync += space.eq(self._receive - desk.promised)

        def allocate():
            desk.find_slot(desk.first_free, Task.SEND)
            # Its first word becomes another.
            m.d.sync += desk.step.eq(1)

        with m.State("SEND"):
            m.d.sync += desk.task.eq(Task.SEND)
            full = ~(
                less_of_few(known.inflight, known.window)
                & less_of_few(known.inflight, limits.buffers)
            )
            with m.If(~known.listed | (known.blocked == desk.changes)):
                m.next = "IDLE"
            with m.Elif(limits.enabled & full):
                desk.block()
            with m.Else():
                desk.find_request(known.head)
        with m.State("PART"):
            remaining = Signal(16)
            largest = self.largest()
            more = remaining[5:].any() | less_of_few(largest, remaining[:5])
            m.d.comb += remaining.eq(desk.sectors - desk.state.cut)
            m.d.sync += [
                part.eq(Mux(more, largest, remaining)),
                last.eq(~more),
                here.eq(desk.reach),
            ]
            m.next = "CHECK"
        with m.State("CHECK"):
            units = answer_units(desk.state.opcode, part)
            tight = (space[-1] | less(space[:-1], units)) & (desk.promised != 0)
            # It may wait for as long as its target answers others. What came just now is not late.
            late = desk.overdue & ~desk.new_request & (known.silent | limits.paused)
            bad = desk.state.status != BlockStatus.OK
            with m.If(bad | late | ~limits.enabled):
                with m.If(~bad):
                    m.d.sync += desk.state.status.eq(BlockStatus.PATH)
                desk.unlink()
                m.next = "DROP"
            with m.Elif(limits.paused | tight):
                desk.block()
            with m.Elif((desk.dangers != 0) & (part != 0)):
                desk.find_slot(0, Task.OVERLAP)
            with m.Else():
                allocate()
        with m.State("DROP"):
            # Its last slot ends it, if it has any.
            with m.If(desk.state.active == 0):
                desk.end_request(desk.state.status)
            desk.store(request=1)
        near = Signal()
        with m.State("OVERLAP"):
            # How far behind the slot's first sector the new ones begin. With all high bits set they
            # begin before it, and ``beyond`` says whether they reach it.
            ahead, beyond = Signal(len(kind.place)), Signal(6)
            m.d.comb += [ahead.eq(here - kind.place), beyond.eq(ahead[:5] + part)]
            inside = ~ahead[5:].any() & less_of_few(ahead[:5], kind.sectors)
            reaches = ahead[5:].all() & beyond[5] & beyond[:5].any()
            m.d.sync += near.eq((inside | reaches) & (kind.target == desk.home))
            m.next = "NEAR"
        with m.State("NEAR"):
            with m.If(near):
                desk.count(Event.WAITED)
                desk.block()
            with m.Else():
                m.next = "OVERLAP_NEXT"
        with m.State("OVERLAP_NEXT"):
            with m.If(desk.slot == desk.slots - 1):
                allocate()
            with m.Else():
                desk.find_slot(desk.slot + 1, Task.OVERLAP)
        with m.State("LAUNCH"):
            m.d.sync += [
                desk.first_free.eq(span.tag),
                kind.state.eq(SlotState.ACTIVE),
                kind.danger.eq(0),
                kind.opcode.eq(desk.state.opcode),
                kind.lost.eq(0),
                span.tag.eq(desk.tag),
                span.first.eq(desk.state.cut),
                span.done.eq(0),
                desk.new_slot.eq(1),
                time.part.eq(part),
                desk.state.cut.eq(desk.next),
                desk.keep_request.eq(1),
            ]
            m.d.comb += [desk.takes.eq(1), desk.learns.eq(1), desk.restarts.eq(1)]
            m.d.comb += desk.parts.eq(1)
            with m.If(last):
                desk.unlink()
            desk.count(Event.SENT)
            m.next = "TRANSMIT"
        with m.State("TRANSMIT"):
            m.d.comb += pull.valid.eq(kind.opcode == BlockOpcode.WRITE)
            m.d.sync += [
                desk.step.eq(0),
                desk.sent.eq(1),
                *sent(kind, copies),
            ]
            with m.If(changes(kind.opcode) & ((kind.copies != 0) | kind.lost)):
                desk.endanger()
            m.next = "ORDER"
        with m.State("ORDER"):
            m.d.comb += order.valid.eq(1)
            with m.If(order.ready):
                m.d.sync += desk.step.eq(desk.step + 1)
                with m.If(desk.step == len(words) - 1):
                    m.d.sync += desk.issued.eq(desk.issued + 1)
                    desk.store(slot=1, request=desk.keep_request, new=desk.new_request)
        m.d.comb += [
            order.payload.data.eq(Array(words)[desk.step[:2]]),
            order.payload.at.kind.eq(HeadKind.ORDER),
            order.payload.at.index.eq(desk.issued),
            order.payload.at.word.eq(desk.step),
            pull.payload.tag.eq(span.tag),
            pull.payload.first.eq(desk.next),
            pull.payload.sectors.eq(time.part),
        ]

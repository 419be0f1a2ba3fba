"""Hands entries to the engine and to the firmware, one at a time."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, MessageBeat
from niter.nvme.command import EntryBeat

from .entries import ENTRY_BEATS, SLOTS, EntryPort
from .layouts import Purge
from .messages import Events, RequestKind
from .notices import NoticePort

__all__ = ["Dispatcher"]

_ENTRY_BYTES = 64
_EVENT_BYTES = 8


class Dispatcher(wiring.Component):
    """Sends what has arrived: entries of I/O queues, in order, admin entries, and events.

    An I/O entry is offered when fewer than ``tags`` commands are under way, so that the engine
    begins to take it in bounded time; until then it can be forgotten. Of a function, events go
    before its admin entry. A message begins when its function has credit and is not mute.

    Latency 2 cycles from an entry's arrival to its first beat, and a beat a cycle; functions are
    asked one a cycle whether they have messages.

    Parameters
    ----------
    functions
        How many.
    tags
        Commands that the engine carries out at once.

    Members
    -------
    entries : Out(EntryPort), notices : Out(NoticePort)
        What there is to send.
    purge : In(stream.Signature(Purge))
        Accepted when all reads that were asked for before it have arrived, and the entries in
        question are gone. I/O entries that it finds are counted as if they were under way.
    completed : In(1)
        The engine has completed a command.
    settled : In(12)
        So many commands are no longer under way, in every cycle in which it is not zero.
    credit, mute : In(8)
        Functions that have credit at the mailbox; that may not send.
    entry : Out(stream.Signature(EntryBeat))
    request : Out(stream.Signature(MessageBeat))
    """

    def __init__(self, functions: int, tags: int):
        if tags < 1:
            raise ValueError(f"The engine has at least one tag, not {tags!r}")
        self.functions = functions
        self.tags = tags
        super().__init__(
            {
                "entries": Out(EntryPort),
                "notices": Out(NoticePort),
                "purge": In(stream.Signature(Purge)),
                "completed": In(1),
                "settled": In(12),
                "credit": In(MAX_FUNCTIONS),
                "mute": In(MAX_FUNCTIONS),
                "entry": Out(stream.Signature(EntryBeat)),
                "request": Out(stream.Signature(MessageBeat)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        entries, address = self.entries, self.entries.address
        slot_bits = len(address.entry)

        # Commands under way, and those that a purge has found.
        under_way = Signal(range(self.tags + SLOTS + 1))
        begun, found = Signal(), Signal()
        # What ends is counted a cycle late: there are fewer under way than it seems, never more.
        ended = Signal.like(under_way)
        m.d.sync += [
            ended.eq(self.completed + self.settled),
            under_way.eq(under_way + (begun | found) - ended),
        ]

        # A purge waits for the reads that were asked for before it.
        marked, passed = Signal(), Signal()
        mark = Signal.like(entries.reads)
        with m.If(~marked):
            m.d.sync += [marked.eq(self.purge.valid), mark.eq(entries.reads), passed.eq(0)]
        with m.Elif(entries.arrivals == mark):
            m.d.sync += passed.eq(1)
        with m.If(self.purge.ready):
            m.d.sync += marked.eq(0)
        scan = Signal.like(entries.head)
        purge, owner = self.purge.payload, entries.owner
        matches = (owner.function == purge.function) & (
            (owner.queue == purge.queue) | (purge.queue == 0)
        )

        def is_dead(number):
            return entries.dead.bit_select(number[:slot_bits], 1)

        # Whose messages are looked at.
        turn = Signal(range(self.functions))
        may_send = self.credit & ~self.mute
        is_admin, at = Signal(), Signal(range(ENTRY_BEATS))
        tag, told = Signal(16), Signal(Events)
        entry, message = self.entry.payload, self.request.payload
        m.d.comb += [
            entries.victim.eq(scan),
            address.entry.eq(Mux(is_admin, turn, entries.head)),
            address.beat.eq(at),
            address.is_admin.eq(is_admin),
            self.notices.select.eq(turn),
            entry.packet.data.eq(entries.word),
            entry.packet.last.eq(at == ENTRY_BEATS - 1),
            entry.function.eq(owner.function),
            entry.queue.eq(owner.queue),
            message.packet.data.eq(entries.word),
            message.packet.last.eq(entry.packet.last),
            message.header.function.eq(turn),
            message.header.kind.eq(RequestKind.ADMIN),
            # The identifier stands in the first beat.
            message.header.tag.eq(Mux(at == 0, entries.word[16:32], tag)),
            message.header.length.eq(_ENTRY_BYTES),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [address.entry.eq(entries.head), address.is_admin.eq(0)]
                m.d.sync += [is_admin.eq(0), scan.eq(entries.head), told.eq(self.notices.events)]
                with m.If(passed & self.purge.valid):
                    m.next = "PURGE"
                with m.Elif((may_send & self.notices.any).bit_select(turn, 1)):
                    m.d.comb += self.notices.take.eq(1)
                    m.next = "EVENT"
                with m.Elif((may_send & entries.admin).bit_select(turn, 1)):
                    m.d.sync += is_admin.eq(1)
                    m.next = "FETCH"
                with m.Else():
                    m.d.sync += turn.eq(Mux(turn == self.functions - 1, 0, turn + 1))
                    with m.If(entries.head != entries.arrived):
                        with m.If(is_dead(entries.head)):
                            m.d.comb += entries.advance.eq(1)
                        with m.Elif(under_way < self.tags):
                            m.d.comb += begun.eq(1)
                            m.next = "SEND"

            with m.State("FETCH"):
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.entry.valid.eq(~is_admin), self.request.valid.eq(is_admin)]
                with m.If(Mux(is_admin, self.request.ready, self.entry.ready)):
                    m.d.comb += address.beat.eq(at + 1)
                    m.d.sync += [at.eq(at + 1), tag.eq(message.header.tag)]
                    with m.If(entry.packet.last):
                        m.d.comb += entries.advance.eq(~is_admin)
                        with m.If(is_admin):
                            m.d.comb += entries.free.bit_select(turn, 1).eq(1)
                        m.next = "IDLE"

            with m.State("EVENT"):
                m.d.comb += [
                    self.request.valid.eq(1),
                    message.packet.data.eq(told),
                    message.packet.last.eq(1),
                    message.header.kind.eq(RequestKind.EVENT),
                    message.header.tag.eq(0),
                    message.header.length.eq(_EVENT_BYTES),
                ]
                with m.If(self.request.ready):
                    m.next = "IDLE"

            with m.State("PURGE"):
                m.d.comb += [address.entry.eq(scan), address.is_admin.eq(0)]
                m.next = "MATCH"
                with m.If(scan == entries.arrived):
                    m.d.comb += self.purge.ready.eq(1)
                    with m.If(purge.queue == 0):
                        m.d.comb += entries.free.bit_select(purge.function, 1).eq(1)
                    m.next = "IDLE"
            with m.State("MATCH"):
                m.d.comb += [
                    found.eq(matches & ~is_dead(scan)),
                    entries.kill.eq(found),
                ]
                m.d.sync += scan.eq(scan + 1)
                m.next = "PURGE"
        return m

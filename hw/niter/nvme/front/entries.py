"""Submission entries between host memory and those who carry them out."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, ReadBeat
from niter.stream import Ram

from .layouts import BATCH, Arrival, ReadContext

__all__ = ["ENTRY_BEATS", "SLOTS", "EntryPort", "EntryStore"]

#: Entries of I/O queues that can be kept.
SLOTS = 32

#: Beats of an entry.
ENTRY_BEATS = 8

_SLOT_BITS = 5

#: What the dispatcher sees of the entries.
#:
#: ``reads`` and ``arrivals`` count, modulo 64, reads that were asked for and arrivals that were
#: accepted. ``head`` and ``arrived`` are the numbers, modulo 64, of the oldest entry and of the
#: one behind those that have arrived; of the entries between them those are to be skipped whose
#: bit in ``dead`` is set. ``admin`` tells the functions whose admin entry has arrived. A beat
#: stands on ``word`` with its ``owner`` one cycle after its ``address``: number of the beat, then
#: that of the entry, or with ``is_admin`` the function. ``advance``: the oldest entry is done
#: with; ``free``: those admin entries are; ``kill``: entry ``victim`` is dead.
EntryPort = wiring.Signature(
    {
        "reads": In(_SLOT_BITS + 1),
        "arrivals": In(_SLOT_BITS + 1),
        "head": In(_SLOT_BITS + 1),
        "arrived": In(_SLOT_BITS + 1),
        "dead": In(SLOTS),
        "admin": In(MAX_FUNCTIONS),
        "address": Out(data.StructLayout({"beat": 3, "entry": _SLOT_BITS, "is_admin": 1})),
        "word": In(64),
        "owner": In(ReadContext),
        "advance": Out(1),
        "kill": Out(1),
        "victim": Out(_SLOT_BITS),
        "free": Out(MAX_FUNCTIONS),
    }
)


class EntryStore(wiring.Component):
    """Keeps entries in the order in which they were asked for, and one admin entry a function.

    Beside each beat stand function and queue, so that the entries of one queue can be found and
    marked as dead. A batch that did not arrive whole is dead from the start.

    Members
    -------
    asked : In(1), context : In(ReadContext)
        Entries have been asked for, and a place is theirs.
    answer : In(stream.Signature(ReadBeat))
        Stalled for ``BATCH`` cycles at most.
    arrival : Out(stream.Signature(Arrival))
        Entries are here, or will not come.
    room : Out(1), admissible : Out(8)
        There is room for a batch; for an admin entry of a function.
    port : In(EntryPort)
    """

    asked: In(1)
    context: In(ReadContext)
    answer: In(stream.Signature(ReadBeat))
    arrival: Out(stream.Signature(Arrival))
    room: Out(1)
    admissible: Out(MAX_FUNCTIONS)
    port: In(EntryPort)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.beats = beats = Ram(shape=72, depth=2 * SLOTS * ENTRY_BEATS, init=[])
        write, read = beats.write_port(), beats.read_port()
        m.d.comb += [
            read.addr.eq(self.port.address),
            Cat(self.port.word, self.port.owner.function, self.port.owner.queue).eq(read.data),
        ]

        # Asked for.
        tail = Signal(_SLOT_BITS + 1)
        busy = Signal(MAX_FUNCTIONS)
        m.d.sync += [
            self.room.eq((tail - self.port.head)[: _SLOT_BITS + 1] <= SLOTS - BATCH),
            self.port.reads.eq(self.port.reads + self.asked),
            self.port.head.eq(self.port.head + self.port.advance),
        ]
        m.d.comb += self.admissible.eq(~busy)
        with m.If(self.asked & (self.context.queue != 0)):
            m.d.sync += tail.eq(tail + self.context.count)

        # Arriving. ``at`` counts beats of an answer; entries show when all of it is here.
        packet, context = self.answer.payload.packet, Signal(ReadContext)
        arrival = self.arrival.payload
        at = Signal(_SLOT_BITS + 2)
        slot = Signal(_SLOT_BITS)
        is_admin = context.queue == 0
        m.d.comb += [
            context.eq(self.answer.payload.context),
            slot.eq(self.port.arrived + at[3:]),
            write.addr.eq(Cat(at[:3], slot, is_admin)),
            write.data.eq(Cat(packet.data, context.function, context.queue)),
        ]
        with m.If(is_admin):
            m.d.comb += slot.eq(context.function)
        with m.If(self.arrival.ready):
            m.d.sync += self.arrival.valid.eq(0)
            m.d.sync += self.port.arrivals.eq(self.port.arrivals + self.arrival.valid)

        missing = Signal(4)
        with m.FSM():
            with m.State("FILL"):
                m.d.comb += self.answer.ready.eq(~self.arrival.valid)
                with m.If(self.answer.valid & self.answer.ready):
                    m.d.comb += write.en.eq(1)
                    m.d.sync += at.eq(at + 1)
                    with m.If(~is_admin):
                        m.d.sync += self.port.dead.bit_select(slot, 1).eq(0)
                    with m.If(packet.last):
                        whole = (at + 1 == context.count << 3) & ~packet.error
                        m.d.sync += [
                            at.eq(0),
                            self.arrival.valid.eq(1),
                            arrival.function.eq(context.function),
                            arrival.queue.eq(context.queue),
                            arrival.count.eq(context.count),
                            arrival.error.eq(~whole),
                        ]
                        with m.If(is_admin):
                            m.d.sync += self.port.admin.bit_select(context.function, 1).eq(whole)
                            with m.If(~whole):
                                m.d.sync += busy.bit_select(context.function, 1).eq(0)
                        with m.Elif(whole):
                            m.d.sync += self.port.arrived.eq(self.port.arrived + context.count)
                        with m.Else():
                            m.d.sync += [missing.eq(context.count), self.arrival.valid.eq(0)]
                            m.next = "MISS"
            with m.State("MISS"):
                m.d.sync += [
                    self.port.dead.bit_select(self.port.arrived[:_SLOT_BITS], 1).eq(1),
                    self.port.arrived.eq(self.port.arrived + 1),
                    missing.eq(missing - 1),
                ]
                with m.If(missing == 1):
                    m.d.sync += self.arrival.valid.eq(1)
                    m.next = "FILL"

        with m.If(self.port.kill):
            m.d.sync += self.port.dead.bit_select(self.port.victim, 1).eq(1)
        for f in range(MAX_FUNCTIONS):
            with m.If(self.asked & (self.context.queue == 0) & (self.context.function == f)):
                m.d.sync += busy[f].eq(1)
            with m.If(self.port.free[f]):
                m.d.sync += [busy[f].eq(0), self.port.admin[f].eq(0)]
        return m

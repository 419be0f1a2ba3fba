"""Takes in descriptors and checks them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import ReadBeat
from niter.stream import Ram

from .geometry import SLOT_SEGMENTS, SLOTS, ring_mask
from .messages import Area, Begin, Context, SlotContext
from .port import AddressWrite
from .slots import Outcome, Progress

__all__ = ["MAX_CHAIN", "SegmentAddress", "SegmentWord", "Walker"]

#: Most segments of a chain, and most descriptors of an indirect table.
MAX_CHAIN = 64


class Descriptor(data.Struct):
    """The second half of a descriptor (virtio 1.2, 2.7.5); the first is its address."""

    length: 32
    next_follows: 1
    writable: 1
    indirect: 1
    reserved: 13
    next: 16


class SegmentWord(data.Struct):
    """A third of a segment: address (low, high), then length with ``writable``."""

    word: 32
    writable: 1


class SegmentAddress(data.Struct):
    """Where a third of a segment stands in the walker's RAM."""

    part: 2
    index: 6
    slot: 3


class Walker(wiring.Component):
    """Follows a chain through the descriptors that arrive and stores its segments.

    Four cycles a descriptor. An answer is always taken, whatever goes on elsewhere. The
    walk through an answer ends early when the chain leaves the descriptors that were read;
    what was read in vain is skipped.

    A chain is bad (virtio 1.2, 2.7.5) when a descriptor has no length, when a
    device-readable one follows a device-writable one, when ``next`` points beyond the
    ring or the table, when there are more than 64 segments (a loop has), when an indirect
    descriptor was not negotiated, is in a table or has a successor, when a table's length
    is not that of 1 to 64 descriptors, or when the read failed.

    Members
    -------
    answer : In(stream.Signature(ReadBeat))
        Descriptors.
    look : Out(3), look_valid : Out(1), begun : In(Begin), progress : In(Progress)
        Look-up of the slot.
    answered : Out(Progress), answered_slot : Out(3), answered_valid : Out(1)
        What became of it.
    overflow : In(3), overflow_taken : In(1)
        The slot that may use the overflow area.
    book : Out(AddressWrite), book_valid : Out(1)
        Address of the slot's indirect table, or what would be it.
    address : In(SegmentAddress), segment : Out(SegmentWord)
        Reads a stored segment, one cycle later.
    """

    answer: In(stream.Signature(ReadBeat))
    look: Out(3)
    look_valid: Out(1)
    begun: In(Begin)
    progress: In(Progress)
    answered: Out(Progress)
    answered_slot: Out(3)
    answered_valid: Out(1)
    overflow: In(3)
    overflow_taken: In(1)
    book: Out(AddressWrite)
    book_valid: Out(1)
    address: In(SegmentAddress)
    segment: Out(SegmentWord)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # Slots first, each with room for 8 segments of four words; then the overflow area.
        m.submodules.segments = segments = Ram(
            shape=SegmentWord, depth=4 * (SLOTS * SLOT_SEGMENTS + MAX_CHAIN), init=[]
        )
        store, load = segments.write_port(), segments.read_port()

        def place(slot, index, part):
            beyond = index[3:6] != 0
            return Cat(part, index[:3], Mux(beyond, index[3:6], slot), beyond)

        slot = Signal(3)
        now = Signal(Progress)
        indirect_allowed = Signal()
        function = Signal(3)
        part = Signal(2)
        context = SlotContext(Context(self.answer.p.context).extra)
        beat = self.answer.p.packet
        high = Signal()
        word = Mux(high, beat.data[32:], beat.data[:32])
        descriptor = data.View(Descriptor, beat.data)
        m.d.comb += [
            load.addr.eq(place(self.address.slot, self.address.index, self.address.part)),
            self.segment.eq(load.data),
            store.addr.eq(place(slot, now.count, part)),
            store.data.word.eq(word),
            store.data.writable.eq(descriptor.writable),
            self.look.eq(context.slot),
            self.book.of.index.eq(slot),
            self.book.of.function.eq(function),
            self.book.of.area.eq(Area.TABLE),
            self.book.high.eq(high),
            self.book.word.eq(word),
            self.answered.eq(now),
            self.answered_slot.eq(slot),
        ]

        bad = Signal()
        is_indirect = Signal()
        is_next = Signal()
        writable = Signal()
        follows_on = Signal()
        too_many = Signal()
        readable = Signal(18)
        long = Signal()
        more_in_slot = Signal()
        owns_overflow = Signal()
        length = descriptor.length
        final = Signal()
        m.d.comb += owns_overflow.eq(self.overflow_taken & (self.overflow == slot))
        with m.FSM():
            with m.State("OPEN"):
                m.d.sync += [
                    slot.eq(context.slot),
                    now.eq(self.progress),
                    indirect_allowed.eq(self.begun.indirect),
                    function.eq(self.begun.row[4:]),
                ]
                with m.If(context.first):
                    m.d.sync += [
                        now.eq(0),
                        now.index.eq(self.begun.head),
                        now.limit.eq(ring_mask(m, self.begun.size_log2)),
                    ]
                with m.If(self.answer.valid):
                    m.d.comb += self.look_valid.eq(1)
                    m.next = "ADDRESS"
            with m.State("ADDRESS"), m.If(self.answer.valid):
                m.d.comb += [
                    store.en.eq(1),
                    part.eq(high),
                    self.book_valid.eq(~now.table),
                    self.answer.ready.eq(high),
                ]
                m.d.sync += high.eq(~high)
                with m.If(high):
                    m.next = "LENGTH"
                    with m.If(beat.last):  # it ends in mid-descriptor: an error
                        m.d.sync += now.outcome.eq(Outcome.BAD)
                        m.next = "CLOSE"
            with m.State("LENGTH"), m.If(self.answer.valid):
                m.d.comb += [store.en.eq(1), part.eq(2)]
                # Decoded now, judged in the next cycle, while the beat stands.
                m.d.sync += [
                    bad.eq(
                        (length == 0)
                        | (beat.last & beat.error)
                        | (descriptor.next_follows & (descriptor.next > now.limit))
                        | (
                            Mux(
                                descriptor.indirect,
                                ~indirect_allowed
                                | now.table
                                | descriptor.next_follows
                                | (length[:4] != 0)
                                | (length[11:] != 0)
                                | (length[10] & (length[:10] != 0)),
                                now.written & ~descriptor.writable,
                            )
                        )
                    ),
                    is_indirect.eq(descriptor.indirect),
                    is_next.eq(descriptor.next_follows),
                    writable.eq(descriptor.writable),
                    follows_on.eq(descriptor.next == now.index + 1),
                    too_many.eq(now.count[6] & ~descriptor.indirect),
                    more_in_slot.eq((now.count < SLOT_SEGMENTS - 1) | owns_overflow),
                    readable.eq(now.total + length[:17]),
                    long.eq(length[17:] != 0),
                    final.eq(beat.last),
                ]
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += self.answer.ready.eq(1)
                m.d.sync += now.index.eq(descriptor.next)
                with m.If(bad | too_many):
                    m.d.sync += now.outcome.eq(Outcome.BAD)
                    m.next = "SKIP"
                with m.Elif(is_indirect):
                    m.d.sync += [
                        now.table.eq(1),
                        now.index.eq(0),
                        now.limit.eq(length[4:11] - 1),
                        now.outcome.eq(Outcome.MORE),
                    ]
                    m.next = "SKIP"
                with m.Else():
                    m.d.sync += [now.count.eq(now.count + 1), now.written.eq(writable)]
                    with m.If(~writable):
                        m.d.sync += [
                            now.total.eq(readable),
                            now.huge.eq(now.huge | long | readable[17]),
                        ]
                    with m.If(~is_next):
                        m.d.sync += now.outcome.eq(Outcome.COMPLETE)
                        m.next = "SKIP"
                    with m.Elif(~more_in_slot):
                        m.d.sync += now.outcome.eq(Outcome.FULL)
                        m.next = "SKIP"
                    with m.Elif(~follows_on):
                        m.d.sync += now.outcome.eq(Outcome.MORE)
                        m.next = "SKIP"
                    with m.Else():
                        m.d.sync += now.outcome.eq(Outcome.MORE)
                        m.next = "ADDRESS"
                with m.If(final):
                    m.next = "CLOSE"
            with m.State("SKIP"):
                m.d.comb += self.answer.ready.eq(1)
                with m.If(self.answer.valid & beat.last):
                    with m.If(beat.error):
                        m.d.sync += now.outcome.eq(Outcome.BAD)
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.answered_valid.eq(1)
                m.next = "OPEN"
        return m

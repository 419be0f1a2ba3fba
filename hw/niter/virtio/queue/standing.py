"""What the fetcher knows of a queue: two words of its RAM."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["HEADS", "HEADS_PER_READ", "Course", "Judgement", "Standing"]

#: Heads kept at hand for each queue.
HEADS = 16

#: Most heads that one read fetches; a read does not cross a multiple of it.
HEADS_PER_READ = 8


class Standing(data.Struct):
    """How far the chains of a queue have come, and what is going on. Positions are entries of
    the available ring, counted from its start, without their upper bits.

    Members
    -------
    given : 10 bits
        Up to here the device has got the chains for good.
    begun : 6 bits
        Up to here they were put into slots.
    kept : 5 bits
        Up to here they have left the slots again.
    grain : 3 bits
        Logarithm of the number of segments, of the last chain of a pushed queue, of the
        longest one of a pulled queue.
    last : 3 bits
        Slot of the chain begun last.
    enabled, weight
        As configured.
    reading_index, reading_heads : 1 bit
        A read is on its way.
    armed : 1 bit
        The driver was told to notify.
    again : 1 bit
        The index is to be read again, whatever the read under way finds.
    flushing : 1 bit
        Chains come back from the slots; begin none until all have.
    listed : 1 bit
        It stands in the list.
    """

    given: 10
    begun: 6
    kept: 5
    grain: 3
    last: 3
    weight: 2
    enabled: 1
    reading_index: 1
    reading_heads: 1
    armed: 1
    again: 1
    flushing: 1
    listed: 1


class Course(data.Struct):
    """How far the driver has come.

    Members
    -------
    fetched : 16 bits
        Position up to which entries have arrived.
    lag : 11 bits
        Entries from there to the available index as last read.
    pulled, event_idx, indirect, size_log2
        As configured.
    """

    fetched: 16
    lag: 11
    pulled: 1
    event_idx: 1
    indirect: 1
    size_log2: 4


class Judgement(wiring.Component):
    """What may be done for a queue, combinationally.

    Members
    -------
    standing : In(Standing), course : In(Course)
        The queue.
    mask : In(10)
        What of a position tells the place in its ring.
    idle : Out(1)
        No chain of it is in a slot.
    flushing : Out(1)
        As it has become.
    may_begin : Out(1)
        There is a chain to begin, and room for it behind the slots.
    may_read : Out(1)
        There are entries to be read, and room for them.
    caught_up : Out(1)
        All entries that are known of have arrived.
    coming : Out(1)
        Chains leave the slots, or may do so soon, without anything being given away before.
    size : Out(11)
        Entries of the ring.
    batch : Out(range(HEADS_PER_READ + 1))
        Entries that a read takes.
    """

    standing: In(Standing)
    course: In(Course)
    mask: In(10)
    idle: Out(1)
    flushing: Out(1)
    may_begin: Out(1)
    may_read: Out(1)
    caught_up: Out(1)
    coming: Out(1)
    size: Out(11)
    batch: Out(range(HEADS_PER_READ + 1))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        standing, course = self.standing, self.course
        lag, fetched = course.lag, course.fetched
        ahead = Signal(6)
        held = Signal(5)
        fits, has_heads, looks = Signal(), Signal(), Signal()
        m.d.comb += [
            self.idle.eq(standing.begun[:5] == standing.kept),
            self.flushing.eq(standing.flushing & ~self.idle),
            ahead.eq(standing.begun - standing.given[:6]),
            has_heads.eq(fetched[:5] != standing.begun[:5]),
            self.may_begin.eq(has_heads & ~self.flushing & fits),
            held.eq(fetched[:5] - standing.kept),
            self.caught_up.eq(lag == 0),
            self.may_read.eq(~self.caught_up & ~standing.reading_heads & (held[3:] == 0)),
            # An index that was read behind ``avail_event`` and stood still is all there is.
            looks.eq(standing.reading_index | standing.again | ~standing.armed),
            self.coming.eq(~self.idle | (fits & (has_heads | ~self.caught_up | looks))),
            # One above the mask's highest.
            self.size.eq(Cat(C(1, 1), self.mask) & ~Cat(self.mask, C(0, 1))),
        ]
        # Chains as long as those before find room behind the slots for sure: up to 32 of one
        # segment, and so on by halves.
        with m.Switch(standing.grain):
            for grain in range(6):
                with m.Case(grain):
                    m.d.comb += fits.eq(~ahead[max(5 - grain, 0) :].any())
        with m.If(~course.pulled):
            m.d.comb += fits.eq(1)

        # To the next multiple of a read's size, or to the end of a ring that is smaller.
        beyond = Signal(3)
        m.d.comb += [
            beyond.eq(~fetched[:3] & self.mask[:3]),
            self.batch.eq(beyond + 1),
        ]
        with m.If((lag[3:] == 0) & (lag[:3] <= beyond)):
            m.d.comb += self.batch.eq(lag)
        return m

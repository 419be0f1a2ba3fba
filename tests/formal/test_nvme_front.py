"""Proofs of what follows from the arithmetic of NVMe's rings, for rings of 2 to 16 entries.

Each specification takes the steps that the front takes, in any order and with any doorbells,
through the functions that the front uses; induction makes it hold for ever. The functions are
the same for the front's 12 bits, where the solver needs too long.
"""

from amaranth import Module, Mux, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.nvme.front.layouts import BATCH
from niter.nvme.front.rings import advance, batch, distance, fewer, is_in, past
from tests.formal.harness import prove

#: Of pointers.
BITS = 4


def within(pointer, start, end, last):
    """Is ``pointer`` one of the places from ``start`` to before ``end``, which are apart?"""
    return distance(pointer, start, last) < distance(end, start, last)


class CompletionRing(Elaboratable):
    """Claims, posts, releases and doorbells of a completion queue, and a host that follows."""

    def elaborate(self, platform):
        m = Module()
        last = AnyConst(BITS)
        m.d.comb += Assume(last != 0)
        head, tail, phase = Signal(BITS), Signal(BITS), Signal()
        used, claimed = Signal(BITS), Signal(BITS)

        claim, post, ring, release = (AnySeq(1) for _ in range(4))
        m.d.comb += Assume(claim + post + ring + release <= 1)
        # Room is claimed: what is granted is left, and never more than there is.
        wanted, granted = AnySeq(4), Signal(4)
        m.d.comb += granted.eq(fewer((last - used)[:BITS], wanted))
        with m.If(claim):
            m.d.sync += [used.eq(used + granted), claimed.eq(claimed + granted)]
        # What is claimed is posted, or given back.
        with m.If(post):
            m.d.comb += Assume(claimed != 0)
            m.d.sync += [
                claimed.eq(claimed - 1),
                tail.eq(advance(tail, last)),
                phase.eq(phase ^ (tail == last)),
            ]
        less = AnySeq(BITS)
        with m.If(release):
            m.d.comb += Assume(less <= claimed)
            m.d.sync += [used.eq(used - less), claimed.eq(claimed - less)]
        # The host writes what it likes.
        value = AnySeq(BITS + 2)
        gap, before = distance(value[:BITS], head, last), distance(tail, head, last)
        good = (gap <= before) & is_in(value, last)
        with m.If(ring & good):
            m.d.sync += [head.eq(value[:BITS]), used.eq(used - gap)]

        # No more is claimed or posted than the ring holds, so no entry is overwritten.
        m.d.comb += [
            Assert((head <= last) & (tail <= last)),
            Assert(used == claimed + before),
            Assert((used <= last) & (claimed <= last)),
            Assert(~post | (before < last)),
        ]

        # One place of the ring, its phase tag, and how the host reads it: with the phase of its
        # own round, which changes where the ring ends.
        place, tag = AnyConst(BITS), Signal()
        host = Signal(init=1)
        m.d.comb += Assume(place <= last)
        with m.If(post & (tail == place)):
            m.d.sync += tag.eq(~phase)
        with m.If(ring & good):
            m.d.sync += host.eq(host ^ (value[:BITS] < head))
        expected = host ^ (place < head)
        m.d.comb += [
            Assert((tag == expected) == within(place, head, tail, last)),
            Assert(phase == ~host ^ (tail < head)),
        ]
        return m


def test_a_completion_queue_is_never_overrun_and_its_phase_tells_new_entries():
    prove(CompletionRing(), depth=1, mode="prove")


class SubmissionRing(Elaboratable):
    """Doorbells and batches of a submission queue, seen from one place of the ring."""

    def elaborate(self, platform):
        m = Module()
        last = AnyConst(BITS)
        m.d.comb += Assume(last != 0)
        head, tail, reading = Signal(BITS), Signal(BITS), Signal(4)
        ring, read, arrive = (AnySeq(1) for _ in range(3))
        m.d.comb += Assume(ring + read + arrive <= 1)
        before = distance(tail, head, last)

        value = AnySeq(BITS + 2)
        good = (distance(value[:BITS], head, last) >= before) & is_in(value, last)
        with m.If(ring & good):
            m.d.sync += tail.eq(value[:BITS])
        # A batch, or less of it where the completion queue has less room.
        count, granted = Signal(4), AnySeq(4)
        m.d.comb += count.eq(batch(before, (last - head)[:BITS]))
        with m.If(read):
            m.d.comb += Assume((head != tail) & (reading == 0))
            m.d.comb += Assume((granted != 0) & (granted <= count))
            m.d.sync += reading.eq(granted)
        with m.If(arrive):
            m.d.comb += Assume(reading != 0)
            m.d.sync += [head.eq(past(head, reading, last)), reading.eq(0)]
        m.d.comb += [
            Assert((head <= last) & (tail <= last)),
            Assert(reading <= before),
            Assert((reading == 0) | ((head + reading)[: BITS + 1] <= last + 1)),
            # There is something to read, and no more than there is.
            Assert(~read | ((count != 0) & (count <= before) & (count <= BATCH))),
        ]

        # An entry is there when a doorbell has passed its place; it is read once before another
        # doorbell passes it.
        place, there, asked = AnyConst(BITS), Signal(), Signal()
        m.d.comb += Assume(place <= last)
        passes = ring & good & within(place, tail, value[:BITS], last)
        covers = read & (place >= head) & (place < head + granted)
        leaves = arrive & (place >= head) & (place < head + reading)
        with m.If(passes):
            m.d.sync += there.eq(1)
            m.d.comb += [Assert(~there), Assert(~asked)]
        with m.If(covers):
            m.d.sync += asked.eq(1)
            m.d.comb += [Assert(there), Assert(~asked)]
        with m.If(leaves):
            m.d.sync += [there.eq(0), asked.eq(0)]
            m.d.comb += Assert(asked)
        m.d.comb += [
            Assert(there == within(place, head, tail, last)),
            Assert(asked == ((place >= head) & (place < head + reading))),
        ]
        return m


def test_each_submission_entry_is_read_once():
    prove(SubmissionRing(), depth=1, mode="prove")


class Host(Elaboratable):
    """Doorbells of a host that keeps the rules are never refused."""

    def elaborate(self, platform):
        m = Module()
        last, head, tail = AnyConst(BITS), AnyConst(BITS), AnyConst(BITS)
        more = AnyConst(BITS)
        m.d.comb += Assume((last != 0) & (head <= last) & (tail <= last))
        waiting = distance(tail, head, last)
        # A submission queue that holds ``waiting`` entries takes so many more.
        m.d.comb += Assume(more <= (last - waiting)[:BITS])
        value = Signal(BITS)
        end = (tail + more)[: BITS + 1]
        m.d.comb += value.eq(Mux(end > last, end - last - 1, end))
        m.d.comb += Assert((distance(value, head, last) >= waiting) & is_in(value, last))
        # A completion queue gives up to ``waiting`` entries.
        some = AnyConst(BITS)
        m.d.comb += Assume(some <= waiting)
        taken = Signal(BITS)
        behind = (head + some)[: BITS + 1]
        m.d.comb += taken.eq(Mux(behind > last, behind - last - 1, behind))
        m.d.comb += Assert((distance(taken, head, last) <= waiting) & is_in(taken, last))
        return m


def test_honest_doorbells_are_accepted():
    prove(Host(), depth=1)

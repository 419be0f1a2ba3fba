"""Payload of completions goes into the read buffer."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from niter.interface import Beat

from .count import increment

__all__ = ["PayloadWriter"]


class PayloadWriter(wiring.Component):
    """Puts the doublewords of a completion where they belong, a beat a cycle.

    The buffer has a half for each lane of a beat, and a doubleword keeps its lane: the first one
    of a payload comes in the upper lane. So the doublewords of a word may be the wrong way
    round; beside the upper half stands whether they are. Both come from one completion, which
    is why one that ends within a word must be the last of its request.

    Members
    -------
    valid : In(1), beat : In(Beat)
        A beat that carries payload is there.
    begins : In(1), tag : In(5), lower : In(7)
        It is the completion's first, with one doubleword, which belongs at byte ``lower`` of
        slot ``tag``.
    lower_store, upper_store : In(memory.WritePort.Signature)
        Write ports of the halves, one cycle later. In the upper half a bit above the doubleword
        says that the word is the wrong way round.
    """

    valid: In(1)
    beat: In(Beat)
    begins: In(1)
    tag: In(5)
    lower: In(7)
    lower_store: In(memory.WritePort.Signature(addr_width=9, shape=32))
    upper_store: In(memory.WritePort.Signature(addr_width=9, shape=33))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        lower, upper = self.lower_store, self.upper_store
        active, ends = Signal(), Signal()
        swapped = Signal()
        #: Where the doubleword of the upper lane goes, and where the one before it went.
        word, before = Signal(9), Signal(4)
        m.d.sync += [
            active.eq(self.valid),
            ends.eq(self.beat.last & self.beat.empty[2]),
            lower.en.eq(self.valid & ~self.begins),
            lower.data.eq(self.beat.data[:32]),
            upper.data[:32].eq(self.beat.data[32:]),
        ]
        with m.If(self.begins):
            m.d.sync += [swapped.eq(~self.lower[2]), word.eq(Cat(self.lower[3:], self.tag))]
        with m.Elif(active):
            m.d.sync += word[:4].eq(increment(word[:4]))
        with m.If(active):
            m.d.sync += before.eq(word[:4])
        m.d.comb += [
            upper.data[32].eq(swapped),
            lower.addr.eq(Cat(Mux(swapped, before, word[:4]), word[4:])),
            upper.addr.eq(word),
            # A doubleword that stands alone in the lower half is marked beside it.
            upper.en.eq(active & ~(ends & swapped)),
        ]
        return m

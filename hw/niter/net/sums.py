"""Ones' complement sums of what passes in words of two halves."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .stage import add_carry

__all__ = ["HalfSums"]


class HalfSums(wiring.Component):
    """Sums of the high and of the low halves of 32-bit words, as they come.

    What has been added is the ones' complement sum of both (RFC 1071). Each cycle adds the
    carries of the one before: ``sums`` and ``zero`` are right 2 cycles behind the last word.

    Members
    -------
    start : In(1), first : In(16)[2]
        Begin with these two sums.
    high, low : In(16)
        To be added; zero when there is nothing.
    sums : Out(16)[2]
        The two sums.
    zero : Out(1)
        They cancel out.
    """

    start: In(1)
    first: In(16).array(2)
    high: In(16)
    low: In(16)
    sums: Out(16).array(2)
    zero: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        totals = [Signal(17, name=f"total_{n}") for n in range(2)]
        for n, half in enumerate((self.high, self.low)):
            m.d.sync += totals[n].eq(add_carry(totals[n][:16], half, totals[n][16]))
            with m.If(self.start):
                m.d.sync += totals[n].eq(self.first[n])
            m.d.comb += self.sums[n].eq(totals[n][:16])
        both = Cat(self.sums[0], self.sums[1])
        # Zero has two forms, and two sums of it need not cancel bit by bit.
        opposite = self.sums[0] == ~self.sums[1]
        m.d.comb += self.zero.eq(opposite | both.all() | ~both.any())
        return m

"""Health tests of a noise source (NIST SP 800-90B, 4.4)."""

from fractions import Fraction
from math import ceil, comb

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["APT_WINDOW", "HealthTests", "proportion_cutoff", "repetition_cutoff"]

#: Samples in a window of the adaptive proportion test, as the standard has it for bits.
APT_WINDOW = 1024

#: A good source raises a false alarm with a probability of 2 to the minus this, in each test.
_FALSE_ALARM_BITS = 20


def repetition_cutoff(entropy: float) -> int:
    """How many equal samples in a row are an alarm (4.4.1), for min-entropy a sample in bits."""
    return 1 + ceil(_FALSE_ALARM_BITS / Fraction(entropy))


def proportion_cutoff(entropy: float) -> int:
    """How many samples like the first of a window are an alarm (4.4.2).

    One more than the critical value of the binomial distribution, computed exactly for the
    probability 2 ** -entropy, rounded to 64 binary digits.
    """
    scale = 1 << 64
    likely = round(2.0 ** (64 - entropy))
    tail, limit = 0, scale**APT_WINDOW >> _FALSE_ALARM_BITS
    for count in range(APT_WINDOW, -1, -1):
        tail += comb(APT_WINDOW, count) * likely**count * (scale - likely) ** (APT_WINDOW - count)
        if tail > limit:
            return 1 + count
    raise AssertionError("the distribution sums to one")


class HealthTests(wiring.Component):
    """Repetition count and adaptive proportion tests on single bits, continuously.

    ``alarm`` rises in the cycle after the sample that was too much and stays until ``restart``.
    ``tested`` rises when a full window of samples has passed both tests: the start-up test (4.3).

    Parameters
    ----------
    entropy
        What the source is trusted for: min-entropy of a sample, above 0 and up to 1 bit.

    Members
    -------
    sample, valid : In(1)
        A sample of the source.
    restart : In(1)
        Begin anew, with the start-up test.
    alarm : Out(1)
        The source does not do what it is trusted for.
    tested : Out(1)
        The start-up test is over.
    """

    sample: In(1)
    valid: In(1)
    restart: In(1)
    alarm: Out(1)
    tested: Out(1)

    def __init__(self, entropy: float):
        if not 0 < entropy <= 1:
            raise ValueError(f"Entropy of a bit is above 0 and at most 1, not {entropy!r}")
        self.entropy = entropy
        self.longest = repetition_cutoff(entropy)
        self.most = proportion_cutoff(entropy)
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        before = Signal()
        run = Signal(range(self.longest + 1))
        next_run = Signal.like(run)
        reference = Signal()
        position = Signal(range(APT_WINDOW))
        alike = Signal(range(APT_WINDOW + 1))
        next_alike = Signal.like(alike)
        first = position == 0
        m.d.comb += [
            next_run.eq(Mux((run == 0) | (self.sample != before), 1, run + 1)),
            next_alike.eq(Mux(first, 1, alike + (self.sample == reference))),
        ]
        with m.If(self.valid & ~self.alarm):
            m.d.sync += [
                before.eq(self.sample),
                run.eq(next_run),
                position.eq(position + 1),
                alike.eq(next_alike),
            ]
            with m.If(first):
                m.d.sync += reference.eq(self.sample)
            with m.If((next_run == self.longest) | (next_alike == self.most)):
                m.d.sync += [self.alarm.eq(1), self.tested.eq(0)]
            with m.Elif(position == APT_WINDOW - 1):
                m.d.sync += self.tested.eq(1)
        with m.If(self.restart):
            m.d.sync += [self.alarm.eq(0), self.tested.eq(0), run.eq(0), position.eq(0)]
        return m

"""Counters that go up and down with one adder."""

from collections.abc import Iterable

from amaranth import Array, C, Cat, Value, signed

__all__ = ["stepped"]


def stepped(counter: Value, ups: Iterable[Value], downs: Iterable[Value]) -> Value:
    """The counter, modulo its width, one more for each of ``ups`` and one less for each of
    ``downs`` that is high.

    What is added is looked up. As a sum and a difference, synthesis would make an adder for each
    term, or a row of full adders.

    Parameters
    ----------
    counter
        A number of any width.
    ups, downs
        Bits: three at most are still a LUT a bit of what is added.
    """
    ups, downs = list(ups), list(downs)
    events = Cat(*ups, *downs)
    signs = [1] * len(ups) + [-1] * len(downs)
    shape = signed(len(signs).bit_length() + 1)
    steps = Array(
        C(sum(sign for bit, sign in enumerate(signs) if which >> bit & 1), shape)
        for which in range(1 << len(events))
    )
    return (counter + steps[events])[: len(counter)]

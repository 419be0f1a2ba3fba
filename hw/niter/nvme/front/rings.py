"""The arithmetic of rings: what a doorbell may say, and how much may be read and posted.

A ring has ``last + 1`` entries, not always a power of two; ``last`` tells the width of pointers.
The proofs in ``tests/formal`` say what follows from these functions together.
"""

from amaranth import Mux, Value

from niter.compare import less

from .layouts import BATCH

__all__ = ["advance", "batch", "distance", "fewer", "is_in", "past"]


def distance(later: Value, earlier: Value, last: Value) -> Value:
    """Steps from ``earlier`` to ``later``, both in the ring."""
    difference = later - earlier
    return (difference + (last + 1 & difference[-1].replicate(len(last) + 1)))[: len(last)]


def is_in(value: Value, last: Value) -> Value:
    """Is ``value``, as a doorbell brings it, in the ring?"""
    return ~less(last, value)


def advance(pointer: Value, last: Value) -> Value:
    """The place behind ``pointer``."""
    return Mux(pointer == last, 0, pointer + 1)[: len(last)]


def past(pointer: Value, count: Value, last: Value) -> Value:
    """The place ``count`` entries behind ``pointer``, which are in the ring without a wrap."""
    behind = (pointer + count)[: len(last) + 1]
    return Mux(behind == last + 1, 0, behind)[: len(last)]


def fewer(one: Value, other: Value) -> Value:
    """The lesser of two."""
    return Mux(less(one, other), one, other)


def batch(gap: Value, left: Value) -> Value:
    """How many entries to read: those that there are, ``gap``, up to the ring's end, of which
    the distance is ``left``, but ``BATCH`` at most."""
    to_end = Mux(left[3:] == 0, left[:3] + 1, BATCH)
    return Mux(gap[3:] == 0, fewer(gap[:3], to_end), to_end)[:4]

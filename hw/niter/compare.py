"""Comparison in as few LUTs as it takes."""

from amaranth import Const, Value

__all__ = ["below", "less", "less_of_few"]


def below(value: Value, limit: int) -> Value:
    """``value < limit``, bit by bit: a few LUTs, where synthesis makes a carry chain of ``<``.

    Parameters
    ----------
    value
        Unsigned.
    limit
        Not negative.
    """
    width = limit.bit_length()
    is_below: Value = Const(0)
    for bit in range(min(width, len(value))):
        is_below = (~value[bit] | is_below) if limit >> bit & 1 else (~value[bit] & is_below)
    if width > len(value):
        return Const(1)
    return is_below & ~value[width:].any() if width < len(value) else is_below


def less(one: Value, other: Value) -> Value:
    """``one < other``, as the carry of their difference.

    Of the operators synthesis makes the same for one order of its operands, and for the other the
    carry and a test for equality besides: half a LUT more for each bit.

    Parameters
    ----------
    one, other
        Of any width; what is signed is compared as what it is.
    """
    return (one - other)[-1]


def less_of_few(one: Value, other: Value) -> Value:
    """``one < other`` for a few bits: a LUT for each, where a carry chain takes two cells more.

    Parameters
    ----------
    one, other
        Unsigned, of any width; the way through them is as long as the wider one.
    """
    is_less: Value = Const(0)
    for bit in range(max(len(one), len(other))):
        a = one[bit] if bit < len(one) else Const(0)
        b = other[bit] if bit < len(other) else Const(0)
        is_less = (~a & b) | ((~a | b) & is_less)
    return is_less

"""Counting without a carry chain."""

from amaranth.hdl import Cat, Value, ValueLike

__all__ = ["increment"]


def increment(value: ValueLike, by: ValueLike = 1) -> Value:
    """``value`` plus the bit ``by``, modulo its width.

    A carry chain of an ECP5 takes four LUTs beside those of its bits: up to some twelve bits,
    as most counters here have, an AND of the bits below is smaller.
    """
    bits, carry = [], Value.cast(by)[0]
    for bit in Value.cast(value):
        bits.append(bit ^ carry)
        carry = carry & bit
    return Cat(bits)

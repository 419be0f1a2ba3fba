"""Wishbone B4, as far as the soft core needs it: classic cycles and incrementing bursts."""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import Out

__all__ = ["BURST_WORDS", "CycleType", "Wishbone"]

#: Words of a burst: a line of the core's caches. A burst begins at a multiple of it.
BURST_WORDS = 8


class CycleType(enum.Enum, shape=3):
    """Cycle type identifiers (Wishbone B4, 4.3.1)."""

    CLASSIC = 0b000
    INCREMENTING = 0b010
    END_OF_BURST = 0b111


#: A bus of 32-bit words, seen from its initiator. ``ack`` ends each transfer; with
#: ``cti`` INCREMENTING another one follows at the next address, within the same line.
Wishbone = wiring.Signature(
    {
        "cyc": Out(1),
        "stb": Out(1),
        "we": Out(1),
        "adr": Out(30),
        "sel": Out(4),
        "cti": Out(3),
        "dat_w": Out(32),
        "dat_r": wiring.In(32),
        "ack": wiring.In(1),
    }
)

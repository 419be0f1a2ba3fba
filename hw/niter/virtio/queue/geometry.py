"""How big the engine is."""

from dataclasses import dataclass

from amaranth import Module, Signal, Value

from niter.interface import MAX_FUNCTIONS

__all__ = ["RING_SEGMENTS", "RING_WORDS", "SLOTS", "SLOT_SEGMENTS", "Geometry", "ring_mask"]

#: Chains that are being put together at once.
SLOTS = 8

#: Segments that a slot holds itself; longer chains go on in the one overflow area.
SLOT_SEGMENTS = 8

#: Words of a pulled queue's ring of segments; a segment is three of them.
RING_WORDS = 128

#: Segments that it holds: the longest chain of a pulled queue, and the most segments that can
#: be taken before a commit. One word stays free, so that a full ring does not look empty.
RING_SEGMENTS = (RING_WORDS - 1) // 3


@dataclass(frozen=True)
class Geometry:
    """The engine's size.

    A queue is known inside by its *row*: its index and, above it, its function.

    Parameters
    ----------
    functions
        Functions served, 1 to 8.
    pulled
        Indices of the queues, of each function, that may be pulled; none where a device pulls
        nothing, and the engine then has no part for it.
    holdable
        Indices of the queues, of each function, whose chains ``held`` holds and which are told
        of. None: all.
    """

    functions: int = 4
    pulled: tuple[int, ...] = (0, 2, 4, 6)
    holdable: tuple[int, ...] | None = None

    def __post_init__(self):
        if not 1 <= self.functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {self.functions!r}")
        if not all(0 <= index < 16 for index in self.pulled):
            raise ValueError(f"Pulled queues have indices from 0 to 15, not {self.pulled!r}")

    def holds(self, row: Value) -> Value:
        """Whether a row is of those that can be held."""
        return row[:4].matches(*self.holdable)

    @property
    def row_bits(self) -> int:
        """Width of a row number."""
        return 4 + (self.functions - 1).bit_length()

    @property
    def rows(self) -> int:
        """Rows in the tables, used or not."""
        return 1 << self.row_bits

    @property
    def pulled_bits(self) -> int:
        """Width of a pulled queue's place among those of its function."""
        return (len(self.pulled) - 1).bit_length()


def ring_mask(m: Module, size_log2: Value) -> Signal:
    """The bits of a position that tell the place in a ring of ``1 << size_log2`` entries.

    A table: of a shift and a subtraction, synthesis would make a carry chain.
    """
    mask = Signal(10)
    with m.Switch(size_log2):
        for log2 in range(11):
            with m.Case(log2):
                m.d.comb += mask.eq((1 << log2) - 1)
    return mask

"""How a span of sectors is gone through, one piece of host memory after the other."""

from amaranth import Module, Mux, Signal

from niter.compare import less
from niter.interface import MAX_SPAN_SECTORS, SECTOR_BYTES, BlockSpan

from .layouts import DATA_BITS, TAG_BITS, PlacePort

__all__ = ["Pieces"]

_SPAN_BITS = (MAX_SPAN_SECTORS * SECTOR_BYTES).bit_length()
_SECTOR_SHIFT = SECTOR_BYTES.bit_length() - 1


class Pieces:
    """States that find where the next piece of a span stands; who uses it adds its own.

    Parameters
    ----------
    m
        Module of the user.
    place
        Its port to the table of segments.
    limit
        Bytes of the largest piece, a power of two.

    Attributes
    ----------
    tag, position
        Whose span it is, and where in the request's data the piece begins.
    length, lane
        Of the piece: it begins at the lane at which its first byte stands in the data.
    address, function
        Of its first byte.
    final
        It is the last one of its span.
    """

    def __init__(self, m: Module, place: PlacePort, limit: int):
        self._m, self._place = m, place
        self._limit_bits = limit.bit_length() - 1
        self.tag = Signal(TAG_BITS)
        self.position = Signal(DATA_BITS)
        self._left = Signal(_SPAN_BITS)
        self.length = Signal(self._limit_bits + 1)
        self.address, self.function = Signal(64), Signal(3)
        self.lane = self.position[:3]
        self.final = Signal()
        self._contiguous = Signal(_SPAN_BITS)
        self._span = Signal(BlockSpan)
        takes, moves, fits = self._takes, self._moves, self._fits = Signal(), Signal(), Signal()
        # What has constants comes last: they are a reset if nothing comes behind them.
        with m.If(moves):
            m.d.sync += [
                self.position.eq(self.position + self.length),
                self._left.eq(self._left - self.length),
            ]
        with m.If(takes):
            m.d.sync += [
                self.tag.eq(self._span.tag),
                self.position.eq(self._span.first << _SECTOR_SHIFT),
                self._left.eq(self._span.sectors << _SECTOR_SHIFT),
            ]
        with m.If(fits):
            m.d.sync += self.length.eq(self._contiguous[: self._limit_bits])
        with m.If(fits & self._contiguous[self._limit_bits :].any()):
            m.d.sync += self.length.eq(limit)
        m.d.comb += [
            place.request.payload.tag.eq(self.tag),
            place.request.payload.byte.eq(self.position),
            self.final.eq(self._left == self.length),
        ]

    def begin(self, span: BlockSpan) -> None:
        """Take a span in hand; the next state is ASK."""
        self._m.d.comb += [self._takes.eq(1), self._span.eq(span)]
        self._m.next = "ASK"

    def states(self, then: str) -> None:
        """ASK and what follows it, up to the user's state ``then``, where a piece is known."""
        m, place = self._m, self._place
        with m.State("ASK"):
            m.d.comb += place.request.valid.eq(1)
            with m.If(place.request.ready):
                m.next = "PLACE"
        with m.State("PLACE"):
            m.d.sync += [
                self.address.eq(place.address),
                self.function.eq(place.function),
                self._contiguous.eq(Mux(less(place.left, self._left), place.left, self._left)),
            ]
            with m.If(place.done):
                m.next = "FIT"
        with m.State("FIT"):
            m.d.comb += self._fits.eq(1)
            m.next = then

    def advance(self, done: str) -> None:
        """The piece is dealt with: ask for the next one, or go on at ``done`` behind the last."""
        self._m.d.comb += self._moves.eq(1)
        self._m.next = "ASK"
        with self._m.If(self.final):
            self._m.next = done

"""The byte realigner: pieces of a packet in, a packet without holes out."""

from collections.abc import Iterable
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, Beat

from .layout import sideband_of

__all__ = ["Realigner", "piece_layout"]

_LANES = range(BEAT_BYTES)


def piece_layout(shape: Any) -> data.StructLayout:
    """A ``Realigner``'s input for packets of ``shape``: a beat, where it starts, and the
    sideband. ``empty`` counts on every beat here, ``start`` lanes are unused at the bottom;
    at least one lane is used."""
    return data.StructLayout({"packet": Beat, "start": 3, "sideband": sideband_of(shape)})


class Realigner(wiring.Component):
    """Packs a packet's pieces, of 1 to 8 bytes at any lane, into full beats.

    A piece is first turned so that its bytes stand where the packet goes on, then merged
    with what was left over. Latency 2 cycles; one piece a cycle, except that a packet takes
    one cycle more when its last piece crosses into another beat.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    turns
        By how many lanes a piece may have to be turned upwards (modulo eight): bytes of the
        packet so far less ``start``. The fewer, the smaller; by default any.

    Members
    -------
    i : In(stream.Signature(piece_layout(shape)))
        Pieces.
    o : Out(stream.Signature(shape))
        The packet.
    """

    def __init__(self, shape: Any, *, turns: Iterable[int] = _LANES):
        self.shape = shape
        self.turns = sorted({turn % BEAT_BYTES for turn in turns})
        self.sideband = sideband_of(shape)
        super().__init__(
            {
                "i": In(stream.Signature(piece_layout(shape))),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        piece = self.i.payload
        o_beat = self.o.payload if self.shape is Beat else self.o.payload.packet

        # First stage: turn the piece, and find where its end falls.
        held = Signal(3)
        end = Signal(4)
        turned = Signal(64)
        turned_at = Signal(3)
        turned_end = Signal(4)
        turned_last = Signal()
        turned_error = Signal()
        turned_valid = Signal()
        turned_sideband = Signal(self.sideband)
        advance = Signal()
        crossing = Signal()
        remainder = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            crossing.eq(turned_valid & turned_last & (turned_end > BEAT_BYTES) & ~remainder),
            self.i.ready.eq(advance & ~crossing),
            end.eq(held + BEAT_BYTES - piece.packet.empty - piece.start),
        ]
        turn = Signal(3)
        rotated = Signal(64)
        m.d.comb += turn.eq(held - piece.start)
        with m.Switch(turn):
            for amount in self.turns:
                with m.Default() if amount == self.turns[-1] else m.Case(amount):
                    m.d.comb += rotated.eq(piece.packet.data.rotate_left(8 * amount))
        with m.If(self.i.ready):
            m.d.sync += [
                turned_valid.eq(self.i.valid),
                turned.eq(rotated),
                turned_at.eq(held),
                turned_end.eq(end),
                turned_last.eq(piece.packet.last),
                turned_error.eq(piece.packet.error),
                turned_sideband.eq(piece.sideband),
            ]
            with m.If(self.i.valid):
                m.d.sync += held.eq(end)
                with m.If(piece.packet.last):
                    m.d.sync += held.eq(0)

        # Second stage: lanes below `turned_at` come from what was left over, and what crosses
        # the end of the beat is left over in turn. A last piece that crosses is used twice.
        left_over = Signal(64)
        full = Signal()
        m.d.comb += full.eq(turned_end >= BEAT_BYTES)
        from_left_over = Cat((lane < turned_at) & ~remainder for lane in _LANES)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(turned_valid & (full | turned_last)),
                o_beat.last.eq(turned_last & ~crossing),
                o_beat.error.eq(turned_error & ~crossing),
                o_beat.empty.eq(BEAT_BYTES - turned_end),
                remainder.eq(crossing),
            ]
            for name, _ in self.sideband:
                m.d.sync += self.o.payload[name].eq(turned_sideband[name])
            with m.If(~turned_last | crossing):
                m.d.sync += o_beat.empty.eq(0)
        for lane in _LANES:
            byte = turned.word_select(lane, 8)
            kept = left_over.word_select(lane, 8)
            with m.If(advance & turned_valid & (full | (lane >= turned_at))):
                m.d.sync += kept.eq(byte)
            with m.If(advance):
                with m.If(from_left_over[lane]):
                    m.d.sync += o_beat.data.word_select(lane, 8).eq(kept)
                with m.Else():
                    m.d.sync += o_beat.data.word_select(lane, 8).eq(byte)
        return m

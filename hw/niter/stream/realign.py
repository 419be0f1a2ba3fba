"""The byte realigner: pieces of a packet in, a packet without holes out."""

from collections.abc import Iterable
from typing import Any

from amaranth import Module, Mux, Signal, Value
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

    A piece is first turned so that its bytes stand where the packet goes on: by 4, 2 and 1
    lanes, one multiplexer and register each, as far as ``turns`` needs them. Then it is merged
    with what was left over. Latency 1 cycle and one for each such step; one piece a cycle,
    except that a packet takes one cycle more when its last piece crosses into another beat.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    turns
        By how many lanes a piece may have to be turned upwards (modulo eight): bytes of the
        packet so far less ``start``. The fewer, the smaller; by default any.
    stops
        How many bytes of the packet, modulo eight, may have gone before a piece; by default any.
        Lanes behind the last of them need no multiplexer.

    Members
    -------
    i : In(stream.Signature(piece_layout(shape)))
        Pieces.
    o : Out(stream.Signature(shape))
        The packet.
    """

    def __init__(self, shape: Any, *, turns: Iterable[int] = _LANES, stops: Iterable[int] = _LANES):
        self.shape = shape
        self.turns = sorted({turn % BEAT_BYTES for turn in turns})
        self.stops = sorted({stop % BEAT_BYTES for stop in stops})
        self.sideband = sideband_of(shape)
        self._info = data.StructLayout(
            {"turn": 3, "at": 3, "end": 4, "last": 1, "error": 1, "sideband": self.sideband}
        )
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

        # Where the packet's next byte stands, and where this piece's end will.
        held = Signal(3)
        word: Value = piece.packet.data
        valid: Value = self.i.valid
        info = Signal(self._info)
        move = Signal()
        m.d.comb += [
            info.turn.eq(held - piece.start),
            info.at.eq(held),
            info.end.eq(held + BEAT_BYTES - piece.packet.empty - piece.start),
            info.last.eq(piece.packet.last),
            info.error.eq(piece.packet.error),
            info.sideband.eq(piece.sideband),
            self.i.ready.eq(move),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += held.eq(Mux(piece.packet.last, 0, info.end))

        for bit, step in ((2, 4), (1, 2), (0, 1)):
            needed = {turn >> bit & 1 for turn in self.turns}
            turned = word.rotate_left(8 * step)
            if needed == {1}:
                word = turned
            elif needed == {0, 1}:
                stage = [Signal(64, name=f"word_{step}"), Signal(name=f"valid_{step}")]
                stage_info = Signal(self._info, name=f"info_{step}")
                with m.If(move):
                    m.d.sync += [
                        stage[0].eq(Mux(info.turn[bit], turned, word)),
                        stage[1].eq(valid),
                        stage_info.eq(info),
                    ]
                word, valid, info = *stage, stage_info

        # Lanes below `info.at` come from what was left over, and what crosses the end of the beat
        # is left over in turn. A last piece that crosses stays for two cycles.
        advance = Signal()
        crossing = Signal()
        remainder = Signal()
        full = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            full.eq(info.end >= BEAT_BYTES),
            crossing.eq(valid & info.last & (info.end > BEAT_BYTES) & ~remainder),
            move.eq(advance & ~crossing),
        ]
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(valid & (full | info.last)),
                o_beat.last.eq(info.last & ~crossing),
                o_beat.error.eq(info.error & ~crossing),
                o_beat.empty.eq(Mux(info.last & ~crossing, BEAT_BYTES - info.end, 0)),
                remainder.eq(crossing),
            ]
            for name, _ in self.sideband:
                m.d.sync += self.o.payload[name].eq(info.sideband[name])
        left_over = Signal(64)
        for lane in _LANES:
            byte = word.word_select(lane, 8)
            kept = left_over.word_select(lane, 8)
            below = (lane < info.at) & ~remainder if lane < self.stops[-1] else 0
            with m.If(advance):
                m.d.sync += o_beat.data.word_select(lane, 8).eq(Mux(below, kept, byte))
                with m.If(valid & (full | (lane >= info.at))):
                    m.d.sync += kept.eq(byte)
        return m

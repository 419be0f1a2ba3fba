"""Packets in narrower and wider beats."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.interface import BEAT_BYTES, Beat

__all__ = ["WidthConverter", "beat_layout"]


def beat_layout(lanes: int) -> type[Beat] | data.StructLayout:
    """The packet stream's beat with any power of two of byte lanes; ``Beat`` itself for 8."""
    if lanes == BEAT_BYTES:
        return Beat
    return data.StructLayout({"data": 8 * lanes, "empty": ceil_log2(lanes), "last": 1, "error": 1})


class WidthConverter(wiring.Component):
    """Changes the number of byte lanes of a packet stream.

    A narrow beat of the output is chosen from the wide one that the input holds: no latency,
    no storage, one narrow beat a cycle. A wide beat of the output is collected in a
    register: latency 1 cycle from its last part, one narrow beat a cycle.

    Parameters
    ----------
    i_lanes, o_lanes
        Byte lanes of input and output, powers of two. Equal numbers connect the two.

    Members
    -------
    i : In(stream.Signature(beat_layout(i_lanes)))
        Input.
    o : Out(stream.Signature(beat_layout(o_lanes)))
        Output.
    """

    def __init__(self, i_lanes: int, o_lanes: int):
        for lanes in (i_lanes, o_lanes):
            if lanes < 1 or lanes & (lanes - 1):
                raise ValueError(f"Lanes must be a power of two, not {lanes!r}")
        self.i_lanes = i_lanes
        self.o_lanes = o_lanes
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(i_lanes))),
                "o": Out(stream.Signature(beat_layout(o_lanes))),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        if self.i_lanes == self.o_lanes:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        elif self.i_lanes > self.o_lanes:
            self._narrow(m)
        else:
            self._widen(m)
        return m

    def _narrow(self, m: Module):
        ratio = self.i_lanes // self.o_lanes
        i, o = self.i.payload, self.o.payload
        part = Signal(range(ratio))
        final = Signal.like(part)
        m.d.comb += [
            final.eq(~(i.empty >> ceil_log2(self.o_lanes))),
            self.o.valid.eq(self.i.valid),
            o.data.eq(i.data.word_select(part, 8 * self.o_lanes)),
            o.last.eq(i.last & (part == final)),
            o.empty.eq(i.empty & o.last.replicate(len(o.empty))),
            o.error.eq(i.error & o.last),
            self.i.ready.eq(self.o.ready & (part == final)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += part.eq(part + 1)
            with m.If(part == final):
                m.d.sync += part.eq(0)

    def _widen(self, m: Module):
        ratio = self.o_lanes // self.i_lanes
        i, o = self.i.payload, self.o.payload
        part = Signal(range(ratio))
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & (i.last | (part == ratio - 1))),
                o.last.eq(i.last),
                o.error.eq(i.error),
                o.empty.eq(Cat(i.empty, ~part)),
            ]
            with m.If(self.i.valid):
                m.d.sync += part.eq(part + 1)
                with m.If(i.last):
                    m.d.sync += part.eq(0)
            with m.Switch(part):
                for index in range(ratio):
                    with m.Case(index):
                        lanes = o.data.word_select(index, 8 * self.i_lanes)
                        m.d.sync += lanes.eq(i.data)

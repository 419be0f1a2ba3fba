"""A short queue of registers."""

from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

__all__ = ["DelayLine"]


class _Place(wiring.Component):
    """One register, which takes a payload when it is empty: no path leads through it."""

    def __init__(self, shape: Any):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class DelayLine(wiring.Component):
    """Registers in a row: payloads move up as long as there is room in front of them.

    A payload takes as many cycles as there are registers, and the line takes one every second
    cycle. That is why this is no queue for general use: but where that does not matter, it
    costs a flip-flop a bit, where LUT-RAM costs six COMB for four bits, and it cuts both paths.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        Registers.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    o : Out(stream.Signature(shape))
        Output.
    """

    def __init__(self, shape: Any, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        upstream = flipped(self.i)
        for n in range(self.depth):
            m.submodules[f"place_{n}"] = place = _Place(self.shape)
            connect(m, upstream, place.i)
            upstream = place.o
        connect(m, upstream, flipped(self.o))
        return m

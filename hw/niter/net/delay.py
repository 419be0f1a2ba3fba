"""A short queue of registers."""

from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.stream import PipeRegister

__all__ = ["DelayLine"]


class DelayLine(wiring.Component):
    """Registers in a row: payloads move up as long as there is room in front of them.

    A payload takes as many cycles as there are registers. That is why this is no queue for
    general use: but where it has to wait as long anyway, a queue in LUT-RAM costs six COMB for
    four bits, and this a flip-flop a bit.

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
            m.submodules[f"register_{n}"] = register = PipeRegister(self.shape)
            connect(m, upstream, register.i)
            upstream = register.o
        connect(m, upstream, flipped(self.o))
        return m

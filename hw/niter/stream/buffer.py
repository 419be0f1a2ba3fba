"""Register slices: they cut combinational paths and hold one or two payloads."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["HalfBuffer", "PipeRegister", "SkidBuffer"]


class _Slice(wiring.Component):
    """What all register slices have.

    Parameters
    ----------
    shape
        Shape of the payload.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    o : Out(stream.Signature(shape))
        Output.
    """

    def __init__(self, shape: Any):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})


class PipeRegister(_Slice):
    """One register: cuts the forward path and leaves ``ready`` combinational.

    Costs a flip-flop a bit and no multiplexer; use it wherever the chain of ``ready`` is
    short. Latency 1 cycle, one payload a cycle.
    """

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class SkidBuffer(_Slice):
    """Two registers: cuts both paths, also that of ``ready``.

    Costs two flip-flops and a multiplexer a bit. Latency 1 cycle, one payload a cycle.

    Attributes
    ----------
    held : Signal(shape), holds : Signal(1)
        What waits behind the output, and whether there is such, for who must know all of what is
        in here.
    """

    def __init__(self, shape: Any):
        super().__init__(shape)
        self.held = Signal(shape)
        self.holds = Signal()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # What arrives while the output is stalled waits here, and only then is `ready` low.
        held, holds = self.held, self.holds
        m.d.comb += self.i.ready.eq(~holds)
        with m.If(~holds):
            m.d.sync += held.eq(self.i.payload)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [holds.eq(0), self.o.valid.eq(holds | self.i.valid)]
            with m.If(holds):
                m.d.sync += self.o.payload.eq(held)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Else():
            m.d.sync += holds.eq(holds | self.i.valid)
        return m


class HalfBuffer(_Slice):
    """One register that cuts both paths, also that of ``ready``: it takes only what finds it empty.

    Costs a flip-flop a bit and no multiplexer. Latency 1 cycle, a payload every two cycles.
    """

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(~self.o.valid):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

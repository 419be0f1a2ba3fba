"""Distributes the packets of one stream."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Demux"]


class Demux(wiring.Component):
    """Sends each payload to one of several outputs.

    All outputs share one register; a stalled output stalls the others behind it. Latency
    1 cycle, one payload a cycle.

    Parameters
    ----------
    shape
        Shape of the payload.
    outputs
        Number of outputs.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    select : In(range(outputs))
        Where the payload on ``i`` goes, valid whenever ``i`` is and the same for all beats
        of a packet. A number that is no output discards the payload.
    o : array of Out(stream.Signature(shape))
        Outputs.
    """

    def __init__(self, shape: Any, outputs: int):
        if outputs < 1:
            raise ValueError(f"A demultiplexer needs at least one output, not {outputs!r}")
        self.shape = shape
        self.outputs = outputs
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "select": In(range(outputs)),
                "o": Out(stream.Signature(shape)).array(outputs),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        payload = Signal(self.shape)
        taken = 0
        held = 0
        for port in self.o:
            held |= port.valid
            taken |= port.valid & port.ready
            m.d.comb += port.payload.eq(payload)
        m.d.comb += self.i.ready.eq(~held | taken)
        with m.If(self.i.ready):
            m.d.sync += payload.eq(self.i.payload)
            for index, port in enumerate(self.o):
                m.d.sync += port.valid.eq(self.i.valid & (self.select == index))
        return m

"""Joins streams into one, packet by packet."""

from collections.abc import Sequence
from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import beat_of

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Weighted round robin between packet streams.

    An input that has the turn keeps it for up to ``weight`` packets as long as it has them
    ready back to back; the turn then goes to the next input that waits. The output is a
    register. Latency is 1 cycle for the input that has the turn, 2 for another; packets of
    different inputs follow each other without a gap when they wait already.

    Parameters
    ----------
    shape
        Shape of the payload.
    inputs
        Number of inputs.
    weights
        Packets per turn of each input; 1 each by default.
    packet
        The payload is or has a ``Beat``, and turns change between packets. Otherwise each
        transfer is a packet.

    Members
    -------
    i : array of In(stream.Signature(shape))
        Inputs.
    o : Out(stream.Signature(shape))
        Output.
    turn : Out(range(inputs))
        The input that ``o``'s payload came from.

    Raises
    ------
    ValueError
        There is no input, the weights are not one per input, or one is not positive.
    """

    def __init__(
        self,
        shape: Any,
        inputs: int,
        *,
        weights: Sequence[int] | None = None,
        packet: bool = True,
    ):
        weights = [1] * inputs if weights is None else list(weights)
        if inputs < 1:
            raise ValueError(f"An arbiter needs at least one input, not {inputs!r}")
        if len(weights) != inputs or any(weight < 1 for weight in weights):
            raise ValueError(f"Weights must be {inputs} positive numbers, not {weights!r}")
        self.shape = shape
        self.inputs = inputs
        self.weights = weights
        self.packet = packet
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(inputs),
                "o": Out(stream.Signature(shape)),
                "turn": Out(range(inputs)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        grant = Signal(range(self.inputs))
        inside = Signal()
        served = Signal(range(max(self.weights)))

        inputs = Array(self.i)
        valid = Signal()
        last = Signal()
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            valid.eq(inputs[grant].valid),
            last.eq(Array(beat_of(port.payload).last for port in self.i)[grant])
            if self.packet
            else last.eq(1),
        ]
        for index, port in enumerate(self.i):
            m.d.comb += port.ready.eq(advance & (grant == index))
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(valid),
                self.o.payload.eq(inputs[grant].payload),
                self.turn.eq(grant),
                inside.eq(Mux(valid, ~last, inside)),
            ]

        # Between packets the turn moves on when it is used up or not used, and another waits.
        waiting = Cat(port.valid for port in self.i)
        following = Signal.like(grant)
        others = Signal()
        with m.Switch(grant):
            for index in range(self.inputs):
                with m.Case(index):
                    m.d.comb += following.eq(index)
                    order = [(index + step) % self.inputs for step in range(1, self.inputs)]
                    m.d.comb += others.eq(Cat(waiting[other] for other in order).any())
                    for other in reversed(order):
                        with m.If(waiting[other]):
                            m.d.comb += following.eq(other)
        weight = Array(Const(weight - 1, served.shape()) for weight in self.weights)
        ended = Signal()
        m.d.comb += ended.eq(advance & valid & last)
        with m.If(ended):
            m.d.sync += served.eq(served + 1)
        with m.If(others & ((ended & (served == weight[grant])) | (~valid & ~inside))):
            m.d.sync += [grant.eq(following), served.eq(0)]
        with m.Elif(ended & (served == weight[grant])):
            m.d.sync += served.eq(0)
        return m

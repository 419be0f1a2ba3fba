"""Whose turn it is."""

from collections.abc import Sequence

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Turn"]


class Turn(wiring.Component):
    """Weighted round robin: who of those that ask is served next.

    One that has the turn keeps it for up to its weight as long as it asks; then the turn
    goes to the next one that does. Combinational from ``request``.

    Parameters
    ----------
    weights
        Consecutive turns of each client.

    Members
    -------
    request : In(len(weights))
        Who asks.
    take : In(1)
        The turn is used in this cycle.
    valid : Out(1)
        Somebody asks.
    grant : Out(range(len(weights)))
        Who is next.

    Raises
    ------
    ValueError
        There are no clients, or a weight is not positive.
    """

    def __init__(self, weights: Sequence[int]):
        self.weights = tuple(weights)
        if not self.weights or any(weight < 1 for weight in self.weights):
            raise ValueError(f"Weights must be positive numbers, not {weights!r}")
        super().__init__(
            {
                "request": In(len(self.weights)),
                "take": In(1),
                "valid": Out(1),
                "grant": Out(range(len(self.weights))),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        clients = len(self.weights)
        holder = Signal(range(clients))
        served = Signal(range(max(self.weights) + 1))
        limits = Array(Const(weight, served.shape()) for weight in self.weights)

        m.d.comb += [self.valid.eq(self.request.any()), self.grant.eq(holder)]
        with m.Switch(holder):
            for index in range(clients):
                with m.Case(index):
                    for step in reversed(range(1, clients)):
                        other = (index + step) % clients
                        with m.If(self.request[other]):
                            m.d.comb += self.grant.eq(other)
                    if self.weights[index] > 1:
                        with m.If(self.request[index] & (served != limits[index])):
                            m.d.comb += self.grant.eq(index)
        with m.If(self.take):
            m.d.sync += holder.eq(self.grant)
            with m.If((self.grant == holder) & (served != limits[holder])):
                m.d.sync += served.eq(served + 1)
            with m.Else():
                m.d.sync += served.eq(1)
        return m

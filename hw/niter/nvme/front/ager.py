"""Looks at all completion queues once in a while."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import Geometry

__all__ = ["Ager"]


class Ager(wiring.Component):
    """After each tick, names all rows one after the other; ticks that pass meanwhile are lost.

    Parameters
    ----------
    geometry
        Whose rows there are.
    tick
        Cycles of a unit of time.

    Members
    -------
    due : Out(1), function : Out(3), queue : Out(5)
        A row is to be looked at, and which.
    taken : In(1)
        It is: on to the next one.
    """

    due: Out(1)
    function: Out(3)
    queue: Out(5)
    taken: In(1)

    def __init__(self, geometry: Geometry, tick: int):
        if tick < 2:
            raise ValueError(f"A tick has 2 cycles or more, not {tick!r}")
        self.geometry = geometry
        self.tick = tick
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        countdown = Signal(range(self.tick), init=self.tick - 1)
        row = Signal(range(g.rows))
        m.d.comb += [
            self.queue.eq(row[: g.queue_bits]),
            self.function.eq(row[g.queue_bits :]),
        ]
        with m.If(self.taken):
            m.d.sync += row.eq(row + 1)
            with m.If(row.all()):
                m.d.sync += self.due.eq(0)
        m.d.sync += countdown.eq(Mux(countdown == 0, self.tick - 1, countdown - 1))
        with m.If(countdown == 0):
            m.d.sync += self.due.eq(1)
        return m

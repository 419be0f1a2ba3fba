"""How many commands each function may have in the card."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import BATCH, ReadContext

__all__ = ["Shares"]


class Shares(wiring.Component):
    """Counts I/O commands of each function from their fetch to their end, and limits them.

    A function whose target hangs so keeps its own share of the engine's tags, and no more.

    Parameters
    ----------
    functions
        How many.
    share
        Most commands of one.

    Members
    -------
    asked : In(1), context : In(ReadContext)
        Entries have been asked for.
    completed : In(1), completed_of : In(3)
        The engine has completed a command of a function.
    settled : In(12), settled_of : In(3)
        So many will not be completed.
    function : In(3), left : Out(4)
        How many entries, up to ``BATCH``, a function may ask for, one cycle later.
    """

    def __init__(self, functions: int, share: int):
        if share < 1:
            raise ValueError(f"A function needs one command at least, not {share!r}")
        self.functions = functions
        self.share = share
        super().__init__(
            {
                "asked": In(1),
                "context": In(ReadContext),
                "completed": In(1),
                "completed_of": In(3),
                "settled": In(12),
                "settled_of": In(3),
                "function": In(3),
                "left": Out(4),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        free = Array(
            Signal(range(self.share + 1), init=self.share, name=f"free_{f}")
            for f in range(self.functions)
        )
        taken = Mux(self.asked & (self.context.queue != 0), self.context.count, 0)
        for f, count in enumerate(free):
            m.d.sync += count.eq(
                count
                - Mux(self.context.function == f, taken, 0)
                + (self.completed & (self.completed_of == f))
                + Mux(self.settled_of == f, self.settled, 0)
            )
        here = free[self.function]
        m.d.sync += self.left.eq(Mux(here < BATCH, here, BATCH))
        return m

"""How many requests each function may have in the card."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.count import stepped
from niter.interface import MAX_FUNCTIONS

__all__ = ["RESERVED", "Shares"]

#: Tags that are kept for each function: a power of two.
RESERVED = 4


class Shares(wiring.Component):
    """Counts chains of each function from their beginning to their end, and limits them.

    A function may have ``RESERVED`` at any time, and more as long as so many tags are free that
    every function could have that. So a function whose target hangs keeps no other one from its
    requests, and one that is alone may have nearly all tags. Chains never wait for a tag.

    Parameters
    ----------
    functions
        How many there are.
    tags
        Requests at a time, more than ``RESERVED`` for each function.

    Members
    -------
    begun, ended, dropped : In(1), begun_of, ended_of, dropped_of : In(3)
        A chain of a function was begun, has been given back, or will not come.
    held : Out(8)
        Functions that may begin no other one.
    """

    begun: In(1)
    begun_of: In(3)
    ended: In(1)
    ended_of: In(3)
    dropped: In(1)
    dropped_of: In(3)
    held: Out(MAX_FUNCTIONS)

    def __init__(self, functions: int, tags: int):
        if tags <= RESERVED * functions:
            raise ValueError(
                f"{functions!r} functions need more than {RESERVED * functions} tags, not {tags!r}"
            )
        self.functions = functions
        self.tags = tags
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        free = Signal(range(self.tags + 1), init=self.tags)
        scarce = Signal()
        m.d.sync += free.eq(stepped(free, [self.ended, self.dropped], [self.begun]))
        m.d.comb += scarce.eq(free <= RESERVED * self.functions)
        for number in range(self.functions):
            count = Signal(range(self.tags + 1), name=f"count_{number}")
            begun, ended, dropped = (
                happens & (whose == number)
                for happens, whose in (
                    (self.begun, self.begun_of),
                    (self.ended, self.ended_of),
                    (self.dropped, self.dropped_of),
                )
            )
            m.d.sync += count.eq(stepped(count, [begun], [ended, dropped]))
            m.d.comb += self.held[number].eq(scarce & (count >= RESERVED))
        return m

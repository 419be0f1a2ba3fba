"""The doublewords of a completion that we send, collected."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .choice import register_one_of

__all__ = ["AnswerWords"]


class AnswerWords(wiring.Component):
    """Three places: doublewords enter at the top, and have moved down when all are filled.

    Members
    -------
    clear : In(1)
        Begin anew.
    push : In(1)
        A doubleword enters, in the next cycle: one of the following, or zero.
    take_low, take_high, take_access : In(1)
        Which one it is.
    reply : In(64), access : In(32)
        A register's word, of which either half may be taken, and one of configuration space.
    drop : In(1)
        The first doubleword moves down by a byte.
    filled : Out(2)
        Doublewords that have entered.
    data : Out(32), three of them
        The doublewords.
    """

    clear: In(1)
    push: In(1)
    take_low: In(1)
    take_high: In(1)
    take_access: In(1)
    reply: In(64)
    access: In(32)
    drop: In(1)
    filled: Out(2)
    data: Out(data.ArrayLayout(32, 3))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        first, second = Signal(32), Signal(32)
        newest = register_one_of(
            m,
            "newest",
            self.push | self.clear,
            (
                (self.take_low, self.reply[:32]),
                (self.take_high, self.reply[32:]),
                (self.take_access, self.access),
            ),
        )
        m.d.comb += [self.data[0].eq(first), self.data[1].eq(second), self.data[2].eq(newest)]
        with m.If(self.push):
            m.d.sync += [
                first.eq(second),
                second.eq(newest),
                self.filled.eq(self.filled + 1),
            ]
        with m.If(self.drop):
            m.d.sync += first.eq(first >> 8)
        with m.If(self.clear):
            m.d.sync += self.filled.eq(0)
        return m

"""Which bytes does a memory read ask for?"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .header import RequestHead

__all__ = ["ReadExtent"]


class ReadExtent(wiring.Component):
    """Combinational functions of a memory read's header.

    Members
    -------
    head : In(RequestHead), address : In(7)
        The request, and its address modulo 128; the two low bits are not looked at.
    byte_count : Out(12), lower_address : Out(7)
        Those of its first completion (2.3.1.1, table 2-39).
    enables : Out(16)
        Byte enables of the two aligned eight-byte words that a read of up to three doublewords
        covers.
    second : Out(1)
        It covers the second of them.
    """

    head: In(RequestHead)
    address: In(7)
    byte_count: Out(12)
    lower_address: Out(7)
    enables: Out(16)
    second: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        length = self.head.common.length
        first, last = self.head.first_enables, self.head.last_enables

        final = Mux(length == 1, first, last)
        before = Mux(first[0], 0, Mux(first[1], 1, Mux(first[2], 2, Mux(first[3], 3, 0))))
        after = Mux(final[3], 0, Mux(final[2], 1, Mux(final[1], 2, 3)))
        unused = (before + after)[:3]
        m.d.comb += [
            self.byte_count.eq((length << 2) - unused),
            self.lower_address.eq(Cat(before[:2], self.address[2:])),
        ]

        high = self.address[2]
        left = Signal(3)  # doublewords, counting the hole before the first
        m.d.comb += [
            left.eq(length[:2] + high),
            self.enables.eq(
                Cat(
                    Mux(high, 0, first),
                    Mux(high, first, Mux(left == 1, 0, Mux(left == 2, last, 0b1111))),
                    Mux(left == 3, last, 0b1111),
                    Mux(left == 3, 0, last),
                )
            ),
            self.second.eq(left > 2),
        ]
        return m

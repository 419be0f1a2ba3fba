"""The addresses of the card's own tunnel endpoint."""

from amaranth import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

from .table import Table

__all__ = ["Endpoint", "EndpointWords"]


class EndpointWords:
    """Where the 32-bit words of the card's tunnel endpoint stand, most significant first."""

    MAC = 0
    IPV4 = 2
    IPV6 = 4


class Endpoint(wiring.Component):
    """Says of words whether they are part of the endpoint's addresses.

    Software writes the addresses where ``EndpointWords`` says; a reset of the clock domain leaves
    them. Those of IPv4 alone are in registers, each with a comparison of its own, which takes half
    of the LUTs that a memory and one comparison do. With IPv6 there are too many of them.

    Parameters
    ----------
    ipv6
        Whether there is an IPv6 address.

    Members
    -------
    addr, word : In(3), In(32)
        Compare this with the word at ``addr``.
    own : Out(1)
        They are equal. Combinational.
    bus : In(csr.Signature)
        Write access to the words.
    """

    _WORDS = 8

    def __init__(self, *, ipv6: bool):
        self.ipv6 = ipv6
        self._table = Table(
            32, self._WORDS, "Addresses of the card's tunnel endpoint.", registered=False
        )
        super().__init__(
            {
                "addr": In(3),
                "word": In(32),
                "own": Out(1),
                "bus": In(csr.Signature(addr_width=self._table.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._table.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        if self.ipv6:
            m.submodules.table = table = self._table
            connect(m, flipped(self.bus), table.bus)
            m.d.comb += [table.addr.eq(self.addr), self.own.eq(self.word == table.data)]
            return m
        equal = []
        for place in range(EndpointWords.IPV4 + 1):
            written = Signal(32, name=f"word_{place}", reset_less=True)
            with m.If(self.bus.w_stb & (self.bus.addr == place)):
                m.d.sync += written.eq(self.bus.w_data)
            equal.append(self.word == written)
        m.d.comb += self.own.eq(Array(equal)[self.addr[:2]])
        return m

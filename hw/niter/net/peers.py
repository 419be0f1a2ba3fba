"""The endpoints that may send to the card: who else does is not believed."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr

from .table import Table

__all__ = ["Peers"]


class Peers(wiring.Component):
    """Finds an IP address in a table of known ones.

    The table has sets of four words, chosen by the low bits of the address. A set of the first
    half holds four IPv4 addresses, in any order; one of the second half, with ``ipv6``, one IPv6
    address, least significant word first. Zero is none. Software that finds a set full needs a
    larger table.

    ``done`` rises 6 cycles after ``start``.

    Parameters
    ----------
    size
        Words of each half: a power of two from 8 up.
    ipv6
        Whether there is a second half.

    Members
    -------
    start : In(1)
        Look for ``address``, which must hold until ``done``.
    is_ipv6, address : In(1), In(128)
        What to look for; an IPv4 address stands in the low 32 bits.
    done : Out(1)
        ``known`` is right, until the next ``start``.
    known : Out(1)
        The address is in the table.
    bus : In(csr.Signature)
        Write access to the table.
    """

    #: Words of a set.
    WAYS = 4

    def __init__(self, size: int, *, ipv6: bool):
        self.size = size
        self.ipv6 = ipv6
        doc = "Tunnel endpoints that may send, in sets of four words."
        self._table = Table(32, 2 * size if ipv6 else size, doc)
        super().__init__(
            {
                "start": In(1),
                "is_ipv6": In(1),
                "address": In(128),
                "done": Out(1),
                "known": Out(1),
                "bus": In(csr.Signature(addr_width=self._table.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._table.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = self._table
        connect(m, flipped(self.bus), table.bus)
        asked = Signal(range(self.WAYS + 1))
        at = Signal(2)
        arrived = Signal()
        busy = Signal()
        equal = Signal()
        set_bits = ceil_log2(self.size) - 2
        m.d.comb += [
            table.addr.eq(Cat(asked[:2], self.address[:set_bits], self.is_ipv6)),
            equal.eq((table.data == self.address[:32]) & (table.data != 0)),
        ]
        if self.ipv6:
            with m.If(self.is_ipv6):
                m.d.comb += equal.eq(table.data == self.address.word_select(at, 32))
        with m.If(busy):
            m.d.sync += [at.eq(asked), arrived.eq(asked != self.WAYS)]
            with m.If(asked != self.WAYS):
                m.d.sync += asked.eq(asked + 1)
            with m.If(arrived):
                m.d.sync += self.known.eq(Mux(self.is_ipv6, self.known & equal, self.known | equal))
                with m.If(at == self.WAYS - 1):
                    m.d.sync += [self.done.eq(1), busy.eq(0)]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), asked.eq(0), arrived.eq(0), self.done.eq(0)]
            m.d.sync += self.known.eq(self.is_ipv6)
        return m

"""Two masters of the control bus behind one port."""

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter import csr

from .config import CSR_WIDTH

__all__ = ["BusShare"]


class BusShare(wiring.Component):
    """Gives the control bus to one master at a time: to the first, whenever it wants it.

    The first has nothing that could make it wait, so the second has to: its strobe counts in a
    cycle without ``hold`` only. No latency of its own; all three have ``csr.SPAN_LATENCY``.

    Parameters
    ----------
    addr_width
        Word address bits of the bus. Higher ones of the second master's are ignored.

    Members
    -------
    first : In(csr.Signature)
        The one that never waits: whoever looks on from outside.
    second : In(csr.Signature)
        The one that does: the core.
    hold : Out(1)
        The first has the bus in this cycle.
    csr : Out(csr.Signature)
        The bus.
    """

    def __init__(self, addr_width: int):
        super().__init__(
            {
                "first": In(csr.Signature(addr_width=addr_width, latency=csr.SPAN_LATENCY)),
                "second": In(csr.Signature(addr_width=CSR_WIDTH, latency=csr.SPAN_LATENCY)),
                "hold": Out(1),
                "csr": Out(csr.Signature(addr_width=addr_width, latency=csr.SPAN_LATENCY)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        first, second, bus = self.first, self.second, self.csr
        m.d.comb += [
            self.hold.eq(first.r_stb | first.w_stb),
            bus.addr.eq(Mux(self.hold, first.addr, second.addr)),
            bus.w_data.eq(Mux(self.hold, first.w_data, second.w_data)),
            bus.r_stb.eq(Mux(self.hold, first.r_stb, second.r_stb)),
            bus.w_stb.eq(Mux(self.hold, first.w_stb, second.w_stb)),
            first.r_data.eq(bus.r_data),
            second.r_data.eq(bus.r_data),
        ]
        return m

"""From the core's bus to the card's control bus."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter import csr

from .wishbone import Wishbone

__all__ = ["CsrBridge"]


class CsrBridge(wiring.Component):
    """Makes one access of ``niter.csr`` of each transfer; six cycles each.

    Registers are words: a write of less than a whole word does nothing. The control bus, which
    spans the card, begins at flip-flops. A strobe stands until the bus is free. ``bus`` shows zero
    but in the cycle in which it acknowledges a read.

    Parameters
    ----------
    addr_width
        Word address bits of the control bus.

    Members
    -------
    bus : In(Wishbone)
        From the core.
    csr : Out(csr.Signature), of ``csr.SPAN_LATENCY``
        The control bus.
    hold : In(1)
        Somebody else has the control bus in this cycle.
    """

    def __init__(self, addr_width: int):
        super().__init__(
            {
                "bus": In(Wishbone),
                "csr": Out(csr.Signature(addr_width=addr_width, latency=csr.SPAN_LATENCY)),
                "hold": In(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bus, out = self.bus, self.csr
        strobed, begin = Signal(), Signal()
        # The access was made so many cycles ago and one.
        made = Signal(self.csr.latency)
        answered = made[-1]
        m.d.comb += begin.eq(bus.cyc & bus.stb & ~strobed & ~made.any() & ~bus.ack)
        with m.If(begin):
            m.d.sync += [out.addr.eq(bus.adr), out.w_data.eq(bus.dat_w)]
        m.d.sync += [
            made.eq(Cat(strobed & ~self.hold, made)),
            bus.ack.eq(answered),
            bus.dat_r.eq(0),
        ]
        with m.If(answered):
            m.d.sync += bus.dat_r.eq(out.r_data)
        with m.If(~(strobed & self.hold)):
            m.d.sync += [
                out.r_stb.eq(begin & ~bus.we),
                out.w_stb.eq(begin & bus.we & bus.sel.all()),
                strobed.eq(begin),
            ]
        return m

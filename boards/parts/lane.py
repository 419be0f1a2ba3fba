"""The PCIe lane, as far as the gateware goes: the SERDES, with TLPs brought to it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import cdc, data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import Beat
from niter.pcie.tl.layouts import Credits, LinkPort
from niter.stream import AsyncFifo, SkidBuffer

from .serdes import Serdes

__all__ = ["Lane"]

#: K28.5, which the receiver aligns itself by.
_COMMA = 0xBC
_CROSSING = 16


class _Mark(data.Struct):
    """What follows a comma: a beat of a TLP, the far end's credits, or nothing."""

    tlp: 1
    credits: 1
    last: 1
    error: 1
    empty: 3
    unused: 1


class Lane(wiring.Component):
    """Puts the transaction layer's beats on a SERDES, bare: there is no link layer yet.

    Each beat is five cycles of two 8b/10b symbols: a comma with a ``_Mark``, and eight bytes.
    There is no link training, no sequence number, no LCRC and no retry, so that no host can
    talk to this. It is here so that the SERDES, its clocks and every crossing are placed and
    timed with the transaction layer behind them, and so that nothing of that layer is
    optimised away for want of a partner. What arrives faster than ``sync`` takes it is lost.

    Parameters
    ----------
    pins
        The board's ``pcie_x1``, requested with ``dir="-"``.
    transmit_domain, receive_domain
        Clock domains at 125 MHz, clocked by the two clocks of ``serdes``.

    Members
    -------
    link : In(LinkPort)
        The transaction layer's lower edge, in ``sync``.
    enable : In(1)
        Let the link be up when both directions are, and PERST# is high.
    infinite : In(6)
        What ``link.infinite`` is to be.
    perst : In(1)
        PERST# is low.
    locked, aligned : Out(1)
        The transmit PLL has locked; the receiver has found symbols.

    Attributes
    ----------
    serdes : Serdes
        The cells.
    """

    link: In(LinkPort)
    enable: In(1)
    infinite: In(6)
    perst: In(1)
    locked: Out(1)
    aligned: Out(1)

    def __init__(self, pins, *, transmit_domain: str, receive_domain: str):
        self._domains = transmit_domain, receive_domain
        self.serdes = Serdes(pins)
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.serdes = self.serdes
        for name in ("locked", "aligned"):
            m.submodules[f"{name}_sync"] = cdc.FFSynchronizer(
                getattr(self.serdes, name), getattr(self, name)
            )
        m.d.sync += self.link.up.eq(self.enable & self.locked & self.aligned & ~self.perst)
        m.d.comb += [self.serdes.reset.eq(self.perst), self.link.infinite.eq(self.infinite)]
        self._send(m, self._domains[0])
        self._receive(m, self._domains[1])
        return m

    def _send(self, m, domain):
        m.submodules.tx_crossing = beats = AsyncFifo(
            Beat, _CROSSING, i_domain="sync", o_domain=domain
        )
        m.submodules.granted = granted = AsyncFifo(Credits, 6, i_domain="sync", o_domain=domain)
        # All that is sent depends on `ready` here, which a link layer would give early in a cycle.
        m.submodules.tx_edge = edge = SkidBuffer(Beat)
        connect(m, flipped(self.link.tx), edge.i)
        connect(m, edge.o, beats.i)
        m.d.comb += [granted.i.payload.eq(self.link.allocated), granted.i.valid.eq(1)]

        beat, mark = beats.o.payload, Signal(_Mark)
        rest, left = Signal(64), Signal(range(5))
        symbols, control = self.serdes.transmit_data, self.serdes.transmit_control
        m.d[domain] += [
            symbols.eq(rest[:16]),
            control.eq(0),
            rest.eq(rest >> 16),
            left.eq(left - 1),
        ]
        m.d.comb += [
            mark.tlp.eq(beats.o.valid),
            mark.credits.eq(granted.o.valid & ~beats.o.valid),
            mark.last.eq(beat.last),
            mark.error.eq(beat.error),
            mark.empty.eq(beat.empty),
        ]
        with m.If(left == 0):
            m.d.comb += [beats.o.ready.eq(1), granted.o.ready.eq(~beats.o.valid)]
            m.d[domain] += [
                symbols.eq(Cat(Const(_COMMA, 8), mark)),
                control.eq(0b01),
                rest.eq(Mux(beats.o.valid, beat.data, granted.o.payload)),
                left.eq(Mux(mark.tlp | mark.credits, 4, 0)),
            ]

    def _receive(self, m, domain):
        m.submodules.rx_crossing = beats = AsyncFifo(
            Beat, _CROSSING, i_domain=domain, o_domain="sync"
        )
        m.submodules.grants = grants = AsyncFifo(Credits, 6, i_domain=domain, o_domain="sync")
        connect(m, beats.o, flipped(self.link.rx))
        m.d.comb += grants.o.ready.eq(1)
        with m.If(grants.o.valid):
            m.d.sync += self.link.limit.eq(grants.o.payload)

        symbols, control = Signal(16), Signal(2)
        mark, whole, left = Signal(_Mark), Signal(64), Signal(range(5))
        done = Signal()
        m.d[domain] += [
            symbols.eq(self.serdes.receive_data),
            control.eq(self.serdes.receive_control),
            whole.eq(Cat(whole[16:], symbols)),
            done.eq(left == 1),
        ]
        with m.If(left != 0):
            m.d[domain] += left.eq(left - 1)
        with m.Elif((control == 0b01) & (symbols[:8] == _COMMA)):
            m.d[domain] += [mark.as_value().eq(symbols[8:]), left.eq(4)]
        m.d.comb += [
            beats.i.payload.data.eq(whole),
            beats.i.payload.last.eq(mark.last),
            beats.i.payload.error.eq(mark.error),
            beats.i.payload.empty.eq(mark.empty),
            beats.i.valid.eq(done & mark.tlp),
            grants.i.payload.as_value().eq(whole),
            grants.i.valid.eq(done & mark.credits),
        ]
        # A comma alone is nothing.
        with m.If((left == 4) & ~mark.tlp & ~mark.credits):
            m.d[domain] += left.eq(0)

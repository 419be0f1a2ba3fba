"""A card of one room: what arrives on the wire leaves on it, and TLPs come back."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.net.mac import GmiiReceive, GmiiTransmit, Mac
from niter.pcie.tl.layouts import LinkPort


class Loop(wiring.Component):
    """Has the card's ports, and a MAC behind them."""

    def __init__(self):
        self._mac = Mac(transmit_domain="gmii0_tx", receive_domain="gmii0_rx", frame_bytes=2000)
        super().__init__(
            {
                "link": Out(LinkPort),
                "transmit": Out(GmiiTransmit).array(1),
                "receive": Out(GmiiReceive).array(1),
                "csr": In(csr.Signature(addr_width=self._mac.csr.addr_width)),
            }
        )
        self.csr.memory_map = self._mac.csr.memory_map

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac_0 = mac = self._mac
        connect(m, mac.o, mac.i)
        connect(m, mac.transmit, flipped(self.transmit[0]))
        connect(m, mac.receive, flipped(self.receive[0]))
        connect(m, mac.csr, flipped(self.csr))
        m.d.sync += [
            self.link.tx.valid.eq(self.link.rx.valid & self.link.up),
            self.link.tx.payload.eq(self.link.rx.payload),
            self.link.allocated.eq(self.link.limit),
        ]
        m.d.comb += self.link.rx.ready.eq(1)
        return m

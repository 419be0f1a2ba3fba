"""A card of no rooms: octets and TLPs that arrive leave again, these with a ROM's words in them."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from boards.configurations import BLANK_ROM
from niter import csr
from niter.net.mac import GmiiReceive, GmiiTransmit
from niter.pcie.tl.layouts import LinkPort
from niter.stream import AsyncFifo, Ram


class Loop(wiring.Component):
    """Has the card's ports."""

    class Scratch(csr.Register, access="rw"):
        """A register."""

        value: csr.Field(csr.action.RW, 8, doc="Anything.")

    def __init__(self):
        self._scratch = self.Scratch()
        builder = csr.Builder(addr_width=0)
        builder.add("scratch", self._scratch)
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__(
            {
                "link": Out(LinkPort),
                "transmit": Out(GmiiTransmit).array(1),
                "receive": Out(GmiiReceive).array(1),
                "csr": In(csr.Signature(addr_width=0)),
            }
        )
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        m.submodules.wire = wire = Module()
        wire.submodules.mac_0 = queue = AsyncFifo(10, 6, i_domain="gmii0_rx", o_domain="gmii0_tx")
        receive, transmit = self.receive[0], self.transmit[0]
        m.d.comb += [
            queue.i.valid.eq(receive.dv),
            queue.i.payload.eq(Cat(receive.d, receive.dv, receive.er)),
            queue.o.ready.eq(1),
        ]
        m.d.gmii0_tx += Cat(transmit.d, transmit.en, transmit.er).eq(
            queue.o.payload & queue.o.valid.replicate(10)
        )
        m.submodules.rom = rom = Ram(shape=32, depth=len(BLANK_ROM), init=BLANK_ROM)
        read = rom.read_port()
        given = self.link.rx.payload
        m.d.comb += [read.addr.eq(given.data), read.en.eq(1)]
        m.d.sync += [
            self.link.tx.valid.eq(self.link.rx.valid & self.link.up),
            self.link.tx.payload.eq(given),
            self.link.tx.payload.data[:32].eq(given.data[:32] ^ read.data),
            self.link.allocated.eq(self.link.limit),
        ]
        m.d.comb += self.link.rx.ready.eq(1)
        return m

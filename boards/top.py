"""The top of a board's design: the card, and what joins it to the pins."""

from collections.abc import Callable

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import cdc, io, wiring
from amaranth.lib.wiring import connect
from amaranth.utils import ceil_log2

from niter import csr

from .board import Board
from .parts import Clocks, Flash, FlashPins, Lane, Mdio, Rgmii, UartBridge

__all__ = ["CORE_MHZ", "CORE_WANTED_MHZ", "Top"]

#: What the core runs at, and what it must be able to.
CORE_MHZ, CORE_WANTED_MHZ = 62.5, 80
_WIRE_MHZ = 125
_BAUD = 1_000_000
#: Half a period of MDC in cycles: 1.95 MHz.
_MDC_DIVISOR = 16


class _Registers(wiring.Component):
    """The board's own registers: what it is, its clocks, the lane."""

    class Identity(csr.Register, access="r"):
        """What board this is."""

        board: csr.Field(csr.action.R, 8, doc="1: Versa ECP5-5G; 2: the same with an 85F.")
        ports: csr.Field(csr.action.R, 4, doc="Ethernet ports joined to the card.")

    class State(csr.Register, access="r"):
        """What the board sees."""

        perst: csr.Field(csr.action.R, 1, doc="PERST# is low.")
        locked: csr.Field(csr.action.R, 1, doc="The lane's transmit PLL has locked.")
        aligned: csr.Field(csr.action.R, 1, doc="The lane's receiver has found symbols.")
        link: csr.Field(csr.action.R, 4, doc="Ethernet links that are up, a bit a port.")

    class Control(csr.Register, access="rw"):
        """Switches of the lane and the PHYs."""

        lane: csr.Field(csr.action.RW, 1, doc="Let the lane be up.")
        phy_reset: csr.Field(csr.action.RW, 1, doc="Hold the PHYs in reset.")
        infinite: csr.Field(csr.action.RW, 6, doc="Credits that never end, a bit a counter.")

    def __init__(self):
        self.identity, self.state, self.control = self.Identity(), self.State(), self.Control()
        builder = csr.Builder(addr_width=2)
        for name in ("identity", "state", "control"):
            builder.add(name, getattr(self, name))
        self._bridge = csr.Bridge(builder.as_memory_map())
        self.bus = self._bridge.bus
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bridge = self._bridge
        return m


class Top(wiring.Component):
    """Everything on the device.

    Clock domains are ``sync``, ``wire`` (Ethernet's transmit clock, one for all ports),
    ``gmii<n>_rx``, ``lane_tx`` and ``lane_rx``; each is clocked by a signal of this module
    that is called after it, ``clk_<domain>``, so that constraints find it.

    Parameters
    ----------
    board
        What it is built for.
    card
        Makes the card, or what has its ports: ``link``, ``transmit``, ``receive``, ``csr``. One
        with a processor also has ``board``, ``flash`` and ``uart_tx``: then the processor is the
        only one who reaches a register, and the flash is behind its guard.

    Attributes
    ----------
    wanted_mhz : dict
        Constraint of each clock, by the name of its signal.
    """

    def __init__(self, board: Board, card: Callable[[], wiring.Component]):
        self.board = board
        self.card = card()
        self.ports = len(self.card.transmit)
        self._processor = "flash" in self.card.signature.members
        self.wanted_mhz = {"clk_sync": CORE_WANTED_MHZ, "clk_wire": _WIRE_MHZ}
        self.wanted_mhz |= {"clk_lane_tx": _WIRE_MHZ, "clk_lane_rx": _WIRE_MHZ}
        self.wanted_mhz |= {f"clk_gmii{n}_rx": _WIRE_MHZ for n in range(self.ports)}
        super().__init__({})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        board, card = self.board, self.card
        m.submodules.clocks = clocks = Clocks(board.clock_mhz, CORE_MHZ, _WIRE_MHZ)
        m.submodules.card = card
        m.submodules.registers = registers = _Registers()
        buses = {} if self._processor else {"card": card.csr}
        buses["board"] = registers.bus

        lane_pins = platform.request("pcie_x1", dir="-")
        m.submodules.lane = lane = Lane(
            lane_pins, transmit_domain="lane_tx", receive_domain="lane_rx"
        )
        connect(m, card.link, lane.link)
        sources = {
            "sync": clocks.core,
            "wire": clocks.wire,
            "lane_tx": lane.serdes.transmit_clock,
            "lane_rx": lane.serdes.receive_clock,
        }
        m.submodules.perst_buffer = perst = io.Buffer("i", lane_pins.perst)
        m.submodules.perst_sync = cdc.FFSynchronizer(perst.i, lane.perst)

        control, state = registers.control.f, registers.state.f
        links = []
        for n in range(self.ports):
            pins = platform.request("eth_rgmii", n, dir="-")
            m.submodules[f"rgmii_{n}"] = rgmii = Rgmii(
                pins,
                transmit_domain="wire",
                receive_domain=f"gmii{n}_rx",
                receive_delay_ns=board.receive_delay_ns,
                transmit_delay_ns=board.transmit_delay_ns,
            )
            connect(m, card.transmit[n], rgmii.transmit)
            connect(m, card.receive[n], rgmii.receive)
            sources[f"gmii{n}_rx"] = rgmii.receive_clock
            m.domains += (tx := ClockDomain(f"gmii{n}_tx"))
            m.d.comb += [tx.clk.eq(ClockSignal("wire")), tx.rst.eq(ResetSignal("wire"))]
            m.submodules[f"mdio_{n}"] = mdio = Mdio(divisor=_MDC_DIVISOR, address=n)
            buses[f"mdio_{n}"] = mdio.csr
            m.submodules[f"mdc_{n}"] = mdc = io.Buffer("o", pins.mdc)
            m.submodules[f"mdio_{n}_buffer"] = line = io.Buffer("io", pins.mdio)
            m.submodules[f"phy_reset_{n}"] = phy_reset = io.Buffer("o", pins.rst)
            m.d.comb += [
                mdc.o.eq(mdio.mdc),
                line.o.eq(mdio.mdio_o),
                line.oe.eq(mdio.mdio_oe),
                mdio.mdio_i.eq(line.i),
                phy_reset.o.eq(control.phy_reset.data),
                state.link.r_data[n].eq(mdio.link),
            ]
            links.append(mdio.link)

        flash_pins = platform.request("spi_flash", dir="-")
        if self._processor:
            m.submodules.flash = flash = FlashPins(flash_pins)
            connect(m, card.flash, flash.bus)
        else:
            m.submodules.flash = flash = Flash(flash_pins)
            buses["flash"] = flash.csr
        m.d.comb += [
            registers.identity.f.board.r_data.eq(board.number),
            registers.identity.f.ports.r_data.eq(self.ports),
            state.perst.r_data.eq(lane.perst),
            state.locked.r_data.eq(lane.locked),
            state.aligned.r_data.eq(lane.aligned),
            lane.enable.eq(control.lane.data),
            lane.infinite.eq(control.infinite.data),
        ]
        self._domains(m, platform, sources)
        self._control(m, platform, buses)
        self._lights(m, platform, [lane.locked, lane.aligned, ~lane.perst, *links])
        return m

    def _domains(self, m, platform, sources):
        """Each domain with its clock, constrained, and its reset."""
        for name, source in sources.items():
            domain = ClockDomain(name)
            m.domains += domain
            clock = Signal(name=f"clk_{name}", attrs={"keep": 1})
            m.d.comb += [clock.eq(source), domain.clk.eq(clock)]
            platform.add_clock_constraint(clock, self.wanted_mhz[f"clk_{name}"] * 1e6)
            if name != "sync":
                m.submodules[f"reset_{name}"] = cdc.ResetSynchronizer(
                    ResetSignal("sync"), domain=name
                )

    def _control(self, m, platform, buses):
        """The control bus, and who masters it; the serial line."""
        m.submodules.decoder = decoder = csr.decoder_of(buses)
        if self._processor:
            connect(m, self.card.board, decoder.bus)
            pins = platform.request("uart", dir="-")
            m.submodules.uart_tx = tx = io.Buffer("o", pins.tx)
            m.d.comb += tx.o.eq(self.card.uart_tx)
            return
        m.submodules.uart = uart = UartBridge(
            addr_width=decoder.bus.addr_width, divisor=round(CORE_MHZ * 1e6 / _BAUD)
        )
        connect(m, uart.bus, decoder.bus)
        pins = platform.request("uart", dir="-")
        m.submodules.uart_rx = rx = io.Buffer("i", pins.rx)
        m.submodules.uart_tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]

    def _lights(self, m, platform, signals):
        """Lights: the core's heartbeat, then what is given."""
        beat = Signal(ceil_log2(int(CORE_MHZ * 1e6)))
        m.d.sync += beat.eq(beat + 1)
        for number, signal in enumerate([beat[-1], *signals]):
            m.submodules[f"led_{number}"] = led = io.Buffer(
                "o", platform.request("led", number, dir="-")
            )
            m.d.comb += led.o.eq(signal)

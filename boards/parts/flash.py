"""The flash that the device loads itself from: its wires, and how to exchange bytes by them."""

from amaranth.hdl import Cat, Instance, Module, Signal
from amaranth.lib import cdc, io, wiring
from amaranth.lib.wiring import In, connect, flipped

from niter import csr
from niter.security.flash_guard import SpiBus

__all__ = ["Flash", "FlashPins"]


def _buffers(m, pins, select):
    """Buffers of all pins but the clock's; returns what drives the data, and what came."""
    for name in ("cs", "copi", "wp", "hold"):
        m.submodules[name] = buffer = io.Buffer("o", getattr(pins, name))
        m.d.comb += buffer.o.eq(0)
        if name == "cs":
            m.d.comb += buffer.o.eq(select)
        if name == "copi":
            copi = buffer.o
    m.submodules.cipo = cipo = io.Buffer("i", pins.cipo)
    return copi, cipo.i


class FlashPins(wiring.Component):
    """The configuration flash as a SPI bus.

    Its clock has no pin of the fabric: the cell ``USRMCLK`` takes it over once the device has
    configured itself.

    Parameters
    ----------
    pins
        The board's ``spi_flash``, requested with ``dir="-"``.

    Members
    -------
    bus : In(SpiBus)
        Who drives it does so from flip-flops. ``cipo`` follows the clock that it was given by what
        the pins and the flash take, and no clock of the device.
    """

    bus: In(SpiBus)

    def __init__(self, pins):
        self._pins = pins
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        copi, cipo = _buffers(m, self._pins, ~self.bus.cs_n)
        m.d.comb += [copi.eq(self.bus.copi), self.bus.cipo.eq(cipo)]
        m.submodules.clock = Instance("USRMCLK", i_USRMCLKI=self.bus.sck, i_USRMCLKTS=0)
        return m


class Flash(wiring.Component):
    """Exchanges bytes with the configuration flash (SPI mode 0, most significant bit first).

    For whoever masters the control bus of a card without a processor. A byte takes 16 times
    ``divisor`` cycles.

    Parameters
    ----------
    pins
        The board's ``spi_flash``, requested with ``dir="-"``.
    divisor
        Cycles of half a period of the clock, from 2 up.

    Members
    -------
    csr : In(csr.Signature)
        ``control`` and ``data``.
    """

    class Control(csr.Register, access="rw"):
        """The flash's select line."""

        select: csr.Field(csr.action.RW, 1, doc="The flash is selected.")

    class Send(csr.Register, access="w"):
        """Sends a byte."""

        byte: csr.Field(csr.action.W, 8, doc="What is sent. Ignored while one is on its way.")

    class Got(csr.Register, access="r"):
        """What came back."""

        byte: csr.Field(csr.action.R, 8, doc="What was received with the last byte sent.")
        busy: csr.Field(csr.action.R, 1, doc="A byte is on its way.")

    def __init__(self, pins, *, divisor: int = 4):
        if divisor < 2:
            raise ValueError(f"Half a period takes 2 cycles at least, not {divisor}")
        self._pins = pins
        self.divisor = divisor
        self._control, self._send, self._got = self.Control(), self.Send(), self.Got()
        builder = csr.Builder(addr_width=2)
        builder.add("control", self._control)
        builder.add("send", self._send)
        builder.add("got", self._got)
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__({"csr": In(csr.Signature(addr_width=2))})
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        copi, cipo = _buffers(m, self._pins, self._control.f.select.data)
        incoming = Signal()
        m.submodules.cipo_sync = cdc.FFSynchronizer(cipo, incoming)

        clock, byte, count = Signal(), Signal(8), Signal(range(17))
        sampled, timer = Signal(), Signal(range(self.divisor))
        m.submodules.clock = Instance("USRMCLK", i_USRMCLKI=clock, i_USRMCLKTS=0)
        m.d.comb += [
            copi.eq(byte[-1]),
            self._got.f.byte.r_data.eq(byte),
            self._got.f.busy.r_data.eq(count != 0),
        ]
        m.d.sync += timer.eq(timer - 1)
        with m.If(count == 0), m.If(self._send.f.byte.w_stb):
            m.d.sync += [
                byte.eq(self._send.f.byte.w_data),
                count.eq(16),
                timer.eq(self.divisor - 1),
            ]
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self.divisor - 1), count.eq(count - 1), clock.eq(~clock)]
            with m.If(clock):
                m.d.sync += byte.eq(Cat(sampled, byte))
            with m.Else():
                # As it was before the rising edge, two cycles late.
                m.d.sync += sampled.eq(incoming)
        return m

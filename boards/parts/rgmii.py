"""RGMII 2.0 at 1 Gb/s in the ECP5's input and output cells."""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In

from niter.net.mac import GmiiReceive, GmiiTransmit

__all__ = ["Rgmii"]

#: A step of DELAYG, in ns (FPGA-DS-02012).
_STEP_NS = 0.025


class Rgmii(wiring.Component):
    """Turns one port's RGMII pins into the two halves of GMII, each in its clock.

    The transmit clock is the board's own, whatever arrives: a PHY has an elastic buffer for
    it. A half takes one cycle more than its DDR cells do. 10 and 100 Mb/s are not supported.

    Parameters
    ----------
    pins
        The board's ``eth_rgmii``, requested with ``dir="-"``.
    transmit_domain, receive_domain
        Clock domains of the halves. The second must be clocked by ``receive_clock``.
    receive_delay_ns, transmit_delay_ns
        Of the received data, and of the transmitted clock; 0 to 3.175 each.

    Members
    -------
    transmit : In(GmiiTransmit), receive : In(GmiiReceive)
        GMII, to the MAC.

    Attributes
    ----------
    receive_clock : Signal
        The PHY's clock, as it comes from its pin.

    Raises
    ------
    ValueError
        A delay is out of its range.
    """

    def __init__(
        self,
        pins,
        *,
        transmit_domain: str,
        receive_domain: str,
        receive_delay_ns: float,
        transmit_delay_ns: float,
    ):
        for delay in (receive_delay_ns, transmit_delay_ns):
            if not 0 <= delay <= 127 * _STEP_NS:
                raise ValueError(f"A delay is 0 to {127 * _STEP_NS} ns, not {delay!r}")
        self._pins = pins
        self._domains = transmit_domain, receive_domain
        self._delays = transmit_delay_ns, receive_delay_ns
        self.receive_clock = Signal()
        super().__init__({"transmit": In(GmiiTransmit), "receive": In(GmiiReceive)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        transmit, _ = self._domains
        registered = Signal(8), Signal(), Signal()
        m.d[transmit] += [
            Cat(*registered).eq(Cat(self.transmit.d, self.transmit.en, self.transmit.er))
        ]
        data, enable, error = registered
        for bit in range(4):
            self._out(m, f"td{bit}", self._pins.tx_data[bit], data[bit], data[bit + 4])
        self._out(m, "tx_ctl", self._pins.tx_ctl, enable, enable ^ error)
        self._out(m, "txc", self._pins.tx_clk, Const(1), Const(0), self._delays[0])

        _, receive = self._domains
        m.submodules.rxc = rxc = io.Buffer("i", self._pins.rx_clk)
        m.d.comb += self.receive_clock.eq(rxc.i)
        low, high = Signal(4), Signal(4)
        for bit in range(4):
            self._in(m, f"rd{bit}", self._pins.rx_data[bit], low[bit], high[bit])
        valid, mark = Signal(), Signal()
        self._in(m, "rx_ctl", self._pins.rx_ctl, valid, mark)
        m.d[receive] += [
            self.receive.d.eq(Cat(low, high)),
            self.receive.dv.eq(valid),
            self.receive.er.eq(valid ^ mark),
        ]
        return m

    def _out(self, m, name, pin, rising, falling, delay_ns=0.0):
        """A pin that changes with both edges."""
        m.submodules[f"{name}_buffer"] = buffer = io.Buffer("o", pin)
        last = buffer.o
        if delay_ns:
            last = Signal(name=f"{name}_early")
            m.submodules[f"{name}_delay"] = _delay(last, buffer.o, delay_ns)
        m.submodules[f"{name}_ddr"] = Instance(
            "ODDRX1F",
            i_SCLK=ClockSignal(self._domains[0]),
            i_RST=0,
            i_D0=rising,
            i_D1=falling,
            o_Q=last,
        )

    def _in(self, m, name, pin, rising, falling):
        """A pin that is looked at with both edges."""
        m.submodules[f"{name}_buffer"] = buffer = io.Buffer("i", pin)
        late = Signal(name=f"{name}_late")
        m.submodules[f"{name}_delay"] = _delay(buffer.i, late, self._delays[1])
        m.submodules[f"{name}_ddr"] = Instance(
            "IDDRX1F",
            i_SCLK=ClockSignal(self._domains[1]),
            i_RST=0,
            i_D=late,
            o_Q0=rising,
            o_Q1=falling,
        )


def _delay(i, o, ns):
    return Instance(
        "DELAYG", p_DEL_MODE="USER_DEFINED", p_DEL_VALUE=round(ns / _STEP_NS), i_A=i, o_Z=o
    )

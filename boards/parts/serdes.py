"""One channel of the ECP5's SERDES, set up for PCIe at 2.5 GT/s."""

from amaranth.hdl import Cat, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Serdes"]

#: Everything that is not zero (FPGA-TN-02206). nextpnr knows no protocols: each bit stands here.
#: 100 MHz of reference times 25; two symbols a cycle in both directions.
_DUAL = {
    "MACROPDB": "0b1",
    "IB_PWDNB": "0b1",
    "TXPLL_PWDNB": "0b1",
    "REFCK_MODE": "0b100",
    "TX_MAX_RATE": "2.5",
    "TX_VCO_CK_DIV": "0b000",
    "BITCLK_LOCAL_EN": "0b1",
    "LOW_MARK": "0d4",
    "HIGH_MARK": "0d12",
    # Charge pump and bias of the transmit PLL, as the vendor's tools set them for PCIe.
    "CMUSETI4CPP": "0d4",
    "CMUSETI4CPZ": "0d3",
    "CMUSETICP4P": "0b01",
    "CMUSETICP4Z": "0b101",
    "CMUSETZGM": "0b100",
    "SETIRPOLY_AUX": "0b10",
    "SETICONST_AUX": "0b01",
    "SETIRPOLY_CH": "0b10",
    "SETICONST_CH": "0b10",
    "SETPLLRC": "0d1",
    "RG_EN": "0b1",
}
_CHANNEL = {
    "PROTOCOL": "PCIE",
    "PCIE_MODE": "0b1",
    # Receiver: termination, rate, alignment to K28.5, loss of signal.
    "RPWDNB": "0b1",
    "RTERM_RX": "0d22",
    "RXIN_CM": "0b11",
    "RXTERM_CM": "0b11",
    "CTC_BYPASS": "0b1",
    "CDR_MAX_RATE": "2.5",
    "RX_DCO_CK_DIV": "0b000",
    "RX_GEAR_MODE": "0b1",
    "PDEN_SEL": "0b1",
    "SEL_SD_RX_CLK": "0b1",
    "AUTO_FACQ_EN": "0b1",
    "AUTO_CALIB_EN": "0b1",
    "ENABLE_CG_ALIGN": "0b1",
    "UDF_COMMA_MASK": "0x3ff",
    "UDF_COMMA_A": "0x283",
    "UDF_COMMA_B": "0x17C",
    "RLOS_SEL": "0b1",
    "RX_LOS_EN": "0b1",
    "RX_LOS_LVL": "0b100",
    "RX_LOS_CEQ": "0b11",
    # Its oscillator, as the vendor's tools set it for PCIe.
    "DCOBYPSATD": "0b1",
    "DCOCALDIV": "0b010",
    "DCOCTLGI": "0b011",
    "DCODISBDAVOID": "0b1",
    "DCOFTNRG": "0b010",
    "DCOIOSTUNE": "0b010",
    "DCOITUNE4LSB": "0b010",
    "DCOIUPDNX2": "0b1",
    "DCONUOFLSB": "0b101",
    "DCOSCALEI": "0b01",
    "DCOSTARTVAL": "0b010",
    "DCOSTEP": "0b11",
    # Transmitter: 1000 mV into 50 ohm.
    "TPWDNB": "0b1",
    "TX_GEAR_MODE": "0b1",
    "TXAMPLITUDE": "0d1000",
    "RTERM_TX": "0d19",
    "TDRV_SLICE0_CUR": "0b011",
    "TDRV_SLICE0_SEL": "0b01",
    "TDRV_SLICE2_CUR": "0b11",
    "TDRV_SLICE2_SEL": "0b01",
    "TDRV_SLICE3_CUR": "0b11",
    "TDRV_SLICE3_SEL": "0b01",
    "TDRV_SLICE4_CUR": "0b11",
    "TDRV_SLICE4_SEL": "0b01",
}
#: Bits between the two symbols on the cell's buses: 8 of data, and what goes with them.
_SYMBOL = 12


class Serdes(wiring.Component):
    """Channel 0 of a DCUA with its reference clock: symbols, two a cycle of 125 MHz.

    Parameters
    ----------
    pins
        The board's ``pcie_x1``, requested with ``dir="-"``.

    Members
    -------
    transmit_data : In(16), transmit_control : In(2)
        Symbols to send, the first in the low byte; a control bit for each. In the domain of
        ``transmit_clock``.
    receive_data : Out(16), receive_control : Out(2)
        Symbols received, in the domain of ``receive_clock``, which is recovered from them.
    reset : In(1)
        Hold both directions in reset.
    locked, aligned : Out(1)
        The transmit PLL has locked; the receiver has found symbols. Both asynchronous.

    Attributes
    ----------
    transmit_clock, receive_clock : Signal
        The cell's clocks.
    """

    transmit_data: In(16)
    transmit_control: In(2)
    receive_data: Out(16)
    receive_control: Out(2)
    reset: In(1)
    locked: Out(1)
    aligned: Out(1)

    def __init__(self, pins):
        self._pins = pins
        self.transmit_clock = Signal()
        self.receive_clock = Signal()
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        reference, unlocked = Signal(), Signal()
        sent, received = Signal(24), Signal(24)
        m.submodules.reference = Instance(
            "EXTREFB",
            a_LOC="EXTREF0",
            p_REFCK_PWDNB="0b1",
            p_REFCK_RTERM="0b1",
            p_REFCK_DCBIAS_EN="0b0",
            i_REFCLKP=self._pins.refclk.p,
            i_REFCLKN=self._pins.refclk.n,
            o_REFCLKO=reference,
        )
        m.submodules.cell = Instance(
            "DCUA",
            a_LOC="DCU0",
            **{f"p_D_{name}": value for name, value in _DUAL.items()},
            **{f"p_CH0_{name}": value for name, value in _CHANNEL.items()},
            **{f"i_CH0_FF_TX_D_{bit}": sent[bit] for bit in range(24)},
            **{f"o_CH0_FF_RX_D_{bit}": received[bit] for bit in range(24)},
            i_CH0_HDINP=self._pins.rx.p,
            i_CH0_HDINN=self._pins.rx.n,
            o_CH0_HDOUTP=self._pins.tx.p,
            o_CH0_HDOUTN=self._pins.tx.n,
            i_D_REFCLKI=reference,
            i_CH0_RX_REFCLK=reference,
            i_D_FFC_MACROPDB=1,
            i_D_FFC_MACRO_RST=0,
            i_D_FFC_DUAL_RST=self.reset,
            i_D_FFC_TRST=0,
            i_CH0_FFC_RXPWDNB=1,
            i_CH0_FFC_RRST=0,
            i_CH0_FFC_LANE_RX_RST=self.reset,
            i_CH0_FFC_SIGNAL_DETECT=1,
            i_CH0_FFC_TXPWDNB=1,
            i_CH0_FFC_LANE_TX_RST=self.reset,
            i_CH0_FF_TXI_CLK=self.transmit_clock,
            o_CH0_FF_TX_PCLK=self.transmit_clock,
            i_CH0_FF_RXI_CLK=self.receive_clock,
            o_CH0_FF_RX_PCLK=self.receive_clock,
            o_CH0_FFS_LS_SYNC_STATUS=self.aligned,
            o_D_FFS_PLOL=unlocked,
        )
        m.d.comb += [
            self.locked.eq(~unlocked),
            self.receive_data.eq(Cat(received[:8], received[_SYMBOL : _SYMBOL + 8])),
            self.receive_control.eq(Cat(received[8], received[_SYMBOL + 8])),
            sent[:9].eq(Cat(self.transmit_data[:8], self.transmit_control[0])),
            sent[_SYMBOL : _SYMBOL + 9].eq(Cat(self.transmit_data[8:], self.transmit_control[1])),
        ]
        return m

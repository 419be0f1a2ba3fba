"""The PLL, and the order in which the domains leave reset."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, Signal
from amaranth.lib import cdc, io, wiring
from amaranth.lib.wiring import Out

__all__ = ["Clocks", "Pll"]

#: MHz (FPGA-DS-02012, sysCLOCK PLL timing).
_OSCILLATOR = (400, 800)
_DETECTOR = (10, 400)
_OUTPUTS = ("CLKOP", "CLKOS", "CLKOS2", "CLKOS3")


@dataclass(frozen=True)
class Pll:
    """Dividers of an EHXPLLL whose first output is fed back.

    Parameters
    ----------
    reference, feedback
        Divide the input and the first output before they are compared.
    outputs
        Divide the oscillator, one each.
    """

    reference: int
    feedback: int
    outputs: tuple[int, ...]

    @classmethod
    def find(cls, input_mhz: float, outputs_mhz: Sequence[float]) -> "Pll":
        """The dividers that give exactly these frequencies, with the fastest comparison.

        Raises
        ------
        ValueError
            There are none, or more outputs than a PLL has.
        """
        if not 1 <= len(outputs_mhz) <= len(_OUTPUTS):
            raise ValueError(f"A PLL has 1 to {len(_OUTPUTS)} outputs, not {len(outputs_mhz)}")
        first = outputs_mhz[0]
        for reference in range(1, 129):
            compared = input_mhz / reference
            feedback = round(first / compared)
            if not _DETECTOR[0] <= compared <= _DETECTOR[1] or not 1 <= feedback <= 128:
                continue
            if abs(compared * feedback - first) > 1e-6 * first:
                continue
            for divider in range(128, 0, -1):
                oscillator = first * divider
                dividers = [round(oscillator / mhz) for mhz in outputs_mhz]
                exact = all(
                    1 <= each <= 128 and abs(oscillator / each - mhz) < 1e-6 * mhz
                    for each, mhz in zip(dividers, outputs_mhz, strict=True)
                )
                if exact and _OSCILLATOR[0] <= oscillator <= _OSCILLATOR[1]:
                    return cls(reference, feedback, tuple(dividers))
        wanted = ", ".join(f"{mhz:g}" for mhz in outputs_mhz)
        raise ValueError(f"No dividers make {wanted} MHz from {input_mhz:g} MHz")


class Clocks(wiring.Component):
    """Makes the core's clock and Ethernet's transmit clock from the board's oscillator.

    ``sync`` leaves reset ``hold`` cycles after the PLL has locked and the button is up;
    domains outside of it are to be reset by ``cdc.ResetSynchronizer(ResetSignal())``. Domains
    are asserted at once, without a clock, and released with their own.

    Parameters
    ----------
    input_mhz, core_mhz, wire_mhz
        Frequencies of the board's clock, of ``core`` and of ``wire``.
    hold
        Cycles of ``sync``, a power of two.

    Members
    -------
    core, wire : Out(1)
        The clocks.
    locked : Out(1)
        The PLL has locked; asynchronous.
    """

    core: Out(1)
    wire: Out(1)
    locked: Out(1)

    def __init__(self, input_mhz: float, core_mhz: float, wire_mhz: float, hold: int = 1024):
        self.pll = Pll.find(input_mhz, (wire_mhz, core_mhz))
        self.hold = hold
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer(
            "i", platform.request(platform.default_clk, dir="-")
        )
        m.submodules.button = button = io.Buffer(
            "i", platform.request(platform.default_rst, dir="-")
        )
        dividers = self.pll.outputs
        parameters = {"p_PLLRST_ENA": "ENABLED", "p_FEEDBK_PATH": "CLKOP"}
        for name, divider in zip(_OUTPUTS, dividers, strict=False):
            parameters |= {
                f"p_{name}_ENABLE": "ENABLED",
                f"p_{name}_DIV": divider,
                # No shift: a phase is counted from the end of the first period.
                f"p_{name}_CPHASE": divider - 1,
                f"p_{name}_FPHASE": 0,
            }
        m.submodules.pll = Instance(
            "EHXPLLL",
            **parameters,
            p_CLKI_DIV=self.pll.reference,
            p_CLKFB_DIV=self.pll.feedback,
            i_CLKI=oscillator.i,
            i_CLKFB=self.wire,
            i_RST=button.i,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=0,
            i_PHASESTEP=0,
            i_PHASELOADREG=0,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=self.wire,
            o_CLKOS=self.core,
            o_LOCK=self.locked,
        )

        # What counts leaves reset with the lock; the rest when it has counted.
        m.domains.start = start = ClockDomain("start", local=True)
        m.d.comb += start.clk.eq(ClockSignal("sync"))
        m.submodules.unlocked = cdc.ResetSynchronizer(~self.locked, domain="start")
        count = Signal(range(self.hold))
        reset = Signal(init=1)
        with m.If(count == self.hold - 1):
            m.d.start += reset.eq(0)
        with m.Else():
            m.d.start += count.eq(count + 1)
        m.submodules.core_reset = cdc.ResetSynchronizer(reset, domain="sync")
        return m

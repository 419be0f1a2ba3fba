"""What the hardware must know of configuration space at all times, in flip-flops."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .image import Register
from .layouts import FunctionStates
from .windows import RegisterWritten

__all__ = ["ConfigurationShadow"]


class ConfigurationShadow(wiring.Component):
    """Follows the writes to configuration space, those of a reset included.

    Parameters
    ----------
    count
        Functions that exist.

    Members
    -------
    written : In(RegisterWritten)
        Writes to configuration space.
    states : Out(FunctionStates)
        As written by software; D3hot clears ``memory`` and ``master``.
    msix_enable, msix_mask : Out(MAX_FUNCTIONS)
        Message Control's bits.
    boundary : Out(1)
        Read completion boundary of function 0.
    """

    written: In(RegisterWritten)
    states: Out(FunctionStates)
    msix_enable: Out(MAX_FUNCTIONS)
    msix_mask: Out(MAX_FUNCTIONS)
    boundary: Out(1)

    def __init__(self, count: int):
        self._count = count
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        written, value = self.written, self.written.data
        for number in range(self._count):
            state = self.states[number]
            memory_space, master, hot = (
                Signal(name=f"{name}_{number}") for name in ("memory", "master", "hot")
            )
            m.d.comb += [
                state.memory.eq(memory_space & ~hot),
                state.master.eq(master & ~hot),
            ]
            mine = written.strobe & (written.function == number)
            with m.If(mine), m.Switch(written.register):
                with m.Case(Register.COMMAND):
                    m.d.sync += [memory_space.eq(value[1]), master.eq(value[2])]
                with m.Case(Register.POWER):
                    m.d.sync += hot.eq(value[:2].any())
                with m.Case(Register.DEVICE_CONTROL):
                    m.d.sync += state.payload.eq(value[5])
                with m.Case(Register.DEVICE_CONTROL_2):
                    m.d.sync += state.no_timeout.eq(value[4])
                with m.Case(Register.MSIX_CONTROL + 1):
                    m.d.sync += [
                        self.msix_enable[number].eq(value[7]),
                        self.msix_mask[number].eq(value[6]),
                    ]
                if number == 0:
                    with m.Case(Register.LINK_CONTROL):
                        m.d.sync += self.boundary.eq(value[3])
        return m

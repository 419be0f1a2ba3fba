"""The soft core behind one thin component, so that it can be swapped."""

from amaranth import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from .wishbone import Wishbone

__all__ = ["Cpu"]

#: The port names of the Verilog for each member of a Wishbone bus.
_INITIATOR = {
    "cyc": "CYC",
    "stb": "STB",
    "we": "WE",
    "adr": "ADR",
    "sel": "SEL",
    "cti": "CTI",
    "dat_w": "DAT_MOSI",
}
_TARGET = {"dat_r": "DAT_MISO", "ack": "ACK"}


class Cpu(wiring.Component):
    """VexRiscv with short instructions: RV32IMC, 4 KiB of instruction cache.

    There is no data cache: the core's memory is EBR, and answers almost as fast. It executes from
    the first 256 KiB of its address space; a jump elsewhere wraps into them. It has no control and
    status registers and no interrupts: what is no instruction, or an access that is not aligned,
    goes to the word behind the reset address, and cannot return. A ``ResetInserter`` around it
    resets it, too, a cycle later. Amaranth's own simulator cannot run it: the Verilog comes from a
    package, by way of ``niter.verilog``.

    Parameters
    ----------
    reset_address
        Where it begins.

    Members
    -------
    fetch, data : Out(Wishbone)
        Its two buses.
    """

    fetch: Out(Wishbone)
    data: Out(Wishbone)

    def __init__(self, reset_address: int):
        self.reset_address = reset_address
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # What resets the registers around an instance does not reach the instance by itself.
        reset = Signal(init=1)
        m.d.sync += reset.eq(0)
        ports = {
            "i_clk": ClockSignal(),
            "i_reset": reset,
            "i_externalResetVector": self.reset_address,
            "i_timerInterrupt": 0,
            "i_softwareInterrupt": 0,
            "i_externalInterruptArray": Const(0, 32),
        }
        for prefix, bus in (("iBus", self.fetch), ("dBus", self.data)):
            for name, port in _INITIATOR.items():
                ports[f"o_{prefix}Wishbone_{port}"] = getattr(bus, name)
            for name, port in _TARGET.items():
                ports[f"i_{prefix}Wishbone_{port}"] = getattr(bus, name)
            # The core would wait for an acknowledgement all the same.
            ports[f"i_{prefix}Wishbone_ERR"] = 0
        m.submodules.core = Instance("VexRiscv", **ports)
        return m

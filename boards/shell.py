"""A shell that lets a room be placed alone: few pins, all of its ports between registers."""

from collections.abc import Mapping

from amaranth.hdl import ClockDomain, Module, Signal, Value
from amaranth.lib import wiring

__all__ = ["Shell"]


class Shell(wiring.Component):
    """Feeds a component's inputs from one shift register and keeps its outputs in registers.

    It adds flip-flops only, ``registers`` of them, and not a single LUT, so that what nextpnr
    counts is the component's own.

    Parameters
    ----------
    component
        Stands at ``dut`` below the shell.
    clocks
        Domains that the component uses apart from ``sync``.

    Members
    -------
    clk, clk_<domain> : In(1)
        Clocks.
    rst, serial : In(1)
        Reset of all domains, and what is shifted into the inputs.
    """

    def __init__(self, component: wiring.Component, clocks: Mapping[str, float]) -> None:
        self.component = component
        self.clocks = clocks
        self.registers = 1
        ports = {"clk": wiring.In(1), "rst": wiring.In(1), "serial": wiring.In(1)}
        super().__init__(ports | {f"clk_{name}": wiring.In(1) for name in clocks})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.dut = self.component
        m.domains.sync = sync = ClockDomain("sync")
        reset = Signal(reset_less=True)
        m.d.comb += [sync.clk.eq(self.clk), sync.rst.eq(reset)]
        m.d.sync += reset.eq(self.rst)
        for name in self.clocks:
            domain = ClockDomain(name)
            m.domains += domain
            m.d.comb += [domain.clk.eq(getattr(self, f"clk_{name}")), domain.rst.eq(reset)]
        tail = self.serial
        self.registers = 1
        for path, member, value in self.component.signature.flatten(self.component):
            name = "__".join(map(str, path))
            value = Value.cast(value)
            register = Signal(len(value), name=f"{name}_register", reset_less=True)
            self.registers += len(value)
            if member.flow == wiring.In:
                m.d.sync += register.eq(register << 1 | tail)
                m.d.comb += value.eq(register)
                tail = register[-1]
            else:
                register.attrs["keep"] = 1
                m.d.sync += register.eq(value)
        return m

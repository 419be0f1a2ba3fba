"""Resets of functions: fundamental, while the link is down, and function level."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

__all__ = ["FunctionResets"]


class FunctionResets(wiring.Component):
    """Resets functions one by one (6.6): the engine, the registers and the MSI-X table of each.

    A reset takes as long as the engine needs, and at least some hundred cycles; the hundred
    milliseconds that software must wait are several million.

    Parameters
    ----------
    count
        Functions that exist; the others stay out of reset.

    Members
    -------
    up : In(1)
        While it is low all functions are being reset.
    flr : In(MAX_FUNCTIONS)
        Strobes: reset this function.
    reset : Out(MAX_FUNCTIONS), reset_done : In(MAX_FUNCTIONS)
        To and from the engine; see ``FunctionPort``.
    clear_registers, clear_table : Out(MAX_FUNCTIONS)
        Configuration space, MSI-X table: go back to the state after reset.
    registers_cleared, table_cleared : In(MAX_FUNCTIONS)
        Strobes: done.
    fundamental : Out(MAX_FUNCTIONS)
        The reset of a function is not merely function level.
    active : Out(MAX_FUNCTIONS)
        The function is in reset.
    """

    up: In(1)
    flr: In(MAX_FUNCTIONS)
    reset: Out(MAX_FUNCTIONS)
    reset_done: In(MAX_FUNCTIONS)
    clear_registers: Out(MAX_FUNCTIONS)
    registers_cleared: In(MAX_FUNCTIONS)
    clear_table: Out(MAX_FUNCTIONS)
    table_cleared: In(MAX_FUNCTIONS)
    fundamental: Out(MAX_FUNCTIONS)
    active: Out(MAX_FUNCTIONS)

    def __init__(self, count: int):
        self._count = count
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        count = self._count
        start = Signal(count)
        reset, registers, table, fundamental = (
            Signal(count, name=name) for name in ("asked", "registers", "table", "whole")
        )
        m.d.comb += [
            start.eq(self.flr | (~self.up).replicate(count)),
            self.active.eq(reset | self.reset_done[:count] | registers | table),
            self.reset.eq(reset),
            self.clear_registers.eq(registers),
            self.clear_table.eq(table),
            self.fundamental.eq(fundamental),
        ]
        m.d.sync += [
            reset.eq(start | (reset & ~self.reset_done)),
            registers.eq(start | (registers & ~self.registers_cleared)),
            table.eq(start | (table & ~self.table_cleared)),
            fundamental.eq(fundamental & self.active),
        ]
        with m.If(~self.up):
            m.d.sync += fundamental.eq(~0)
        return m

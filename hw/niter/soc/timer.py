"""Time: a counter of cycles."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

from .registers import bridge_of

__all__ = ["Timer"]


class Timer(wiring.Component):
    """Counts cycles from reset on, in 32 bits; software that looks often enough extends them.

    Parameters
    ----------
    clock_hz
        What software is told about the clock.

    Members
    -------
    bus : In(csr.Signature)
        Registers.
    tick : Out(1)
        High in one cycle of 65,536, from a flip-flop.
    """

    class Cycles(csr.Register, access="r"):
        """Cycles, modulo 2**32."""

        value: csr.Field(csr.action.R, 32)

    class Rate(csr.Register, access="r"):
        """Cycles in a second."""

        hertz: csr.Field(csr.action.R, 32)

    def __init__(self, clock_hz: int):
        self.clock_hz = clock_hz
        self._cycles, self._rate = self.Cycles(), self.Rate()
        self._bridge = bridge_of({"cycles": self._cycles, "rate": self._rate})
        super().__init__(
            {"bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)), "tick": Out(1)}
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        cycles, before = Signal(32), Signal()
        m.d.sync += [
            cycles.eq(cycles + 1),
            before.eq(cycles[15]),
            self.tick.eq(before & ~cycles[15]),
        ]
        m.d.comb += [
            self._cycles.f.value.r_data.eq(cycles),
            self._rate.f.hertz.r_data.eq(self.clock_hz),
        ]
        return m

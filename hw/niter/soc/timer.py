"""Time: a counter of cycles."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from niter import csr

from .registers import bridge_of

__all__ = ["Timer"]


class Timer(wiring.Component):
    """Counts cycles from reset on, in 64 bits.

    Parameters
    ----------
    clock_hz
        What software is told about the clock.

    Members
    -------
    bus : In(csr.Signature)
        Registers.
    """

    class Low(csr.Register, access="r"):
        """Cycles, low half. Reading it keeps the high half of the same moment."""

        value: csr.Field(csr.action.R, 32)

    class High(csr.Register, access="r"):
        """Cycles, high half, as of the last read of ``low``."""

        value: csr.Field(csr.action.R, 32)

    class Rate(csr.Register, access="r"):
        """Cycles in a second."""

        hertz: csr.Field(csr.action.R, 32)

    def __init__(self, clock_hz: int):
        self.clock_hz = clock_hz
        self._low, self._high, self._rate = self.Low(), self.High(), self.Rate()
        self._bridge = bridge_of({"low": self._low, "high": self._high, "rate": self._rate})
        super().__init__({"bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width))})
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        # The high half counts a cycle late, so that no carry runs through 64 bits.
        low, high, kept = Signal(32), Signal(32), Signal(32)
        carry = Signal()
        m.d.sync += [low.eq(low + 1), carry.eq(low.all()), high.eq(high + carry)]
        with m.If(self._low.f.value.r_stb):
            m.d.sync += kept.eq(high + carry)
        m.d.comb += [
            self._low.f.value.r_data.eq(low),
            self._high.f.value.r_data.eq(kept),
            self._rate.f.hertz.r_data.eq(self.clock_hz),
        ]
        return m

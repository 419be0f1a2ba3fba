"""The watchdog: what resets the SoC when its software stops."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

from .registers import bridge_of

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Counts down from what software has written, and at zero resets all that hangs on it.

    Stands outside of what it resets. It is still after a reset of either kind; once started it
    cannot be stopped.

    Members
    -------
    tick : In(1)
        A unit of its time has passed: 65,536 cycles.
    bus : In(csr.Signature)
        Registers.
    expired : Out(1)
        Reset for the SoC, from a flip-flop, for 16 cycles.
    """

    class Feed(csr.Register, access="w"):
        """Starts the watchdog, or starts its time anew."""

        ticks: csr.Field(
            csr.action.W,
            16,
            doc="Of 65,536 cycles until the reset, the first perhaps a short one; zero: now.",
        )

    class Cause(csr.Register, access="r"):
        """Why the SoC was reset last."""

        watchdog: csr.Field(csr.action.R, 1, doc="By the watchdog, and not with the card.")

    def __init__(self):
        self._feed, self._cause = self.Feed(), self.Cause()
        self._bridge = bridge_of({"feed": self._feed, "cause": self._cause})
        super().__init__(
            {
                "bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
                "tick": In(1),
                "expired": Out(1),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        left = Signal(16)
        running, caused = Signal(), Signal()
        hold = Signal(4)
        feed = self._feed.f.ticks
        m.d.comb += self._cause.f.watchdog.r_data.eq(caused)
        with m.If(self.tick):
            m.d.sync += left.eq(left - 1)
        with m.If(self.expired):
            m.d.sync += [hold.eq(hold + 1), running.eq(0), caused.eq(1)]
            with m.If(hold.all()):
                m.d.sync += self.expired.eq(0)
        with m.Elif(feed.w_stb):
            m.d.sync += [left.eq(feed.w_data), running.eq(1)]
        with m.Elif(running & (left == 0)):
            m.d.sync += self.expired.eq(1)
        return m

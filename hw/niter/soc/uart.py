"""A serial line for people."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

from .registers import bridge_of

__all__ = ["Uart"]


class Uart(wiring.Component):
    """Sends bytes, 8N1. It receives nothing: the card takes no commands from there.

    Parameters
    ----------
    divisor
        Cycles of a bit.

    Members
    -------
    bus : In(csr.Signature)
        Registers.
    tx : Out(1)
        The line.
    """

    class Data(csr.Register, access="w"):
        """Sends a byte; ignored while not ``ready``."""

        byte: csr.Field(csr.action.W, 8)

    class Status(csr.Register, access="r"):
        """Whether the line is free."""

        ready: csr.Field(csr.action.R, 1, doc="A byte can be written.")

    def __init__(self, divisor: int):
        if divisor < 2:
            raise ValueError(f"A bit takes at least 2 cycles, not {divisor!r}")
        self.divisor = divisor
        self._data, self._status = self.Data(), self.Status()
        self._bridge = bridge_of({"data": self._data, "status": self._status})
        super().__init__(
            {
                "bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
                "tx": Out(1, init=1),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        # Bits that are still to be sent, the stop bit being the last one that is set.
        shift = Signal(10)
        count = Signal(range(self.divisor))
        data = self._data.f.byte
        m.d.comb += self._status.f.ready.r_data.eq(~shift.any())
        with m.If(~shift.any()):
            m.d.sync += [self.tx.eq(1), count.eq(0)]
            with m.If(data.w_stb):
                m.d.sync += shift.eq(Cat(Const(0, 1), data.w_data, Const(1, 1)))
        with m.Elif(count != 0):
            m.d.sync += count.eq(count - 1)
        with m.Else():
            m.d.sync += [self.tx.eq(shift[0]), shift.eq(shift >> 1), count.eq(self.divisor - 1)]
        return m

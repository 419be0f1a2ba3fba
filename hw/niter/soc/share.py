"""Two behind one port: engines that seldom write host memory, masters of the control bus."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter import csr
from niter.interface import HostWrite, WriteKind

from .config import CSR_WIDTH

__all__ = ["BusShare", "WriteShare"]


class BusShare(wiring.Component):
    """Gives the control bus to one master at a time: to the first, whenever it wants it.

    The first has nothing that could make it wait, so the second has to: its strobe counts in a
    cycle without ``hold`` only. No latency.

    Parameters
    ----------
    addr_width
        Word address bits of the bus. Higher ones of the second master's are ignored.

    Members
    -------
    first : In(csr.Signature)
        The one that never waits: whoever looks on from outside.
    second : In(csr.Signature)
        The one that does: the core.
    hold : Out(1)
        The first has the bus in this cycle.
    csr : Out(csr.Signature)
        The bus.
    """

    def __init__(self, addr_width: int):
        super().__init__(
            {
                "first": In(csr.Signature(addr_width=addr_width)),
                "second": In(csr.Signature(addr_width=CSR_WIDTH)),
                "hold": Out(1),
                "csr": Out(csr.Signature(addr_width=addr_width)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        first, second, bus = self.first, self.second, self.csr
        m.d.comb += [
            self.hold.eq(first.r_stb | first.w_stb),
            bus.addr.eq(Mux(self.hold, first.addr, second.addr)),
            bus.w_data.eq(Mux(self.hold, first.w_data, second.w_data)),
            bus.r_stb.eq(Mux(self.hold, first.r_stb, second.r_stb)),
            bus.w_stb.eq(Mux(self.hold, first.w_stb, second.w_stb)),
            first.r_data.eq(bus.r_data),
            second.r_data.eq(bus.r_data),
        ]
        return m


class WriteShare(wiring.Component):
    """Passes one command and its data at a time, of two engines in turn.

    No latency of its own for the one that has the turn, a cycle for the other. An engine's data is
    taken behind its command only; the order of acceptance is that of the port behind.

    Members
    -------
    i : array of In(HostWrite)
        The engines, two of them.
    o : Out(HostWrite)
        The port that they share.
    """

    i: In(HostWrite).array(2)
    o: Out(HostWrite)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        turn, moving = Signal(), Signal()
        command, data = self.o.command, self.o.data
        valid = Array(port.command.valid for port in self.i)[turn]
        m.d.comb += [
            command.valid.eq(valid & ~moving),
            data.valid.eq(Array(port.data.valid for port in self.i)[turn] & moving),
        ]
        for number, port in enumerate(self.i):
            mine = turn == number
            m.d.comb += [
                port.command.ready.eq(command.ready & mine & ~moving),
                port.data.ready.eq(data.ready & mine & moving),
            ]
            with m.If(mine):
                m.d.comb += [
                    command.payload.eq(port.command.payload),
                    data.payload.eq(port.data.payload),
                ]
        with m.If(moving), m.If(data.valid & data.ready & data.payload.last):
            m.d.sync += [moving.eq(0), turn.eq(~turn)]
        with m.Elif(~valid):
            m.d.sync += turn.eq(~turn)
        with m.Elif(command.ready):
            memory = command.payload.kind == WriteKind.MEMORY
            m.d.sync += [moving.eq(memory), turn.eq(turn ^ ~memory)]
        return m

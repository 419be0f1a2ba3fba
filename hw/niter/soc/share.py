"""Two engines behind one host memory write port: for those that write seldom."""

from amaranth import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import HostWrite, WriteKind

__all__ = ["WriteShare"]


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

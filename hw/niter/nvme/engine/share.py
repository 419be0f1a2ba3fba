"""One host read port for two."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import HostRead, ReadCommand
from niter.stream import Arbiter

__all__ = ["ReadShare"]


class ReadShare(wiring.Component):
    """Joins two read ports; the highest bit of the context says whose answer it is.

    Answers come in the order of the commands, so each of the two has to take its own in bounded
    time whatever becomes of the other. A command takes 1 or 2 cycles, an answer none.

    Members
    -------
    i : array of In(HostRead)
        Those who read; they do not use the context's highest bit.
    o : Out(HostRead)
        Host memory.
    """

    i: In(HostRead).array(2)
    o: Out(HostRead)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.arbiter = arbiter = Arbiter(ReadCommand, 2, packet=False)
        connect(m, arbiter.o, flipped(self.o.command))
        answer = self.o.answer
        mine = answer.payload.context[-1]
        for number, (port, command) in enumerate(zip(self.i, arbiter.i, strict=True)):
            connect(m, flipped(port.command), command)
            m.d.comb += [
                command.payload.context[-1].eq(number),
                port.answer.payload.eq(answer.payload),
                port.answer.valid.eq(answer.valid & (mine == number)),
            ]
            with m.If(mine == number):
                m.d.comb += answer.ready.eq(port.answer.ready)
        return m

"""A room that is small enough to know its cost by heart."""

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram


class Counter(wiring.Component):
    """Adds up what it is given."""

    i: In(16)
    o: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + self.i)
        return m


class Toy(wiring.Component):
    """A counter whose sum is looked up 16 cycles late, in LUT-RAM and in EBR."""

    i: In(16)
    o: Out(16)
    o_late: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.submodules.counter = counter = Counter()
        m.submodules.small = small = memory.Memory(shape=16, depth=16, init=[])
        m.submodules.large = large = Ram(shape=16, depth=1024, init=[])
        m.d.comb += counter.i.eq(self.i)
        for ram, out, domain in ((small, self.o, "comb"), (large, self.o_late, "sync")):
            write, read = ram.write_port(), ram.read_port(domain=domain)
            m.d.comb += [
                write.addr.eq(self.i),
                write.data.eq(counter.o),
                write.en.eq(1),
                read.addr.eq(self.i + 1),
                out.eq(read.data),
            ]
            if domain == "sync":
                m.d.comb += read.en.eq(1)
        return m

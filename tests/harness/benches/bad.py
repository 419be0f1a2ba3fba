"""A bench whose devices are wrong in one way each; every test of it must fail."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles

from niter.interface import FrameStream, PacketStream
from sim.harness import Bench, variant
from sim.models.streams import FrameSink, PacketMonitor, PacketSink


class Wrong(wiring.Component):
    """Offers what a stream forbids.

    Parameters
    ----------
    beats
        Values of members, for one cycle after another; then nothing.
    """

    go: In(1)
    o: Out(PacketStream)

    def __init__(self, *beats: dict[str, int]) -> None:
        self.beats = beats
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        with m.FSM():
            for number, beat in enumerate(self.beats):
                with m.State(number):
                    m.d.comb += self.o.valid.eq(self.go)
                    m.d.comb += [self.o.payload[name].eq(value) for name, value in beat.items()]
                    with m.If(self.go):
                        m.next = number + 1
            with m.State(len(self.beats)):
                pass
        return m


class Endless(wiring.Component):
    """A packet that never ends."""

    go: In(1)
    o: Out(PacketStream)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.valid.eq(self.go)
        with m.If(self.go & self.o.ready):
            m.d.sync += self.o.payload.data.eq(self.o.payload.data + 1)
        return m


class WrongFrame(wiring.Component):
    """A frame of 16 bytes whose meta claims ``lengths`` on its two beats."""

    go: In(1)
    o: Out(FrameStream)

    def __init__(self, *, lengths: tuple[int, int]) -> None:
        self.lengths = lengths
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        with m.FSM():
            for number, length in enumerate(self.lengths):
                with m.State(number):
                    m.d.comb += self.o.valid.eq(self.go)
                    m.d.comb += self.o.payload.meta.length.eq(length)
                    m.d.comb += self.o.payload.packet.last.eq(number)
                    with m.If(self.go & self.o.ready):
                        m.next = number + 1
            with m.State(len(self.lengths)):
                pass
        return m


BENCH = Bench(
    dut={
        "changes": lambda: Wrong({"data": 1}, {"data": 2}),
        "falls": lambda: Wrong({"data": 1}),
        "hole": lambda: Wrong({"empty": 1}, {"last": 1}),
        "error": lambda: Wrong({"error": 1}, {"last": 1}),
        "long": Endless,
        "length": lambda: WrongFrame(lengths=(15, 15)),
        "meta": lambda: WrongFrame(lengths=(16, 17)),
    }
)


@cocotb.test()
async def breaks_a_rule(dut):
    await BENCH.start(dut)
    if variant() in ("changes", "falls"):
        PacketMonitor(dut, "o")
    elif variant() in ("hole", "error", "long"):
        PacketSink(dut, "o")
    else:
        FrameSink(dut, "o")
    await ClockCycles(dut.clk, 3)
    dut.go.value = 1
    await ClockCycles(dut.clk, 1300)

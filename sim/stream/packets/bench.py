"""Packets through what the stream room is made of: held whole, across clocks, realigned."""

import cocotb
from amaranth import DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from niter.interface import Beat, PacketStream
from niter.stream import AsyncFifo, Fifo, PacketFifo
from sim.harness import Bench, rng
from sim.models.streams import Packet, PacketSink, PacketSource, stalls

__all__ = ["BENCH", "Row", "keeps_what_is_good"]


class Row(wiring.Component):
    """Buffers of each kind in a row, the last two in a clock of their own."""

    i: In(PacketStream)
    o: Out(PacketStream)

    def elaborate(self, platform):
        m = Module()
        m.submodules.whole = whole = PacketFifo(Beat, 256)
        m.submodules.crossing = crossing = AsyncFifo(Beat, 8, i_domain="sync", o_domain="other")
        m.submodules.small = small = DomainRenamer("other")(Fifo(Beat, 16))
        m.submodules.back = back = AsyncFifo(Beat, 8, i_domain="other", o_domain="sync")
        connect(m, flipped(self.i), whole.i)
        connect(m, whole.o, crossing.i)
        connect(m, crossing.o, small.i)
        connect(m, small.o, back.i)
        connect(m, back.o, flipped(self.o))
        return m


BENCH = Bench(dut=Row)


@cocotb.test()
async def keeps_what_is_good(dut):
    """Good packets arrive as they were, bad ones do not; both sides pause as they like."""
    dut.other_rst.value = 1
    Clock(dut.other_clk, 7, unit="ns").start()
    await BENCH.start(dut)
    dut.other_rst.value = 0
    await ClockCycles(dut.other_clk, 5)
    rand = rng("packets")
    source = PacketSource(dut, "i", stalls=stalls(rng("i"), probability=0.3))
    sink = PacketSink(dut, "o", stalls=stalls(rng("o"), probability=0.3))
    sizes = [*range(1, 20), 1500, *(rand.randint(1, 400) for _ in range(60))]
    packets = [Packet(rand.randbytes(size), error=rand.random() < 0.2) for size in sizes]
    for packet in packets:
        source.put(packet)
    for packet in packets:
        if not packet.error:
            assert (await sink.recv()).data == packet.data
    await ClockCycles(dut.clk, 100)
    assert sink.waiting == 0

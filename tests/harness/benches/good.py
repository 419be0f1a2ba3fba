"""A bench that passes: packets and frames through a buffer of depth one."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import FrameBeat, FrameStream, PacketStream
from sim.harness import Bench, record, rng, variant
from sim.models.streams import (
    Frame,
    FrameMonitor,
    FrameSink,
    FrameSource,
    Packet,
    PacketSink,
    PacketSource,
    StreamSink,
    StreamSource,
    stalls,
)


class Slice(wiring.Component):
    """Registers one transfer."""

    def __init__(self, signature: stream.Signature) -> None:
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(self.o.ready | ~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


BENCH = Bench(
    dut={"packet": lambda: Slice(PacketStream), "frame": lambda: Slice(FrameStream)},
    clock_ns=10,
)


def _pauses(name: str):
    return stalls(rng(name), probability=0.3)


@cocotb.test()
async def passes_everything(dut):
    await BENCH.start(dut)
    random = rng("packets")
    sent = [Packet(random.randbytes(random.randint(1, 90)), n % 7 == 0) for n in range(60)]
    if variant() == "packet":
        source = PacketSource(dut, "i", stalls=_pauses("i"))
        sink = PacketSink(dut, "o", stalls=_pauses("o"))
    else:
        sent = [Frame(packet.data, packet.error, {"vni": n}) for n, packet in enumerate(sent)]
        source = FrameSource(dut, "i", stalls=_pauses("i"))
        sink = FrameSink(dut, "o", stalls=_pauses("o"))
        monitor = FrameMonitor(dut, "i")
    for packet in sent:
        source.put(packet)
    for number, packet in enumerate(sent):
        got = await sink.recv()
        assert (got.data, got.error) == (packet.data, packet.error)
        if variant() == "frame":
            assert got.meta.vni == number
            assert (await monitor.recv()).data == packet.data
    await source.idle()
    assert not source.waiting and not sink.waiting


@cocotb.test()
async def runs_at_full_rate(dut):
    await BENCH.start(dut)
    shape = BENCH.component.i.payload.shape()
    first = {"data": 1, "last": 1}
    source, sink = StreamSource(dut, "i", shape), StreamSink(dut, "o", shape)
    source.put({"packet": first} if shape is FrameBeat else first)
    for _ in range(99):
        source.put(0)
    begin = None
    for number in range(100):
        beat = await sink.recv()
        begin = begin or sink.time_ns
        assert (beat.packet if shape is FrameBeat else beat).data == (number == 0)
    cycles = round((sink.time_ns - begin) / BENCH.clock_ns) + 1
    record("full rate", frames=1, bytes=800, cycles=cycles, limit=6.4)
    assert cycles == 100

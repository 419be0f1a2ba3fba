import random

import pytest
from amaranth.lib import data

from niter.interface import Beat
from niter.stream import Fifo, PacketFifo, PipeRegister, SkidBuffer
from tests.support.stream import SEEDS, STALLS, Bench, Packet, random_packets


class Tagged(data.Struct):
    packet: Beat
    tag: 9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize(
    "make", [PipeRegister, SkidBuffer, lambda shape: Fifo(shape, 4), lambda shape: Fifo(shape, 32)]
)
def test_queues(make, stall, seed):
    dut = make(8)
    bench = Bench(dut, seed)
    sent = [random.Random(seed).randrange(256) for _ in range(60)]
    bench.put(dut.i, sent, stall=stall[0])
    taken = bench.get(dut.o, len(sent), stall=stall[1])
    cycles = bench.run()
    assert taken == sent
    if stall == (0, 0):
        assert cycles <= len(sent) + 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("shape", [Beat, Tagged])
def test_packet_fifo(shape, stall, seed):
    dut = PacketFifo(shape, 16, packets=8)
    bench = Bench(dut, seed)
    sent = random_packets(random.Random(seed), 60, longest=15 * 8, errors=0.3)
    sent += [Packet(bytes([n])) for n in range(40)]
    if shape is Tagged:
        for number, packet in enumerate(sent):
            packet.sideband = {"tag": number}
    expected = [packet for packet in sent if not packet.error]
    bench.send(dut.i, sent, stall=stall[0])
    taken = bench.receive(dut.o, len(expected), stall=stall[1])
    discarded = []
    bench.sim.add_process(_count(dut.discarded, discarded))
    cycles = bench.run()
    assert taken == expected
    assert len(discarded) == len(sent) - len(expected)
    if stall == (0, 0):
        assert cycles >= 60


def _count(signal, into):
    async def process(ctx):
        async for _, _, value in ctx.tick().sample(signal):
            if value:
                into.append(1)

    return process

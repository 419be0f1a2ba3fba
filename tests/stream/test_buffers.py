import random

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import data
from amaranth.sim import Simulator

from niter.interface import Beat
from niter.stream import AsyncFifo, Fifo, HalfBuffer, PacketFifo, PipeRegister, SkidBuffer
from tests.support.stream import SEEDS, STALLS, Bench, Packet, random_packets


class Tagged(data.Struct):
    packet: Beat
    tag: 9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize(
    ("make", "each"),
    [
        (PipeRegister, 1),
        (SkidBuffer, 1),
        (HalfBuffer, 2),
        (lambda shape: Fifo(shape, 4), 1),
        (lambda shape: Fifo(shape, 32), 1),
    ],
)
def test_queues(make, each, stall, seed):
    dut = make(8)
    bench = Bench(dut, seed)
    sent = [random.Random(seed).randrange(256) for _ in range(60)]
    bench.put(dut.i, sent, stall=stall[0])
    taken = bench.get(dut.o, len(sent), stall=stall[1])
    cycles = bench.run()
    assert taken == sent
    if stall == (0, 0):
        assert cycles <= each * len(sent) + 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("shape, depth", [(Beat, 16), (Beat, 12), (Tagged, 16)])
def test_packet_fifo(shape, depth, stall, seed):
    dut = PacketFifo(shape, depth, packets=8)
    bench = Bench(dut, seed)
    sent = random_packets(random.Random(seed), 60, longest=(depth - 1) * 8, errors=0.3)
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


@pytest.mark.parametrize("depth", [6, 8])
@pytest.mark.parametrize("drop", [False, True])
def test_packet_fifo_discards_what_never_fits(drop, depth):
    dut = PacketFifo(Tagged, depth, drop=drop)
    bench = Bench(dut, 1)
    longest = 8 * (depth - 1)
    fits = [Packet(bytes(n), sideband={"tag": n}) for n in (1, longest, longest)]
    too_long = Packet(bytes(8 * 20), sideband={"tag": 0})
    sent = [fits[0], too_long, fits[1], too_long, Packet(bytes(8 * 9), True, {"tag": 3}), fits[2]]
    bench.send(dut.i, sent, stall=0.6)
    taken = bench.receive(dut.o, len(fits))
    overflows, discarded = [], []
    bench.sim.add_process(_count(dut.overflow, overflows))
    bench.sim.add_process(_count(dut.discarded, discarded))
    bench.run()
    assert taken == fits
    # The errored one is too long as well: it is counted once.
    assert len(overflows) + len(discarded) == 3


@pytest.mark.parametrize("depth", [12, 16])
@pytest.mark.parametrize("seed", SEEDS)
def test_packet_fifo_drops_whole_packets(seed, depth):
    dut = PacketFifo(Tagged, depth, packets=4, drop=True)
    bench = Bench(dut, seed)
    sent = random_packets(random.Random(seed), 80, longest=60, errors=0.2)
    for number, packet in enumerate(sent):
        packet.sideband = {"tag": number}
    overflows, discarded = [], []
    bench.sim.add_process(_count(dut.overflow, overflows))
    bench.sim.add_process(_count(dut.discarded, discarded))
    accepted = []
    bench.send(dut.i, sent, extra=lambda ctx, _: accepted.append(ctx.get(dut.i.ready)))
    taken = []

    async def sink(ctx):
        """As slow as to make it overflow, until nothing comes any more."""
        packet, silence = b"", 0
        while silence < 40:
            await ctx.tick().repeat(3)
            ctx.set(dut.o.ready, 1)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            ctx.set(dut.o.ready, 0)
            silence = 0 if valid else silence + 1
            if valid:
                beat = payload.packet
                packet += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                if beat.last:
                    taken.append(Packet(packet, False, {"tag": payload.tag}))
                    packet = b""

    bench.add(sink)
    bench.run()
    assert all(accepted), "an input that must never wait"
    assert overflows, "nothing overflowed: the test shows nothing"
    assert len(taken) == len(sent) - len(overflows) - len(discarded)
    assert taken == [sent[p.sideband["tag"]] for p in taken]
    assert not any(p.error for p in taken)


@pytest.mark.parametrize("depth", [12, 16])
def test_packet_fifo_amends(depth):
    dut = PacketFifo(Tagged, depth, amend=True)
    bench = Bench(dut, 1)
    rng = random.Random(1)
    longest = 8 * (depth - 1)
    sent = random_packets(rng, 30, longest=longest, errors=0.2)
    for packet in sent:
        packet.data += bytes(len(packet.data) % 2)
        packet.data = packet.data[:longest]
        packet.sideband = {"tag": rng.randrange(512)}
    expected = []

    async def amend(ctx):
        for packet in sent:
            if packet.error:
                continue
            await ctx.tick().until(dut.whole)
            data = bytearray(packet.data)
            for position in (0, len(data) // 2 - 1, rng.randrange(len(data) // 2)):
                value = rng.randrange(1 << 16)
                data[2 * position : 2 * position + 2] = value.to_bytes(2, "little")
                ctx.set(dut.patch, {"valid": 0, "position": position, "value": value})
                await ctx.tick()
                ctx.set(dut.patch.valid, 1)
                await ctx.tick()
                ctx.set(dut.patch.valid, 0)
            expected.append(Packet(bytes(data), False, packet.sideband))
            ctx.set(dut.release, 1)
            await ctx.tick()
            ctx.set(dut.release, 0)

    bench.send(dut.i, sent)
    bench.add(amend)
    taken = bench.receive(dut.o, sum(not p.error for p in sent), stall=0.3)
    bench.run()
    assert taken == expected


def test_depths():
    for depth in (3, 5, 7, 10):
        with pytest.raises(ValueError, match=f"three quarters of one, not {depth}"):
            PacketFifo(Beat, depth)
    with pytest.raises(ValueError, match="Packets must be a power of two from 4 up, not 6"):
        PacketFifo(Tagged, 16, packets=6)
    with pytest.raises(ValueError, match="Depth must be a power of two from 2 up, not 3"):
        Fifo(Beat, 3)
    with pytest.raises(ValueError, match="Depth must be 4 or more, not 3"):
        AsyncFifo(Beat, 3, i_domain="left", o_domain="right")
    with pytest.raises(TypeError, match="with a field packet of shape Beat, not 8"):
        PacketFifo(8, 16)


@pytest.mark.parametrize("depth", [4, 16])
@pytest.mark.parametrize("ratio", [0.31, 1.0, 3.7])
def test_async_fifo(ratio, depth):
    dut = AsyncFifo(8, depth, i_domain="left", o_domain="right")
    sent = [random.Random(1).randrange(256) for _ in range(200)]
    taken = []
    sim = Simulator(dut)
    sim.add_clock(1e-6, domain="left")
    sim.add_clock(1e-6 * ratio, phase=0.13e-6, domain="right")

    async def source(ctx):
        for payload in sent:
            ctx.set(dut.i.payload, payload)
            ctx.set(dut.i.valid, 1)
            await ctx.tick("left").until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        while len(taken) < len(sent):
            taken.append((await ctx.tick("right").sample(dut.o.payload).until(dut.o.valid))[0])

    sim.add_testbench(source)
    sim.add_testbench(sink)
    sim.run()
    assert taken == sent


def test_async_fifo_forgets_at_a_reset_of_its_input():
    """Also what stands at the output, or behind it, and has not been taken."""
    m = Module()
    m.domains.left = left = ClockDomain()
    m.domains.right = ClockDomain()
    m.submodules.dut = dut = AsyncFifo(8, 6, i_domain="left", o_domain="right")
    sim = Simulator(m)
    sim.add_clock(1e-6, domain="left")
    sim.add_clock(0.7e-6, phase=0.13e-6, domain="right")

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 0x55)
        await ctx.tick("left").repeat(20)
        assert not ctx.get(dut.i.ready) and ctx.get(dut.o.valid)
        ctx.set(dut.i.valid, 0)
        ctx.set(left.rst, 1)
        await ctx.tick("right").repeat(6)
        ctx.set(left.rst, 0)
        await ctx.tick("left").repeat(8)
        assert not ctx.get(dut.o.valid)
        ctx.set(dut.i.payload, 0xAA)
        ctx.set(dut.i.valid, 1)
        await ctx.tick("left").until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 1)
        (payload,) = await ctx.tick("right").sample(dut.o.payload).until(dut.o.valid)
        assert payload == 0xAA

    sim.add_testbench(testbench)
    sim.run()


def _count(signal, into):
    async def process(ctx):
        async for _, _, value in ctx.tick().sample(signal):
            if value:
                into.append(1)

    return process

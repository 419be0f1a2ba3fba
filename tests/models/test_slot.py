"""The slot of a whole card, end to end: packets become beats, and beats the same packets."""

import random

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from sim.models.slot import Gather, Spread, gathered, held_of
from sim.models.streams import Packet


@pytest.mark.parametrize("take", [1.0, 0.6])
def test_packets_pass_whole_and_without_bubbles(take):
    rng = random.Random(1)
    lengths = [12, 16, 272, 20, 1, 8, *(rng.randint(1, 272) for _ in range(30))]
    packets = [Packet(rng.randbytes(length), rng.random() < 0.2) for length in lengths]
    m = Module()
    m.submodules.spread, m.submodules.gather = spread, gather = Spread(), Gather()
    connect(m, spread.o, gather.i)
    found: list[Packet] = []
    busy = [0]

    async def send(ctx):
        level = 0
        for packet in packets:
            level ^= 1
            ctx.set(spread.held, spread.held.shape().from_bits(held_of(packet)))
            ctx.set(spread.flag, level)
            while ctx.get(spread.taken) != level:
                ctx.set(gather.take, rng.random() < take)
                busy[0] += 1
                await ctx.tick()
        await ctx.tick().repeat(2)

    async def watch(ctx):
        before = 0
        async for _, _, flag, held in ctx.tick().sample(gather.flag, gather.held):
            if flag != before:
                before = flag
                found.append(gathered(held.as_bits()))

    sim = Simulator(m)
    sim.add_clock(16e-9)
    sim.add_testbench(send)
    sim.add_testbench(watch, background=True)
    sim.run()
    assert found == packets
    if take == 1.0:
        assert busy[0] == sum(-(-length // 8) for length in lengths)

"""The core's memories on their bus: of any size, word by word and in bursts."""

import random

import pytest
from amaranth.sim import Simulator

from niter.soc.memory import BusMemory
from niter.soc.wishbone import BURST_WORDS, CycleType


async def transfer(ctx, bus, address, *, sel=0b1111, write=None):
    """A classic cycle; what was read."""
    ctx.set(bus.adr, address)
    ctx.set(bus.sel, sel)
    ctx.set(bus.we, write is not None)
    ctx.set(bus.dat_w, write or 0)
    ctx.set(bus.cti, CycleType.CLASSIC)
    ctx.set(bus.cyc, 1)
    ctx.set(bus.stb, 1)
    (word,) = await ctx.tick().sample(bus.dat_r).until(bus.ack)
    ctx.set(bus.cyc, 0)
    ctx.set(bus.stb, 0)
    await ctx.tick()
    return word


async def burst(ctx, bus, address):
    """A line; its words."""
    words = []
    ctx.set(bus.we, 0)
    ctx.set(bus.cyc, 1)
    ctx.set(bus.stb, 1)
    for n in range(BURST_WORDS):
        last = n == BURST_WORDS - 1
        ctx.set(bus.adr, address + n)
        ctx.set(bus.cti, CycleType.END_OF_BURST if last else CycleType.INCREMENTING)
        (word,) = await ctx.tick().sample(bus.dat_r).until(bus.ack)
        words.append(word)
    ctx.set(bus.cyc, 0)
    ctx.set(bus.stb, 0)
    await ctx.tick()
    return words


@pytest.mark.parametrize("size", [64, 224, 76 * 16])
def test_keeps_what_is_written(size):
    rng = random.Random(size)
    words = [rng.getrandbits(32) for _ in range(size // 4)]
    dut = BusMemory(size, words)

    async def bench(ctx):
        for _ in range(400):
            at = rng.randrange(len(words))
            if rng.getrandbits(1):
                sel, value = rng.getrandbits(4), rng.getrandbits(32)
                await transfer(ctx, dut.bus, at, sel=sel, write=value)
                mask = sum(0xFF << 8 * lane for lane in range(4) if sel >> lane & 1)
                words[at] = words[at] & ~mask | value & mask
            else:
                assert await transfer(ctx, dut.bus, at) == words[at]
        for line in range(0, len(words) - BURST_WORDS + 1, BURST_WORDS):
            assert await burst(ctx, dut.bus, line) == words[line : line + BURST_WORDS]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_there_is_nothing_behind_the_end():
    dut = BusMemory(48, [n + 1 for n in range(12)])

    async def bench(ctx):
        for at in (12, 15):
            await transfer(ctx, dut.bus, at, write=5)
            assert await transfer(ctx, dut.bus, at) == 0
        assert [await transfer(ctx, dut.bus, n) for n in range(12)] == list(range(1, 13))
        assert await transfer(ctx, dut.bus, 16) == 1

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_a_rom_stays_as_it_is():
    dut = BusMemory(64, range(16), writable=False)

    async def bench(ctx):
        await transfer(ctx, dut.bus, 3, write=99)
        assert await transfer(ctx, dut.bus, 3) == 3

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()

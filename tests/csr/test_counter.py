import random

import pytest
from amaranth.sim import Simulator

from niter import csr
from tests.support.csr import read, read64


def test_counts_exactly_while_software_reads():
    rng = random.Random(1)
    dut = csr.CounterBank([f"c{n}" for n in range(4)], amount_width=32)
    model = [0] * 4
    history = [[0] for _ in range(4)]
    done = []

    async def count(ctx):
        for _ in range(400):
            index, amount = rng.randrange(4), rng.choice([1, 0, 0xFFFF_FFFF, 0x8000_0000])
            ctx.set(dut.i.payload.index, index)
            ctx.set(dut.i.payload.amount, amount)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            model[index] += amount
            history[index].append(model[index])
            await ctx.tick().repeat(rng.randrange(1, 3))
        await ctx.tick().repeat(16)
        done.append(True)

    async def software(ctx):
        while not done:
            index = rng.randrange(4)
            earlier = len(history[index]) - 2
            low = await read(ctx, dut.bus, 2 * index)
            for _ in range(rng.randrange(8)):
                await ctx.tick()
            value = low | await read(ctx, dut.bus, 2 * index + 1) << 32
            # Any value between what had surely been counted before and what has been by now.
            assert value in history[index][max(earlier, 0) :]
            await ctx.tick()
            assert ctx.get(dut.bus.r_data) == 0
        for index in range(4):
            assert await read64(ctx, dut.bus, 2 * index) == model[index]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(count)
    sim.add_testbench(software)
    sim.run()
    assert max(model) > 2**36


def test_errors():
    with pytest.raises(ValueError, match="Amount width must be 1 to 32, not 33"):
        csr.CounterBank(["a"], amount_width=33)

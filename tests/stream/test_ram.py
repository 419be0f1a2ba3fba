import random

import pytest
from amaranth.sim import Simulator

from niter.interface import Beat
from niter.ram import BankedRam
from niter.stream import Ram


def test_reads_what_was_written():
    dut = Ram(shape=Beat, depth=16, init=[{"data": 7}])
    write, read = dut.write_port(), dut.read_port()

    async def bench(ctx):
        ctx.set(read.en, 1)
        await ctx.tick()
        assert ctx.get(read.data).data == 7
        ctx.set(write.en, 1)
        for address in range(16):
            ctx.set(write.addr, address)
            ctx.set(write.data, {"data": 100 + address, "last": 1})
            await ctx.tick()
        ctx.set(write.en, 0)
        for address in range(16):
            ctx.set(read.addr, address)
            await ctx.tick()
            assert (ctx.get(read.data).data, ctx.get(read.data).last) == (100 + address, 1)
        ctx.set(read.addr, 3)
        ctx.set(read.en, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(read.data).data == 115

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_writes_lanes():
    dut = Ram(shape=32, depth=8, init=[])
    write, read = dut.write_port(granularity=8), dut.read_port()

    async def bench(ctx):
        ctx.set(write.en, 0b0101)
        ctx.set(write.data, 0x11223344)
        await ctx.tick()
        ctx.set(write.en, 0)
        ctx.set(read.en, 1)
        await ctx.tick()
        assert ctx.get(read.data) == 0x00220044

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_two_banks_are_one_memory():
    """At random: lanes are written, and what was read last stands while nothing is read."""
    dut = BankedRam(32, 12)
    write, read = dut.write_port(granularity=8), dut.read_port()
    rng, words = random.Random(1), [bytearray(4) for _ in range(12)]

    async def bench(ctx):
        shown = None
        for _ in range(2000):
            at, lanes, data = rng.randrange(12), rng.randrange(16), rng.randbytes(4)
            ctx.set(write.addr, at)
            ctx.set(write.en, lanes)
            ctx.set(write.data, int.from_bytes(data, "little"))
            address = rng.choice([n for n in range(12) if n != at])
            reads = rng.random() < 0.7
            ctx.set(read.addr, address)
            ctx.set(read.en, reads)
            await ctx.tick()
            if reads:
                shown = int.from_bytes(words[address], "little")
            for lane in range(4):
                if lanes >> lane & 1:
                    words[at][lane] = data[lane]
            assert shown is None or ctx.get(read.data) == shown

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("depth", [2, 8, 18])
def test_two_banks_are_three_quarters_of_a_power_of_two(depth):
    with pytest.raises(ValueError, match=f"three quarters of a power of two, not {depth}"):
        BankedRam(8, depth)

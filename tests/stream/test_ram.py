from amaranth.sim import Simulator

from niter.interface import Beat
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

"""The writer of used entries, by itself."""

import pytest

from niter.virtio.queue.geometry import Geometry
from niter.virtio.queue.messages import AccessKind, ControlKind
from niter.virtio.queue.used import UsedWriter
from tests.support.stream import Bench

ROW = 0x13
ENTRIES = 5


@pytest.mark.parametrize("late", range(1, 24))
def test_a_run_that_was_begun_ends_though_its_function_fails(late):
    dut = UsedWriter(Geometry(2, (0,)))
    bench = Bench(dut, late)
    run, accesses = [], []

    async def function(ctx):
        control = dut.supervision.control
        start = {"kind": ControlKind.START, "row": ROW, "size_log2": 4}
        ctx.set(control.payload, start)
        ctx.set(control.valid, 1)
        await ctx.tick().until(control.ready)
        ctx.set(control.valid, 0)
        entry = {"queue": {"index": ROW & 15, "function": ROW >> 4}}
        for head in range(ENTRIES):
            ctx.set(dut.i.payload, {**entry, "head": head, "length": 8 * head})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(100)

    async def fault(ctx):
        await ctx.tick().until(dut.i.valid & dut.i.ready)
        await ctx.tick().repeat(late)
        ctx.set(dut.supervision.stopped, 1 << (ROW >> 4))

    async def memory(ctx):
        ctx.set(dut.run.ready, 1)
        ctx.set(dut.access.ready, 1)
        while True:
            sampled = await ctx.tick().sample(
                dut.run.valid, dut.run.payload, dut.access.valid, dut.access.payload
            )
            _, _, beat, data, access, what = sampled
            if beat:
                run.append(bool(data.last))
            if access:
                accesses.append((what.kind, what.length))

    bench.add(function)
    bench.add(fault)
    bench.sim.add_testbench(memory, background=True)
    bench.run()
    assert not run or run[-1], "a run has no end"
    written = sum(length for kind, length in accesses if kind == AccessKind.WRITE_RUN)
    assert written == 8 * len(run)

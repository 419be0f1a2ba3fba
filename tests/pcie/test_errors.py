"""The error log: nothing is lost, and what is all functions' is reported once."""

import random

import pytest
from amaranth.sim import Simulator

from niter.pcie.tl.errors import ErrorLog
from niter.pcie.tl.layouts import TlpErrors
from tests.support.stream import SEEDS

KINDS = list(TlpErrors.as_shape().members)
COUNT, SOURCES = 3, 2


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_reaches_its_function(seed):
    rng = random.Random(seed)
    dut = ErrorLog(COUNT, SOURCES)
    #: Of each function and kind: the cycle of the last report, and that of the last log.
    found, logged = {}, {}
    cycle = 0

    async def process(ctx):
        nonlocal cycle
        for cycle in range(1400):
            for source in dut.i:
                report = {"errors": {}, "function": 0, "all": 0}
                if cycle < 1200 and rng.random() < 0.1:
                    kind = rng.choice(KINDS)
                    report = {
                        "errors": {kind: 1},
                        "function": rng.randrange(COUNT),
                        "all": rng.random() < 0.2,
                    }
                    for function in range(COUNT):
                        if report["all"] or report["function"] == function:
                            found[function, kind] = cycle
                ctx.set(source, report)
            ctx.set(dut.o.ready, rng.random() < 0.2)
            _, _, valid, ready, payload = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            if valid and ready:
                for kind in KINDS:
                    if payload.errors[kind]:
                        key = payload.function, kind
                        assert key in found, "out of nothing"
                        logged[key] = cycle

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(process)
    sim.run()
    assert all(logged[key] > cycle for key, cycle in found.items())
    assert len(found) == COUNT * len(KINDS)


@pytest.mark.parametrize("enabled", range(1 << COUNT))
def test_what_is_all_functions_is_reported_once(enabled):
    """By the first function that may; ``enabled`` says which may."""
    dut = ErrorLog(COUNT, SOURCES)

    async def process(ctx):
        for _ in range(2):
            ctx.set(dut.i[1], {"errors": {"malformed": 1}, "all": 1})
            await ctx.tick()
            ctx.set(dut.i[1], {"errors": {}, "all": 0})
            reports = []
            for _ in range(40):
                await ctx.tick().repeat(3)
                if not ctx.get(dut.o.valid):
                    continue
                function = ctx.get(dut.o.payload.function)
                told = ctx.get(dut.o.payload.report) and enabled >> function & 1
                ctx.set(dut.o.ready, 1)
                ctx.set(dut.told, told)
                await ctx.tick()
                ctx.set(dut.o.ready, 0)
                ctx.set(dut.told, 0)
                reports.append((function, bool(told)))
            assert [function for function, _ in reports] == [0, 1, 2]
            assert sum(told for _, told in reports) == (enabled != 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(process)
    sim.run()

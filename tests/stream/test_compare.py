"""Comparisons that take few LUTs compare."""

import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator

from niter.compare import below, less, less_of_few


@pytest.mark.parametrize("widths", [(4, 4), (3, 5), (5, 2)])
def test_all_numbers(widths):
    m = Module()
    one, other = (Signal(width) for width in widths)
    results = {name: Signal(name=name) for name in ("less", "less_of_few", "below")}
    limit = 5
    m.d.comb += [
        results["less"].eq(less(one, other)),
        results["less_of_few"].eq(less_of_few(one, other)),
        results["below"].eq(below(one, limit)),
    ]
    simulator = Simulator(m)

    async def run(ctx):
        for a in range(1 << widths[0]):
            for b in range(1 << widths[1]):
                ctx.set(one, a)
                ctx.set(other, b)
                await ctx.delay(1e-9)
                assert [ctx.get(each) for each in results.values()] == [a < b, a < b, a < limit]

    simulator.add_testbench(run)
    simulator.run()

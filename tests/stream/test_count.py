"""A counter goes up and down by what happens in a cycle."""

from itertools import product

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from niter.count import stepped


@pytest.mark.parametrize("ups, downs", [(1, 1), (1, 2), (2, 1), (0, 1)])
def test_stepped(ups, downs):
    counter, events = Signal(4), Signal(ups + downs)
    result = Signal(4)
    m = Module()
    m.d.comb += result.eq(stepped(counter, list(events[:ups]), list(events[ups:])))

    async def bench(ctx):
        for value, happens in product(range(16), range(1 << len(events))):
            ctx.set(counter, value)
            ctx.set(events, happens)
            bits = [happens >> bit & 1 for bit in range(len(events))]
            expected = value + sum(bits[:ups]) - sum(bits[ups:])
            assert ctx.get(result) == expected % 16, (value, bits)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()

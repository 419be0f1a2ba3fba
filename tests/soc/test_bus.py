"""Two masters of the control bus: the one that cannot wait, and the core behind its bridge."""

import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped
from amaranth.sim import Simulator

from niter import csr
from niter.soc.bridge import CsrBridge
from niter.soc.config import CSR_WIDTH
from niter.soc.share import BusShare
from niter.soc.wishbone import Wishbone
from tests.support.csr import read, write

WIDTH = 6


class Words(csr.Register, access="rw"):
    """Keeps what is written."""

    value: csr.Field(csr.action.RW, 32)


class Bus(wiring.Component):
    """Registers behind both masters."""

    core: In(Wishbone)
    outside: In(csr.Signature(addr_width=WIDTH, latency=csr.SPAN_LATENCY))

    def elaborate(self, platform):
        m = Module()
        builder = csr.Builder(addr_width=WIDTH)
        for number in range(1 << WIDTH):
            builder.add(f"word_{number}", Words())
        m.submodules.registers = registers = csr.Bridge(builder.as_memory_map())
        m.submodules.edge = edge = csr.decoder_of(
            {"registers": registers.bus}, latency=csr.SPAN_LATENCY
        )
        m.submodules.share = share = BusShare(WIDTH)
        m.submodules.bridge = bridge = CsrBridge(CSR_WIDTH)
        connect(m, flipped(self.core), bridge.bus)
        connect(m, flipped(self.outside), share.first)
        connect(m, bridge.csr, share.second)
        connect(m, share.csr, edge.bus)
        m.d.comb += bridge.hold.eq(share.hold)
        return m


async def by_core(ctx, dut, address, value=None):
    """An access as the core makes it; what was read, and how many cycles it took."""
    bus = dut.core
    for name, level in (("cyc", 1), ("stb", 1), ("sel", 15), ("adr", address)):
        ctx.set(getattr(bus, name), level)
    ctx.set(bus.we, value is not None)
    ctx.set(bus.dat_w, value or 0)
    cycles = 1
    while not ctx.get(bus.ack):
        await ctx.tick()
        cycles += 1
        assert cycles < 100, "the core waits for ever"
    read = ctx.get(bus.dat_r)
    await ctx.tick()
    ctx.set(bus.cyc, 0)
    ctx.set(bus.stb, 0)
    return read, cycles


async def from_outside(ctx, dut, address, value=None):
    if value is None:
        return await read(ctx, dut.outside, address)
    return await write(ctx, dut.outside, address, value)


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_both_masters_get_what_they_ask_for(gap):
    """Random accesses of both, each in its own half and as often as it can."""
    dut = Bus()
    half = 1 << (WIDTH - 1)
    slow = []

    def exercise(first, access, seed):
        async def bench(ctx):
            draw = random.Random(seed)
            kept = dict.fromkeys(range(first, first + half), 0)
            for _ in range(400):
                address = draw.randrange(first, first + half)
                if draw.random() < 0.5:
                    kept[address] = draw.getrandbits(32)
                    await access(ctx, address, kept[address])
                else:
                    assert await access(ctx, address) == kept[address]

        return bench

    async def core(ctx, address, value=None):
        read, cycles = await by_core(ctx, dut, address, value)
        slow.append(cycles)
        return read

    async def outside(ctx, address, value=None):
        for _ in range(gap):
            await ctx.tick()
        return await from_outside(ctx, dut, address, value)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(exercise(0, core, seed=gap))
    simulator.add_testbench(exercise(half, outside, seed=100 + gap))
    simulator.run()
    # It was held up, and no longer than by one access of the other's.
    assert set(slow) == {6, 7}, set(slow)

"""The flash controller behind its guard, against a model of the part, pin by pin."""

import random

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from niter import csr
from niter.security.flash_guard import FlashGuard, SpiBus
from niter.soc.flash import FlashController, FlashOperation
from sim.models.flash import SpiFlash
from tests.support.csr import read, write

SIZE = 1 << 20
ADDRESS, COMMAND, DATA, STATUS = range(4)
BUSY, READY = 1, 2


class Pair(wiring.Component):
    """Controller and guard."""

    def __init__(self):
        self.controller, self.guard = FlashController(), FlashGuard(SIZE)
        super().__init__(
            {
                "pins": Out(SpiBus),
                "bus": In(csr.Signature(addr_width=self.controller.bus.addr_width)),
                "regions": In(csr.Signature(addr_width=2)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller, m.submodules.guard = self.controller, self.guard
        connect(m, self.controller.pins, self.guard.controller)
        connect(m, self.guard.flash, flipped(self.pins))
        connect(m, flipped(self.bus), self.controller.bus)
        connect(m, flipped(self.regions), self.guard.bus)
        return m


def simulate(bench, part):
    """Run a bench; the part's answer comes one whole cycle after the pin's edge."""
    dut = Pair()

    async def pins(ctx):
        while True:
            _, _, cs_n, sck, copi = await ctx.tick().sample(
                dut.pins.cs_n, dut.pins.sck, dut.pins.copi
            )
            ctx.set(dut.pins.cipo, part.levels(cs_n, sck, copi))

    async def top(ctx):
        while await read(ctx, dut.bus, STATUS) & BUSY:
            pass
        await bench(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(pins, background=True)
    simulator.add_testbench(top)
    simulator.run()


async def start(ctx, dut, operation, address=0, words=0):
    await write(ctx, dut.bus, ADDRESS, address)
    await write(ctx, dut.bus, COMMAND, operation.value | words << 2)


async def finish(ctx, dut):
    while await read(ctx, dut.bus, STATUS) & BUSY:
        pass


async def fetch(ctx, dut, address, words):
    await start(ctx, dut, FlashOperation.READ, address, words)
    found = b""
    for _ in range(words):
        while not await read(ctx, dut.bus, STATUS) & READY:
            pass
        found += (await read(ctx, dut.bus, DATA)).to_bytes(4, "little")
    await finish(ctx, dut)
    return found


def test_reads_what_the_part_holds():
    part = SpiFlash(SIZE)
    draw = random.Random(1)
    part.memory[:] = draw.randbytes(SIZE)

    async def bench(ctx, dut):
        for _ in range(6):
            address, words = 4 * draw.randrange(SIZE // 4 - 16), draw.randrange(1, 12)
            found = await fetch(ctx, dut, address, words)
            assert found == part.memory[address : address + 4 * words]

    simulate(bench, part)


def test_programs_and_erases_where_it_may():
    part = SpiFlash(SIZE)

    async def bench(ctx, dut):
        # Blocks 2 to 3 can be written.
        await write(ctx, dut.regions, 0, 2 | 3 << 8 | 1 << 16)
        for address in (0x20000, 0x10000):
            await start(ctx, dut, FlashOperation.PROGRAM, address, 2)
            for word in (0x03020100, 0x07060504):
                while not await read(ctx, dut.bus, STATUS) & READY:
                    pass
                await write(ctx, dut.bus, DATA, word)
            await finish(ctx, dut)
        assert part.memory[0x20000:0x20008] == bytes(range(8))
        assert part.memory[0x10000:0x10008] == b"\xff" * 8
        part.memory[0x10000] = 0
        for address in (0x20000, 0x10000):
            await start(ctx, dut, FlashOperation.ERASE, address)
            await finish(ctx, dut)
        assert part.memory[0x20000:0x20008] == b"\xff" * 8
        assert part.memory[0x10000] == 0
        await start(ctx, dut, FlashOperation.STATUS)
        while not await read(ctx, dut.bus, STATUS) & READY:
            pass
        assert (await read(ctx, dut.bus, DATA)) >> 24 == part.status[0]

    simulate(bench, part)

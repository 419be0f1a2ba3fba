import random

import pytest
from amaranth import Signal
from amaranth.hdl import ResetInserter
from amaranth.sim import Simulator

from niter.security.flash_guard import BLOCK_BYTES, FlashGuard, Opcode
from sim.models.flash import SpiFlash
from tests.support.csr import read, write

SIZE = 8 * BLOCK_BYTES
WRITABLE, SECRET, LOCK, DENIED = range(4)
ENABLE = 1 << 16
ANY = 1 << 8

READ, FAST, PROGRAM, WREN, ERASE = 0x03, 0x0B, 0x02, 0x06, 0x20


class Bench:
    """A guard between a controller in Python and the model of a flash."""

    def __init__(self, *, half):
        self.guard = FlashGuard(SIZE)
        self.half = half
        self.flash = SpiFlash(SIZE)
        rng = random.Random(1)
        self.flash.memory[:] = rng.randbytes(SIZE)
        self.image = bytes(self.flash.memory)
        self.reset = Signal()

    def run(self, testbench):
        sim = Simulator(ResetInserter(self.reset)(self.guard))
        sim.add_clock(1e-6)
        pins = self.guard.flash

        async def device(ctx):
            async for _, _, cs_n, sck, copi in ctx.tick().sample(pins.cs_n, pins.sck, pins.copi):
                ctx.set(pins.cipo, self.flash.levels(cs_n, sck, copi))

        sim.add_process(device)
        sim.add_testbench(testbench)
        sim.run()

    async def transfer(self, ctx, sent, *, bits=None):
        """One transaction; the bytes that came back, as long as what was sent."""
        pins = self.guard.controller
        levels = [byte >> bit & 1 for byte in sent for bit in range(7, -1, -1)][:bits]
        ctx.set(pins.cs_n, 0)
        got = []
        for level in levels:
            ctx.set(pins.copi, level)
            await ctx.tick().repeat(self.half)
            # What has come by the time that the clock rises.
            got.append(ctx.get(pins.cipo))
            ctx.set(pins.sck, 1)
            await ctx.tick().repeat(self.half)
            ctx.set(pins.sck, 0)
        await ctx.tick().repeat(self.half)
        ctx.set(pins.cs_n, 1)
        await ctx.tick().repeat(4)
        whole = len(got) // 8
        return bytes(int("".join(map(str, got[8 * n : 8 * n + 8])), 2) for n in range(whole))

    async def command(self, ctx, opcode, address=None, data=b""):
        header = bytes([opcode]) + (b"" if address is None else address.to_bytes(3, "big"))
        return (await self.transfer(ctx, header + data))[len(header) :]

    async def denied(self, ctx):
        """Whether something was cut off since the last question, and its opcode."""
        value = await read(ctx, self.guard.bus, DENIED)
        await write(ctx, self.guard.bus, DENIED, ANY)
        return value & 0xFF if value & ANY else None


@pytest.mark.parametrize("half", [3, 4])
def test_reads_pass(half):
    bench = Bench(half=half)

    async def testbench(ctx):
        for address in (0, 0x1FFFC, SIZE - 4):
            got = await bench.command(ctx, READ, address, bytes(8))
            wanted = (bench.image * 2)[address : address + 8]
            assert got == wanted
            got = await bench.command(ctx, FAST, address, bytes(9))
            assert got[1:] == wanted
        assert await bench.command(ctx, 0x9F, data=bytes(3)) == b"\xef\x40\x18"
        assert await bench.command(ctx, 0x05, data=bytes(2)) == b"\0\0"
        await bench.command(ctx, WREN)
        assert await bench.command(ctx, 0x05, data=bytes(1)) == b"\2"
        await bench.command(ctx, 0x04)
        assert await bench.command(ctx, 0x05, data=bytes(1)) == b"\0"
        assert await bench.denied(ctx) is None

    bench.run(testbench)


async def try_all(bench, ctx, addresses):
    for address in addresses:
        for opcode, data in ((PROGRAM, bytes(3)), (ERASE, b""), (0x52, b""), (0xD8, b"")):
            await bench.command(ctx, WREN)
            await bench.command(ctx, opcode, address, data)


def test_changes_stay_in_their_region():
    bench = Bench(half=3)

    async def testbench(ctx):
        # Nothing is writable at first.
        await try_all(bench, ctx, [0, 3 * BLOCK_BYTES])
        assert bench.flash.memory == bench.image
        assert await bench.denied(ctx) == 0xD8
        await write(ctx, bench.guard.bus, WRITABLE, 3 | 4 << 8 | ENABLE)
        await write(ctx, bench.guard.bus, LOCK, 1)
        # Its edges, and addresses beyond the end that a flash takes for others.
        outside = [3 * BLOCK_BYTES - 1, 5 * BLOCK_BYTES, SIZE, SIZE + 5 * BLOCK_BYTES, 0xFFFFFF]
        await try_all(bench, ctx, outside)
        assert bench.flash.memory == bench.image
        for block in (3, 4):
            address = block * BLOCK_BYTES + 0x2000
            await bench.command(ctx, WREN)
            await bench.command(ctx, ERASE, address)
            assert bench.flash.memory[address : address + 4096] == b"\xff" * 4096
            await bench.command(ctx, WREN)
            await bench.command(ctx, PROGRAM, address + 250, b"niter card")
            page = bench.flash.memory[address : address + 256]
            assert page[250:] + page[:4] == b"niter card"
        start, end = 3 * BLOCK_BYTES, 5 * BLOCK_BYTES
        assert bench.flash.memory[:start] == bench.image[:start]
        assert bench.flash.memory[end:] == bench.image[end:]

    bench.run(testbench)


def test_the_lock_holds_until_the_card_is_reset():
    bench = Bench(half=3)
    bus = bench.guard.bus

    async def testbench(ctx):
        await write(ctx, bus, WRITABLE, 3 | 3 << 8 | ENABLE)
        await write(ctx, bus, SECRET, 2 | 2 << 8 | ENABLE)
        secret = 2 * BLOCK_BYTES
        assert await bench.command(ctx, READ, secret, bytes(4)) == bench.image[secret:][:4]
        await write(ctx, bus, LOCK, 1)
        # Reading it, and reading into it from the block before.
        for opcode in (READ, FAST):
            assert await bench.command(ctx, opcode, secret + 5, bytes(6)) == bytes(6)
            assert await bench.denied(ctx) == opcode
            got = await bench.command(ctx, opcode, secret - 3, bytes(9))
            dummy = opcode == FAST
            assert got[dummy : dummy + 3] == bench.image[secret - 3 : secret]
            assert got[dummy + 3 :] == bytes(6 - dummy)
            assert await bench.denied(ctx) == opcode
        after = secret + BLOCK_BYTES
        assert await bench.command(ctx, READ, after, bytes(4)) == bench.image[after:][:4]
        for value in (0, 0xFFFFFFFF):
            for register in (WRITABLE, SECRET, LOCK):
                await write(ctx, bus, register, value)
        for _ in range(2):
            assert await read(ctx, bus, WRITABLE) == 3 | 3 << 8 | ENABLE
            assert await read(ctx, bus, SECRET) == 2 | 2 << 8 | ENABLE
            assert await read(ctx, bus, LOCK) == 1
            # A reset of the clock domain changes nothing.
            ctx.set(bench.reset, 1)
            await ctx.tick()
            ctx.set(bench.reset, 0)
            await ctx.tick()
        ctx.set(bench.guard.card_reset, 1)
        await ctx.tick()
        ctx.set(bench.guard.card_reset, 0)
        assert await read(ctx, bus, WRITABLE) == 0
        assert await read(ctx, bus, LOCK) == 0
        assert await bench.command(ctx, READ, secret, bytes(4)) == bench.image[secret:][:4]

    bench.run(testbench)


def test_every_opcode():
    """Whatever is not on the list changes nothing, complete or cut off anywhere."""
    bench = Bench(half=1)
    rng = random.Random(1)
    passing = {each.value for each in Opcode}

    async def testbench(ctx):
        await write(ctx, bench.guard.bus, LOCK, 1)
        for opcode in range(256):
            await bench.command(ctx, WREN)
            sent = bytes([opcode]) + rng.randbytes(rng.choice((0, 1, 1, 3, 4)))
            await bench.denied(ctx)
            await bench.transfer(ctx, sent)
            if opcode not in passing:
                assert await bench.denied(ctx) == opcode
            bits = rng.randrange(1, 8 * len(sent))
            await bench.transfer(ctx, sent, bits=bits)
        assert bench.flash.memory == bench.image
        assert bench.flash.modes == []
        assert [bench.flash.status[0] & ~2, *bench.flash.status[1:]] == [0, 0, 0]

    bench.run(testbench)

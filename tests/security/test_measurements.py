import hashlib
import random

from amaranth import Signal
from amaranth.hdl import ResetInserter

from niter.security.measurements import Measurements
from tests.security.rig import HashRig, hash_by_software, simulate
from tests.support.csr import read, write

INPUT, EXTEND, STATUS = 512, 513, 514
BUSY, REFUSED = 1, 2


async def idle(ctx, bus):
    for _ in range(2000):
        if not await read(ctx, bus, STATUS) & BUSY:
            return
    raise AssertionError("never idle")


async def extend(ctx, bus, index, value):
    for at in range(0, len(value), 4):
        await write(ctx, bus, INPUT, int.from_bytes(value[at : at + 4], "little"))
    await write(ctx, bus, EXTEND, index)


async def value_of(ctx, bus, index):
    words = [await read(ctx, bus, 16 * index + word) for word in range(12)]
    return b"".join(word.to_bytes(4, "little") for word in words)


async def snapshot(ctx, bus):
    return [await value_of(ctx, bus, index) for index in range(32)]


def test_extend_read_and_reset():
    dut = Measurements()
    rig = HashRig(dut)
    reset = Signal()
    rng = random.Random(1)

    async def testbench(ctx):
        bus = dut.bus
        assert await read(ctx, bus, STATUS) == BUSY
        await idle(ctx, bus)
        model = [bytes(48)] * 32
        assert await snapshot(ctx, bus) == model
        for index in (0, 31, 2, 2, 0):
            value = rng.randbytes(48)
            await extend(ctx, bus, index, value)
            assert await value_of(ctx, bus, index) == bytes(48), "readable while it changes"
            await idle(ctx, bus)
            model[index] = hashlib.sha384(model[index] + value).digest()
            assert await snapshot(ctx, bus) == model
        # The words between the registers, where the input stands, are not shown.
        assert [await read(ctx, bus, word) for word in range(12, 16)] == [0] * 4

        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await idle(ctx, bus)
        assert await snapshot(ctx, bus) == [bytes(48)] * 32

    simulate(ResetInserter(reset)(rig), testbench)


def test_what_is_refused():
    dut = Measurements()
    rig = HashRig(dut)
    rng = random.Random(2)

    async def testbench(ctx):
        bus = dut.bus
        # While it wipes.
        await extend(ctx, bus, 1, rng.randbytes(48))
        assert await read(ctx, bus, STATUS) == BUSY | REFUSED
        await idle(ctx, bus)
        # Too few and too many words.
        for size in (0, 44, 52, 4 * 20):
            await extend(ctx, bus, 1, rng.randbytes(size))
            assert await read(ctx, bus, STATUS) == REFUSED
        # Writes to the registers themselves, and everything else on the bus.
        for word in (*range(0, 512, 7), *range(515, 1024, 50)):
            await write(ctx, bus, word, rng.getrandbits(32))
        # The engine in software's hands.
        await write(ctx, rig.registers.bus, 0, 0)
        await ctx.tick().repeat(5)
        await extend(ctx, bus, 1, rng.randbytes(48))
        assert await read(ctx, bus, STATUS) == REFUSED
        assert await snapshot(ctx, bus) == [bytes(48)] * 32
        await hash_by_software(ctx, rig.registers, b"")
        # And then it works, and so does software's hashing.
        value = rng.randbytes(48)
        await extend(ctx, bus, 1, value)
        assert await read(ctx, bus, STATUS) == BUSY
        await write(ctx, bus, EXTEND, 2)
        assert await read(ctx, bus, STATUS) == BUSY | REFUSED
        digest = await hash_by_software(ctx, rig.registers, value)
        assert digest == hashlib.sha384(value).digest()
        await idle(ctx, bus)
        wanted = [bytes(48)] * 32
        wanted[1] = hashlib.sha384(bytes(48) + value).digest()
        assert await snapshot(ctx, bus) == wanted

    simulate(rig, testbench)

import hashlib
import random

import pytest

from niter.security.hashing import HashRegisters
from niter.security.measurements import Measurements
from tests.security.rig import HashRig, hash_by_software, padded, simulate, until
from tests.support.csr import read, write

CONTROL, DATA, FINISH, STATUS, DIGEST = range(5)
ROOM, DONE, ERROR = 1, 2, 4


async def give_block(ctx, bus, block):
    """Write a message of one block, to its end."""
    for place in range(0, 128, 4):
        register = FINISH if place == 124 else DATA
        await write(ctx, bus, register, int.from_bytes(block[place : place + 4], "little"))


def test_map():
    found = [info.path[0] for info in HashRegisters().bus.memory_map.resources()]
    assert found == ["control", "data", "finish", "status", "digest"]


def test_messages_of_any_length():
    rig = HashRig()
    rng = random.Random(1)

    async def testbench(ctx):
        for size in (0, 1, 3, 4, 110, 111, 112, 128, 131, 3000):
            message = rng.randbytes(size)
            digest = await hash_by_software(ctx, rig.registers, message, long=size & 1)
            wanted = hashlib.sha512 if size & 1 else hashlib.sha384
            assert digest == wanted(message).digest(), size
            assert await read(ctx, rig.registers.bus, STATUS) == 0
            assert await read(ctx, rig.registers.bus, DIGEST) == 0

    simulate(rig, testbench)


@pytest.mark.parametrize("wait", [0, 1, 5, 13, 40, 100])
@pytest.mark.parametrize("words", [0, 1, 2, 31, 32])
def test_a_message_may_be_abandoned(words, wait):
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        await write(ctx, bus, CONTROL, 1)
        await until(ctx, bus, STATUS, ROOM)
        for n in range(words):
            await write(ctx, bus, FINISH if n == 31 else DATA, 0x01020304)
        for _ in range(wait):
            await ctx.tick()
        message = b"as good as new"
        for long, wanted in ((0, hashlib.sha384), (1, hashlib.sha512)):
            digest = await hash_by_software(ctx, rig.registers, message, long=long)
            assert digest == wanted(message).digest()

    simulate(rig, testbench)


@pytest.mark.parametrize("wait", range(4))
def test_a_digest_may_be_abandoned(wait):
    """Whatever is read of it after that."""
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        await write(ctx, bus, CONTROL, 1)
        await until(ctx, bus, STATUS, ROOM)
        for n in range(32):
            await write(ctx, bus, FINISH if n == 31 else DATA, 0x01020304)
        await until(ctx, bus, STATUS, DONE)
        await write(ctx, bus, CONTROL, 0)
        for _ in range(wait):
            await ctx.tick()
        await read(ctx, bus, DIGEST)
        await until(ctx, bus, STATUS, ROOM)
        await give_block(ctx, bus, padded(b"another"))
        await until(ctx, bus, STATUS, DONE)
        word = await read(ctx, bus, DIGEST)
        assert word.to_bytes(4, "little") == hashlib.sha384(b"another").digest()[:4]

    simulate(rig, testbench)


def test_no_message_begins_behind_a_digest():
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        await write(ctx, bus, CONTROL, 0)
        await until(ctx, bus, STATUS, ROOM)
        await give_block(ctx, bus, padded(b"whole"))
        await until(ctx, bus, STATUS, DONE)
        digest = hashlib.sha384(b"whole").digest()
        for place in range(0, 48, 4):
            # However long the rest of it waits.
            for _ in range(30):
                assert await read(ctx, bus, STATUS) == DONE
            word = await read(ctx, bus, DIGEST)
            assert word.to_bytes(4, "little") == digest[place : place + 4]

    simulate(rig, testbench)


def test_words_that_come_too_early_are_lost():
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        # Nobody has begun.
        await write(ctx, bus, DATA, 1)
        assert await read(ctx, bus, STATUS) == ERROR
        await write(ctx, bus, CONTROL, 0)
        await until(ctx, bus, STATUS, ROOM)
        for _ in range(33):
            await write(ctx, bus, DATA, 1)
        assert await read(ctx, bus, STATUS) == ERROR
        await until(ctx, bus, STATUS, ROOM)
        # The error stands, and does no harm.
        await give_block(ctx, bus, padded(b""))
        assert await until(ctx, bus, STATUS, DONE) == DONE | ERROR
        await write(ctx, bus, CONTROL, 0)
        assert await until(ctx, bus, STATUS, ROOM) == ROOM

    simulate(rig, testbench)


def test_software_without_the_engine_feeds_nobody():
    """Words that it writes while another has the engine are not in that one's digest."""
    other = Measurements()
    rig = HashRig(other)
    bus = rig.registers.bus

    async def testbench(ctx):
        while await read(ctx, other.bus, 514) & 1:
            pass
        value = bytes(range(48))
        for at in range(0, 48, 4):
            await write(ctx, other.bus, 512, int.from_bytes(value[at : at + 4], "little"))
        await write(ctx, other.bus, 513, 5)
        await write(ctx, bus, CONTROL, 1)
        while await read(ctx, other.bus, 514) & 1:
            await write(ctx, bus, DATA, 0xFFFFFFFF)
        words = [await read(ctx, other.bus, 16 * 5 + n) for n in range(12)]
        digest = b"".join(word.to_bytes(4, "little") for word in words)
        assert digest == hashlib.sha384(bytes(48) + value).digest()

    simulate(rig, testbench)

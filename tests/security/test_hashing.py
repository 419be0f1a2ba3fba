import hashlib
import random

from niter.security.hashing import HashRegisters
from tests.security.rig import HashRig, hash_by_software, simulate, until
from tests.support.csr import read, write

CONTROL, DATA, FINISH, STATUS, DIGEST = range(5)
ROOM, DONE, ERROR = 16, 1 << 5, 1 << 6


def test_map():
    found = [info.path[0] for info in HashRegisters().bus.memory_map.resources()]
    assert found == ["control", "data", "finish", "status", "digest"]


def test_messages_in_parts():
    rig = HashRig()
    rng = random.Random(1)

    async def testbench(ctx):
        for size in (0, 1, 3, 4, 110, 128, 131, 3000):
            message = rng.randbytes(size)
            digest = await hash_by_software(ctx, rig.registers, message, long=size & 1)
            wanted = hashlib.sha512 if size & 1 else hashlib.sha384
            assert digest == wanted(message).digest(), size
            assert await read(ctx, rig.registers.bus, STATUS) == ROOM
            assert await read(ctx, rig.registers.bus, DIGEST) == 0

    simulate(rig, testbench)


def test_a_lost_word_gives_no_digest():
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        words = 0
        while not await read(ctx, bus, STATUS) & ERROR:
            await write(ctx, bus, DATA, 0x01020304)
            words += 1
        assert words > ROOM
        # The end must get in.
        await until(ctx, bus, STATUS, DONE - 1)
        await write(ctx, bus, FINISH, 0)
        value = 0
        while value != ROOM | ERROR:
            value = await read(ctx, bus, STATUS)
            assert not value & DONE
            assert await read(ctx, bus, DIGEST) == 0
        await write(ctx, bus, CONTROL, 0)
        assert await read(ctx, bus, STATUS) == ROOM
        message = b"as good as new"
        digest = await hash_by_software(ctx, rig.registers, message)
        assert digest == hashlib.sha384(message).digest()

    simulate(rig, testbench)


def test_a_word_behind_the_end_is_an_error():
    rig = HashRig()
    bus = rig.registers.bus

    async def testbench(ctx):
        await write(ctx, bus, FINISH, 0)
        await write(ctx, bus, DATA, 1)
        assert await until(ctx, bus, STATUS, ERROR) & DONE == 0
        for _ in range(200):
            assert await read(ctx, bus, STATUS) & DONE == 0
        assert await read(ctx, bus, STATUS) == ROOM | ERROR

    simulate(rig, testbench)

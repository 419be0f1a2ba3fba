import hashlib
import random

import pytest
from amaranth.sim import Simulator

from niter.security.sha512 import Sha512
from tests.security.records import records
from tests.security.rig import padded
from tests.support.stream import SEEDS, STALLS

MARKS = (0, 1, 7, 8, 9, 16, 103, 104, 111, 112, 119, 120, 121, 127, 128, 129, 239, 240, 256, 300)


def digests(messages: list[tuple[bytes, bool]], stalls=(0.0, 0.0), seed=1) -> tuple[list, int]:
    """Hash messages one after the other; their digests, and how many cycles that took."""
    found, cycles = [], 0
    dut = Sha512()
    rng = random.Random(seed)

    async def give(ctx, message):
        for at in range(0, len(message), 8):
            while rng.random() < stalls[0]:
                await ctx.tick()
            ctx.set(dut.i.payload.data, int.from_bytes(message[at : at + 8], "little"))
            ctx.set(dut.i.payload.last, at + 8 == len(message))
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def testbench(ctx):
        for message, long in messages:
            ctx.set(dut.long, long)
            ctx.set(dut.open, 1)
            await give(ctx, padded(message))
            digest, last = b"", False
            while not last:
                while rng.random() < stalls[1]:
                    await ctx.tick()
                ctx.set(dut.o.ready, 1)
                (word,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                ctx.set(dut.o.ready, 0)
                digest += int(word.data).to_bytes(8, "little")
                last = word.last
            found.append(digest)
            ctx.set(dut.open, 0)
            await ctx.tick()

    async def clock(ctx):
        nonlocal cycles
        async for _ in ctx.tick():
            cycles += 1

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.add_process(clock)
    sim.run()
    return found, cycles


def oracle(messages: list[tuple[bytes, bool]]) -> list[bytes]:
    return [(hashlib.sha512 if long else hashlib.sha384)(m).digest() for m, long in messages]


@pytest.mark.parametrize("bits", [384, 512])
@pytest.mark.parametrize("file", ["ShortMsg.rsp", "LongMsg.rsp", "Monte.txt"])
def test_official_vectors(file, bits):
    found = [r for r in records(f"SHA{bits}{file}") if "MD" in r or "MDi" in r]
    messages = []
    for record in found:
        message = bytes.fromhex(record.get("Msg") or record["M"])
        messages.append((message[: int(record.get("Len", 8 * len(message))) // 8], bits == 512))
    wanted = [record.get("MD") or record["MDi"] for record in found]
    assert len(wanted) >= 2
    assert [digest.hex() for digest in digests(messages)[0]] == wanted


@pytest.mark.parametrize("seed, stalls", list(enumerate(STALLS, SEEDS[0])))
def test_any_length_and_stalls(seed, stalls):
    rng = random.Random(seed)
    messages = [(rng.randbytes(size), rng.random() < 0.5) for size in rng.sample(MARKS, 7)]
    assert digests(messages, stalls, seed)[0] == oracle(messages)


def test_cycles_of_a_message():
    for blocks in (1, 3):
        _, cycles = digests([(bytes(128 * blocks - 17), False)])
        assert cycles <= 91 * blocks + 12 + 8

"""The way into AoE's receiver, behind one who looks whether it is ready and only then shows."""

import random

import pytest

from niter.interface import BEAT_BYTES
from niter.storage.aoe.intake import Intake
from tests.support.stream import Bench

DEPTH = 64


def run(dut, *processes):
    bench = Bench(dut, 0)
    for process in processes:
        bench.add(process)
    bench.run()


async def offer(ctx, dut, length, first, ahead=0):
    """As steering does it: a frame that finds no room is dropped. Returns what was taken.

    Beats are numbers from ``first`` up. It looks at most ``ahead`` cycles longer.
    """
    beats = -(-length // BEAT_BYTES)
    ctx.set(dut.i.payload.meta.length, length)
    for waited in range(ahead + 1):
        if ctx.get(dut.i.ready):
            break
        if waited == ahead:
            return []
        await ctx.tick()
    await ctx.tick()
    for n in range(beats):
        ctx.set(dut.i.payload.packet.data, first + n)
        ctx.set(dut.i.payload.packet.last, n == beats - 1)
        ctx.set(dut.i.valid, 1)
        while not ctx.get(dut.i.ready):
            assert beats > DEPTH, f"a frame of {beats} beats was taken and stops at beat {n}"
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
    return list(range(first, first + beats))


async def drain(ctx, dut, count, draw=None):
    """That many beats; returns their numbers and the place of each frame's last one."""
    got, lasts = [], []
    while len(got) < count:
        ctx.set(dut.o.ready, draw is None or draw.random() < 0.6)
        if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
            got.append(ctx.get(dut.o.payload.data))
            if ctx.get(dut.o.payload.last):
                lasts.append(len(got))
        await ctx.tick()
    ctx.set(dut.o.ready, 0)
    return got, lasts


@pytest.mark.parametrize("seed", range(4))
def test_a_frame_that_is_taken_does_not_stop(seed):
    draw = random.Random(seed)
    dut = Intake(DEPTH)
    taken, lasts, read, refused = [], [], [], []
    done = []

    async def fill(ctx):
        for number in range(200):
            length = draw.randrange(60, BEAT_BYTES * DEPTH // 2)
            beats = await offer(ctx, dut, length, number << 16)
            taken.extend(beats)
            if beats:
                lasts.append(len(taken))
            else:
                refused.append(number)
                for _ in range(draw.randrange(40)):
                    await ctx.tick()
        done.append(True)

    async def empty(ctx):
        ends = []
        while not done or len(read) < len(taken):
            if not ctx.get(dut.o.valid):
                await ctx.tick()
                continue
            (beat,), last = await drain(ctx, dut, 1, draw)
            read.append(beat)
            if last:
                ends.append(len(read))
        assert ends == lasts

    run(dut, fill, empty)
    assert read == taken
    assert 20 < len(lasts) < 200, f"{len(refused)} frames found no room"


def test_room_is_what_a_frame_takes():
    """One that is longer than what is free is refused, however long it looks; a shorter one is
    taken at once."""
    dut = Intake(DEPTH)

    async def testbench(ctx):
        await ctx.tick()
        assert len(await offer(ctx, dut, 40 * BEAT_BYTES, 0)) == 40
        for _ in range(5):
            await ctx.tick()
        assert not await offer(ctx, dut, 30 * BEAT_BYTES, 100, ahead=50)
        assert len(await offer(ctx, dut, 10 * BEAT_BYTES, 200)) == 10
        await drain(ctx, dut, 40)
        for _ in range(5):
            await ctx.tick()
        assert len(await offer(ctx, dut, 40 * BEAT_BYTES, 300)) == 40

    run(dut, testbench)


def test_a_frame_longer_than_the_buffer_finds_it_empty():
    draw = random.Random(1)
    dut = Intake(DEPTH)
    beats = 3 * DEPTH

    async def fill(ctx):
        await ctx.tick()
        assert await offer(ctx, dut, 60, 0)
        assert not await offer(ctx, dut, beats * BEAT_BYTES, 0x1000, ahead=50)
        assert len(await offer(ctx, dut, beats * BEAT_BYTES, 0x1000, ahead=100)) == beats

    async def empty(ctx):
        await ctx.tick().repeat(100)
        got, lasts = await drain(ctx, dut, 8 + beats, draw)
        assert got == [*range(8), *range(0x1000, 0x1000 + beats)]
        assert lasts == [8, 8 + beats]

    run(dut, fill, empty)

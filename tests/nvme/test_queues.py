"""Completion and submission queues, each alone, beside a few lines of Python that keep account."""

import random

import pytest
from amaranth.sim import Simulator

from niter.interface import WriteKind
from niter.nvme.front.completion import CompletionQueues
from niter.nvme.front.layouts import BATCH, Geometry, RowOperation, Word
from niter.nvme.front.submission import SubmissionQueues
from tests.support.stream import SEEDS

ADDRESS = 0x12_3FFF_F000
ACTIVE = 1 << 29

#: Sizes of rings: the smallest, odd ones, the largest of an I/O queue and of an admin queue; and
#: where they begin, so that large ones come to their end.
RINGS = [(2, 0), (3, 0), (9, 0), (1024, 1000), (4096, 4090)]


async def take(ctx, port, payload):
    """Offer a payload until it is taken."""
    ctx.set(port.payload, payload)
    ctx.set(port.valid, 1)
    await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


async def store(ctx, dut, words):
    """Write words of row (0, 1)."""
    for word, value in words.items():
        command = {"operation": RowOperation.STORE, "queue": 1, "word": word, "data": value}
        await take(ctx, dut.port.command, command)


def simulate(dut, test, *models):
    """Run ``test`` to its end beside the models."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    ended = []

    async def process(ctx):
        await test(ctx)
        ended.append(True)

    async def watch(ctx):
        for _ in range(20_000):
            await ctx.tick()
            if ended:
                return
        raise AssertionError("stuck")

    sim.add_testbench(process)
    sim.add_testbench(watch)
    for model in models:
        sim.add_testbench(model, background=True)
    sim.run()


@pytest.mark.parametrize(("size", "start"), RINGS)
def test_completion_queue(size, start):
    """Claims, posts and doorbells at random; each entry is where it belongs, with its phase."""
    dut = CompletionQueues(Geometry(1, 1), tick=1000)
    rng = random.Random(SEEDS[0])
    last = size - 1
    used = claimed = taken = posted = 0
    head = tail = start
    writes = []

    async def entry(ctx):
        """The next entry, as host memory sees it."""
        ctx.set(dut.write.command.ready, 1)
        ctx.set(dut.write.data.ready, 1)
        beats, command = [], None
        while command is None or len(beats) < 2:
            _, _, valid, what, data_valid, beat = await ctx.tick().sample(
                dut.write.command.valid,
                dut.write.command.payload,
                dut.write.data.valid,
                dut.write.data.payload,
            )
            if valid:
                assert what.kind == WriteKind.MEMORY and what.length == 16
                command = what.address
            if data_valid:
                beats.append(beat.data)
        writes.append((command, beats[0] | beats[1] << 64))

    async def test(ctx):
        nonlocal used, claimed, head, tail, taken, posted
        await store(
            ctx,
            dut,
            {
                Word.HIGH: ADDRESS >> 32,
                Word.BASE: ADDRESS & 0xFFFF_F000 | last,
                Word.USE: 0xFF << 12,
                Word.POINTERS: ACTIVE | start << 12 | start,
            },
        )
        ctx.set(dut.running, 1)
        while posted < 60:
            step = rng.random()
            if step < 0.4:
                count = rng.randint(1, BATCH)
                ctx.set(dut.claim.payload, {"queue": 1, "count": count})
                ctx.set(dut.claim.valid, 1)
                (granted,) = await ctx.tick().sample(dut.granted).until(dut.claim.ready)
                ctx.set(dut.claim.valid, 0)
                assert granted == min(count, last - used)
                used, claimed = used + granted, claimed + granted
            elif claimed and (step < 0.9 or posted - taken < last // 2):
                cid, status = rng.getrandbits(16), rng.getrandbits(15)
                result, sqhd = rng.getrandbits(32), rng.getrandbits(12)
                post = {"partner": 1, "queue": 5, "head": sqhd, "cid": cid}
                ctx.set(dut.post.payload, post | {"status": status, "result": result})
                ctx.set(dut.post.valid, 1)
                await entry(ctx)
                await ctx.tick().until(dut.post.ready)
                ctx.set(dut.post.valid, 0)
                phase = ((start + posted) // size + 1) & 1
                expected = result | sqhd << 64 | 5 << 80 | cid << 96 | phase << 112 | status << 113
                assert writes.pop() == (ADDRESS + 16 * tail, expected)
                claimed, posted, tail = claimed - 1, posted + 1, (tail + 1) % size
            else:
                value = rng.choice([rng.randrange(size), size, rng.getrandbits(16), tail])
                gap = (value - head) % size
                good = value <= last and gap <= posted - taken
                ctx.set(dut.doorbell.payload, {"queue": 1, "value": value})
                ctx.set(dut.doorbell.valid, 1)
                (invalid,) = await ctx.tick().sample(dut.invalid_value).until(dut.doorbell.ready)
                ctx.set(dut.doorbell.valid, 0)
                assert bool(invalid) != good
                if good:
                    head, used, taken = value, used - gap, taken + gap
                    assert 0 <= used <= last

    simulate(dut, test)


@pytest.mark.parametrize(("size", "start"), RINGS)
def test_submission_queue(size, start):
    """Doorbells at random; each entry is asked for once, in order, in batches that fit."""
    dut = SubmissionQueues(Geometry(1, 1))
    rng = random.Random(SEEDS[0])
    last = size - 1
    head = tail = start
    fetched = 0
    state = {"submitted": 0}
    room = {"granted": 0}

    async def claims(ctx):
        while True:
            ctx.set(dut.claim.ready, 0)
            _, _, valid, count = await ctx.tick().sample(dut.claim.valid, dut.claim.payload.count)
            if not valid:
                continue
            assert 1 <= count <= BATCH
            room["granted"] = rng.choice([0, count, rng.randint(1, count)])
            ctx.set(dut.granted, room["granted"])
            ctx.set(dut.claim.ready, 1)
            await ctx.tick()

    async def reads(ctx):
        nonlocal head, fetched
        ctx.set(dut.read.ready, 1)
        while True:
            _, _, valid, read = await ctx.tick().sample(dut.read.valid, dut.read.payload)
            if not valid:
                continue
            count = room["granted"]
            assert read.length == 64 * count and read.address == ADDRESS + 64 * head
            assert head + count <= size, "a batch beyond the ring's end"
            for _ in range(rng.randrange(40)):
                await ctx.tick()
            fetched += count
            head = (head + count) % size
            assert fetched <= state["submitted"], "an entry that was not submitted"
            ctx.set(dut.arrival.payload, {"queue": 1, "count": count})
            ctx.set(dut.arrival.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(dut.arrival.ready)
            ctx.set(dut.arrival.valid, 0)

    async def test(ctx):
        nonlocal tail
        await store(
            ctx,
            dut,
            {
                Word.HIGH: ADDRESS >> 32,
                Word.BASE: ADDRESS & 0xFFFF_F000 | last,
                Word.USE: 1 << 12,
                Word.POINTERS: ACTIVE | start << 12 | start,
            },
        )
        for port, value in ((dut.running, 1), (dut.live, 1), (dut.room, 1), (dut.left, BATCH)):
            ctx.set(port, value)
        while fetched < 60:
            free = last - (state["submitted"] - fetched)
            more = rng.randint(0, min(free, 40))
            state["submitted"] += more
            tail = (tail + more) % size
            ctx.set(dut.doorbell.payload, {"queue": 1, "value": tail})
            ctx.set(dut.doorbell.valid, 1)
            (invalid,) = await ctx.tick().sample(dut.invalid_value).until(dut.doorbell.ready)
            ctx.set(dut.doorbell.valid, 0)
            assert not invalid
            await ctx.tick().repeat(rng.choice([1, 30, 200]))

    simulate(dut, test, claims, reads)

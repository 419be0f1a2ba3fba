"""Pacing: fair turns, kept order, kept rates, and aborts of what waits."""

import itertools
import random

import pytest
from amaranth import ResetInserter, Signal

from niter.interface import BlockOpcode, BlockStatus
from niter.storage import Pacing, RateRecord, accounts
from tests.support import csr
from tests.support.block import FrontEnd, Request, Transport
from tests.support.stream import SEEDS, Bench


class Counting(Pacing):
    """With the cycles that a transport counts."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.now.eq(self.now + 1)
        return m


async def limit(ctx, dut, volume, *, request=0, sector=0, burst=0):
    """Write a volume's rates."""
    base = volume * RateRecord.STRIDE
    await csr.write(ctx, dut.csr, base + RateRecord.REQUEST, request)
    await csr.write(ctx, dut.csr, base + RateRecord.SECTOR, sector)
    await csr.write(ctx, dut.csr, base + RateRecord.BURST, burst)


def read(tag, volume, sectors=1):
    return Request(tag, volume, BlockOpcode.READ, tag, sectors)


@pytest.mark.parametrize("seed", SEEDS)
def test_loses_nothing_and_keeps_the_order_of_a_volume(seed):
    rng = random.Random(seed)
    dut = Counting()
    bench = Bench(dut, seed)
    front = FrontEnd(bench, dut.i, stall=0.2)
    transport = Transport(bench, dut.o, random.Random(seed), longest=300, stall=0.5)
    tags = rng.sample(range(256), 120)
    requests = [
        Request(
            tag,
            rng.randrange(16),
            rng.choice(list(BlockOpcode)),
            rng.randrange(1 << 56),
            rng.randrange(1, 1 << 16),
            rng.randrange(2),
        )
        for tag in tags
    ]

    async def run(ctx):
        for request in requests:
            await front.request(ctx, request)
        for request in requests:
            assert await front.end(ctx, request.tag) == [BlockStatus.OK]

    bench.add(run)
    bench.run()
    seen = [request for _, request in transport.requests]
    for volume in range(16):
        assert [r for r in seen if r.volume == volume] == [
            r for r in requests if r.volume == volume
        ]


@pytest.mark.parametrize("seed", SEEDS)
def test_control_writes_at_any_time(seed):
    """Control's words share a port with all that is kept; as few tags as fill one memory."""
    rng = random.Random(seed)
    dut = Counting(tags=64)
    bench = Bench(dut, seed)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(seed), longest=40)
    requests = [
        Request(tag, rng.randrange(4), BlockOpcode.READ, rng.randrange(1 << 56), 1 + tag, 0)
        for tag in range(64)
    ]
    # These wait for long.
    doomed = [request.tag for request in requests if request.volume == 0][-4:]

    async def write(ctx):
        await limit(ctx, dut, 0, request=900)
        while True:
            for _ in range(rng.choice((1, 1, 2, 5))):
                await ctx.tick()
            await limit(ctx, dut, rng.randrange(1, 16), burst=rng.randrange(1 << 32))

    async def run(ctx):
        for request in requests:
            await front.request(ctx, request)
        for tag in doomed:
            await front.abort(ctx, tag)
        for tag in range(64):
            assert await front.end(ctx, tag) == [None if tag in doomed else BlockStatus.OK]

    bench.sim.add_testbench(write, background=True)
    bench.add(run)
    bench.run(limit=60_000)
    for volume in range(4):
        seen = [request for _, request in transport.requests if request.volume == volume]
        assert seen == [r for r in requests if r.volume == volume and r.tag not in doomed]
    times = [cycle for cycle, request in transport.requests if request.volume == 0]
    assert all(after - before >= 900 for before, after in itertools.pairwise(times))


def test_rejects_numbers_that_no_tag_is():
    with pytest.raises(ValueError, match="Tags are a power of two from 2 to 256, not 96"):
        Pacing(tags=96)


def test_volumes_take_turns():
    dut = Counting()
    bench = Bench(dut, 1)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(1))
    volumes = {tag: 2 for tag in range(30)} | {tag: 5 for tag in range(30, 36)} | {36: 9}

    async def run(ctx):
        for tag, volume in volumes.items():
            await front.request(ctx, read(tag, volume))
        for tag in volumes:
            await front.end(ctx, tag)

    bench.add(run)
    bench.run()
    order = [request.volume for _, request in transport.requests]
    start = order.index(5)
    assert sorted(order[start : start + 3]) == [2, 5, 9]
    assert order[start + 3 : start + 13] in ([5, 2] * 5, [2, 5] * 5)


def test_what_finds_nothing_under_way_passes_at_once():
    dut = Counting()
    bench = Bench(dut, 1)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(1), longest=2)
    given = []

    async def run(ctx):
        await limit(ctx, dut, 1, request=500)
        for tag in range(6):
            await ctx.tick().repeat(150)
            await front.request(ctx, read(tag, tag & 1))
            given.append(bench.cycles)
            await front.end(ctx, tag)

    bench.add(run)
    bench.run()
    waits = [seen - at for (seen, _), at in zip(transport.requests, given, strict=True)]
    # It is taken late. Volume 1 has to keep to its rate: what may not go at once is kept.
    assert waits[0::2] == [3] * 3 and waits[1] == 3 and min(waits[3::2]) > 100, waits


def test_a_reset_does_not_leave_times_that_lie_ahead():
    dut = Counting()
    reset = Signal()
    bench = Bench(ResetInserter(reset)(dut), 3)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(3), longest=2)

    async def run(ctx):
        await ctx.tick().repeat(5000)
        await front.request(ctx, read(1, 1))
        await front.end(ctx, 1)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await front.request(ctx, read(2, 1))
        await front.end(ctx, 2)

    bench.add(run)
    bench.run()
    before, after = (cycle for cycle, _ in transport.requests)
    assert after - before < 300


@pytest.mark.parametrize("what", ["requests", "sectors"])
def test_keeps_the_rates_and_holds_back_nobody_else(what):
    dut = Counting()
    bench = Bench(dut, 2)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(2), longest=2)
    rates = {"request": 400} if what == "requests" else {"sector": 50}

    async def run(ctx):
        await limit(ctx, dut, 1, burst=1200, **rates)
        for tag in range(20):
            await front.request(ctx, read(tag, 1, sectors=8))
            await front.request(ctx, read(100 + tag, 3, sectors=8))
        for tag in range(20):
            await front.end(ctx, tag)
            await front.end(ctx, 100 + tag)

    bench.add(run)
    bench.run()
    times = {1: [], 3: []}
    for cycle, request in transport.requests:
        times[request.volume].append(cycle)
    # 400 cycles a request: four may go at once, after which the account is full.
    for number, cycle in enumerate(times[1]):
        assert cycle - times[1][0] >= 400 * (number - 4)
        assert cycle - times[1][0] <= 400 * max(0, number - 3) + 600
    assert times[3][-1] - times[3][0] < 3000


def test_a_pause_earns_one_burst_and_no_more():
    dut = Counting()
    bench = Bench(dut, 3)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(3), longest=2)

    async def run(ctx):
        await limit(ctx, dut, 0, request=200, burst=350)
        for base in (0, 20):
            for tag in range(base, base + 6):
                await front.request(ctx, read(tag, 0))
            for tag in range(base, base + 6):
                await front.end(ctx, tag)
            for _ in range(2000):
                await ctx.tick()

    bench.add(run)
    bench.run()
    times = [cycle for cycle, _ in transport.requests]
    for burst in (times[:6], times[6:]):
        assert burst[1] - burst[0] < 100
        assert burst[5] - burst[0] >= 200 * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_aborts_what_waits_wherever_it_stands(seed):
    """After its first request no volume may go on, so every abort finds its request in a list."""
    rng = random.Random(seed)
    dut = Counting()
    bench = Bench(dut, seed)
    front = FrontEnd(bench, dut.i, stall=0.2)
    transport = Transport(bench, dut.o, random.Random(seed))
    firsts, waiting = [253, 254, 255], rng.sample(range(250), 40)
    volumes = {tag: rng.randrange(3) for tag in waiting}
    doomed = rng.sample(waiting, 25)
    # A tag is free once its abort is acknowledged, and comes to stand in another place.
    again = rng.sample(doomed, 10)
    staying = [tag for tag in waiting if tag not in doomed]

    async def run(ctx):
        for volume, tag in enumerate(firsts):
            await limit(ctx, dut, volume, request=1 << 20)
            await front.request(ctx, read(tag, volume))
            assert await front.end(ctx, tag) == [BlockStatus.OK]
        for tag in waiting:
            await front.request(ctx, read(tag, volumes[tag]))
        for tag in doomed:
            await front.abort(ctx, tag)
            assert await front.end(ctx, tag) == [None]
        for tag in again:
            volumes[tag] = (volumes[tag] + 1) % 3
            await front.request(ctx, read(tag, volumes[tag]))
        assert not front.ended and len(transport.requests) == 3
        for volume in range(3):
            await limit(ctx, dut, volume, burst=0xFFFFFFFF)
        for tag in staying + again:
            assert await front.end(ctx, tag) == [BlockStatus.OK]

    bench.add(run)
    bench.run()
    assert transport.aborts == doomed
    seen = [request for _, request in transport.requests[3:]]
    for volume in range(3):
        expected = [tag for tag in staying + again if volumes[tag] == volume]
        assert [request.tag for request in seen if request.volume == volume] == expected


def test_passes_the_abort_of_what_has_gone():
    dut = Counting()
    bench = Bench(dut, 5)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(5), longest=5000)

    async def run(ctx):
        for tag in (7, 8):
            await front.request(ctx, read(tag, 0))
        while len(transport.requests) < 2:
            await ctx.tick()
        # One that is under way, one that never was, and one whose list is not empty.
        await limit(ctx, dut, 0, request=1 << 20)
        for tag in (9, 10, 11):
            await front.request(ctx, read(tag, 0))
        for tag in (7, 99, 8):
            await front.abort(ctx, tag)
            assert await front.end(ctx, tag) == [None]

    bench.add(run)
    bench.run()
    assert transport.aborts == [7, 99, 8]


def test_a_volume_that_was_idle_for_long_is_not_taken_to_be_ahead(monkeypatch):
    """Time wraps; with 11 bits of it, that is soon, and volumes are looked at more often."""
    monkeypatch.setattr(accounts, "CYCLE_BITS", 11)
    monkeypatch.setattr(accounts, "_LOOK_BITS", 4)
    dut = Counting()
    bench = Bench(dut, 6)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(6), longest=2)
    pauses = [1200, 1500, 1800]

    async def run(ctx):
        await limit(ctx, dut, 4, request=300)
        # Another volume is busy all the while.
        await limit(ctx, dut, 1, request=100)
        for tag, pause in enumerate(pauses):
            await front.request(ctx, read(tag, 4))
            await front.end(ctx, tag)
            for number in range(pause // 100):
                await front.request(ctx, read(100 + number, 1))
                await front.end(ctx, 100 + number)

    bench.add(run)
    bench.run(limit=40_000)
    times = [cycle for cycle, request in transport.requests if request.volume == 4]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(gap < pause + 500 for gap, pause in zip(gaps, pauses[:-1], strict=True)), gaps

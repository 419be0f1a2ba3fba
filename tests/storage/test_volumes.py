"""The volume check: nothing leaves a volume's bounds."""

import random

import pytest

from niter.interface import BlockOpcode, BlockStatus
from niter.storage import VolumeRecord, Volumes
from tests.support import csr
from tests.support.block import FrontEnd, Request, Transport
from tests.support.stream import SEEDS, Bench

CHANGES = (BlockOpcode.WRITE, BlockOpcode.WRITE_ZEROES, BlockOpcode.DISCARD)


async def attach(ctx, dut, number, first, length, flags):
    """Write a volume's record as control does: out of use, its place, in use."""
    base = number * VolumeRecord.STRIDE
    words = (first & 0xFFFFFFFF, first >> 32, length & 0xFFFFFFFF, length >> 32)
    await csr.write(ctx, dut.csr, base + VolumeRecord.FLAGS, 0)
    for at, word in enumerate(words):
        await csr.write(ctx, dut.csr, base + at, word)
    await csr.write(ctx, dut.csr, base + VolumeRecord.FLAGS, flags)


def expected(volumes, request):
    """What is to become of a request: a status, and where its sectors are."""
    first, length, flags = volumes.get(request.volume, (0, 0, 0))
    if not flags & VolumeRecord.ATTACHED:
        return BlockStatus.NO_VOLUME, None
    if request.opcode in CHANGES and flags & VolumeRecord.READ_ONLY:
        return BlockStatus.READ_ONLY, None
    if request.opcode != BlockOpcode.FLUSH and request.lba + request.sectors > length:
        return BlockStatus.OUT_OF_RANGE, None
    return BlockStatus.OK, request.lba + first


@pytest.mark.parametrize("seed", SEEDS)
def test_each_request_stays_in_its_volume(seed):
    rng = random.Random(seed)
    dut = Volumes(6)
    bench = Bench(dut, seed)
    front = FrontEnd(bench, dut.i, stall=0.3)
    transport = Transport(bench, dut.o, random.Random(seed), stall=0.3)
    both = VolumeRecord.ATTACHED | VolumeRecord.READ_ONLY
    volumes = {
        0: (0, 1, VolumeRecord.ATTACHED),
        1: (1 << 40, 1 << 33, VolumeRecord.ATTACHED),
        2: (77, 0xFFFF, both),
        3: ((1 << 55) - 9, (1 << 55) + 8, VolumeRecord.ATTACHED),
        4: (5, 500, VolumeRecord.READ_ONLY),
    }
    requests = []
    for tag in range(160):
        volume = rng.randrange(8)
        length = volumes.get(volume, (0, 9, 0))[1]
        sectors = rng.choice([1, 8, 256, 0xFFFF])
        # Near the volume's end, at its start, and as far out as the address goes.
        lba = rng.choice([0, max(0, length - sectors), max(0, length - sectors + 1), (1 << 56) - 1])
        opcode = rng.choice(list(BlockOpcode))
        requests.append(Request(tag, volume, opcode, lba, sectors, rng.randrange(2)))

    async def run(ctx):
        ctx.set(dut.counted.ready, 1)
        for number, record in volumes.items():
            await attach(ctx, dut, number, *record)
        for request in requests:
            await front.request(ctx, request)
        for request in requests:
            status, _ = expected(volumes, request)
            assert await front.end(ctx, request.tag) == [status], request

    bench.add(run)
    bench.run()
    passed = [(r, expected(volumes, r)[1]) for r in requests if expected(volumes, r)[1] is not None]
    assert {status for status, _ in (expected(volumes, r) for r in requests)} == {
        BlockStatus.OK,
        BlockStatus.NO_VOLUME,
        BlockStatus.READ_ONLY,
        BlockStatus.OUT_OF_RANGE,
    }
    for (_, seen), (sent, lba) in zip(transport.requests, passed, strict=True):
        place = seen.lba if sent.opcode != BlockOpcode.FLUSH else lba
        assert seen.fields() | {"lba": place} == sent.fields() | {"lba": lba}


def test_counts_for_the_volume():
    dut = Volumes(2)
    bench = Bench(dut, 1)
    front = FrontEnd(bench, dut.i)
    Transport(bench, dut.o, random.Random(1))
    counted = bench.get(dut.counted, 4, stall=0.5)

    async def run(ctx):
        await attach(ctx, dut, 1, 100, 10, VolumeRecord.ATTACHED)
        # The fifth is of a volume that the card does not have.
        for tag, (volume, lba) in enumerate([(1, 0), (1, 9), (1, 10), (5, 0), (0, 0)]):
            await front.request(ctx, Request(tag, volume, BlockOpcode.READ, lba, 1))
            await front.end(ctx, tag)

    bench.add(run)
    bench.run()
    assert [(event.volume, event.refused) for event in counted] == [(1, 0), (1, 0), (1, 1), (0, 1)]


@pytest.mark.parametrize("wait", range(16))
def test_an_abort_does_not_overtake_its_request(wait):
    dut = Volumes(1)
    bench = Bench(dut, wait)
    front = FrontEnd(bench, dut.i)
    transport = Transport(bench, dut.o, random.Random(wait), longest=1, stall=0.5)

    async def run(ctx):
        ctx.set(dut.counted.ready, 1)
        await attach(ctx, dut, 0, 0, 10, VolumeRecord.ATTACHED)
        await front.request(ctx, Request(3, 0, BlockOpcode.READ, 0, 1))
        for _ in range(wait):
            await ctx.tick()
        await front.abort(ctx, 3)
        # It may complete first, and is acknowledged in any case.
        while None not in [status for _, status in front.ended.get(3, [])]:
            await ctx.tick()
        assert await front.end(ctx, 3) in ([None], [BlockStatus.OK, None])
        assert transport.aborts == [3] and len(transport.requests) == 1

    bench.add(run)
    bench.run()


def test_rejects_numbers_that_no_tag_names():
    with pytest.raises(ValueError, match="There are 1 to 16 volumes, not 17"):
        Volumes(17)

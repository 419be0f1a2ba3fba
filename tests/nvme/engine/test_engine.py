"""The command engine from entry to completion."""

import pytest

from niter.nvme.engine import Engine, StatusCode
from niter.nvme.engine.decode import Opcode
from niter.nvme.engine.pull import Pull
from niter.nvme.engine.tags import TagQueue

from .rig import Entry, Namespace, Rig
from .target import sector


def test_reads_and_writes_a_page():
    rig = Rig(1, {(0, 1): Namespace(3, 1000)}, in_order=True)
    content = rig.rng.randbytes(4096)
    source, sink = rig.prp(4096), rig.prp(4096)
    rig.put(source, content)

    async def run(ctx):
        await rig.attach(ctx)
        await rig.submit(ctx, Entry(Opcode.WRITE, 7, 1, source.prp1, source.prp2, 40, 7))
        assert await rig.end(ctx, (0, 1, 7)) == 0
        await rig.submit(ctx, Entry(Opcode.READ, 8, 1, sink.prp1, sink.prp2, 100, 7))
        assert await rig.end(ctx, (0, 1, 8)) == 0

    rig.bench.add(run)
    rig.bench.run()
    written = b"".join(rig.target.written[3, 40 + at] for at in range(8))
    assert written == content
    host = rig.host()
    read = bytes(host[sink.prp1 + at] for at in range(4096))
    assert read == b"".join(sector(3, 100 + at) for at in range(8))


def test_long_commands_do_not_keep_entries_out():
    """Each of these is 2**20 requests; a target that is done at once makes them a full load."""
    rig = Rig(2, {(0, 1): Namespace(3, 1 << 40)}, in_order=True, longest=1)
    entries = []
    for cid in range(6):
        prp = rig.prp(16)
        rig.put(prp, bytes(4) + b"\xff" * 4 + cid.to_bytes(8, "little"))
        entries.append(Entry(Opcode.DATASET_MANAGEMENT, cid, 1, prp.prp1, slba=1 << 34))

    async def run(ctx):
        await rig.attach(ctx)
        for entry in entries:
            await rig.submit(ctx, entry)
        for cid in range(10, 20):
            await rig.submit(ctx, Entry(Opcode.FLUSH, cid, 1))
        for cid in range(10, 20):
            assert await rig.end(ctx, (0, 1, cid)) == 0
        assert len(rig.completions) == 10
        # Nor can they escape a cancel.
        assert await rig.cancel(ctx, 0, 1, every=1)
        requests = len(rig.target.requests)
        for _ in range(200):
            await ctx.tick()
        assert len(rig.target.requests) == requests
        await rig.submit(ctx, Entry(Opcode.FLUSH, 30, 1))
        assert await rig.end(ctx, (0, 1, 30)) == 0

    rig.bench.add(run)
    rig.bench.run(limit=6000)


def test_a_comparison_does_not_believe_what_comes_ahead_of_an_error():
    """A read that fails may bring anything before it ends."""
    rig = Rig(3, {(0, 1): Namespace(3, 1000)}, in_order=True)
    entries = []
    for cid in range(6):
        prp = rig.prp(1024)
        rig.put(prp, sector(3, 2 * cid) + sector(3, 2 * cid + 1))
        rig.refused.add(prp.prp1 + 200 * cid)
        entries.append(Entry(Opcode.COMPARE, cid, 1, prp.prp1, slba=2 * cid, dword12=1))

    async def run(ctx):
        await rig.attach(ctx)
        for entry in entries:
            await rig.submit(ctx, entry)
        for entry in entries:
            assert await rig.end(ctx, (0, 1, entry.cid)) == StatusCode.DATA_TRANSFER_ERROR

    rig.bench.add(run)
    rig.bench.run()


def test_rejects_what_it_has_no_room_for():
    for tags in (1, 3, 128):
        with pytest.raises(ValueError, match="Tags must be a power of two, 2 to 64"):
            TagQueue(tags)
    with pytest.raises(ValueError, match="There are 1 to 8 functions, not 9"):
        Engine(functions=9)
    with pytest.raises(ValueError, match="A function has 1 to 16 namespaces, not 17"):
        Engine(namespaces=17)
    with pytest.raises(ValueError, match="No buffer of 16 beats holds pieces of 256 bytes"):
        Pull(depth=16, chunk=256)

"""Cancels at any time: bounded, and silence from then on."""

import random

import pytest

from niter.nvme.engine.decode import Opcode
from tests.support.stream import SEEDS

from .prp import PAGE
from .rig import Entry, Namespace, Rig
from .target import sector

KEYS = [(0, 1), (0, 2), (1, 1), (3, 5)]


def make(rig, cid):
    """A command of some kind, and its pages."""
    rng = rig.rng
    function, queue = rng.choice(KEYS)
    opcode = rng.choice(
        [
            Opcode.READ,
            Opcode.READ,
            Opcode.WRITE,
            Opcode.COMPARE,
            Opcode.WRITE_ZEROES,
            Opcode.DATASET_MANAGEMENT,
        ]
    )
    first, sectors = 1000 * cid, rng.choice([1, 2, 9, 17])
    entry = {"function": function, "queue": queue, "slba": first, "dword12": sectors - 1}
    if opcode == Opcode.WRITE_ZEROES:
        entry["dword12"] = 60_000
        return Entry(opcode, cid, 1, **entry), None
    if opcode == Opcode.DATASET_MANAGEMENT:
        content = b"".join(
            number.to_bytes(size, "little")
            for at in range(3)
            for number, size in ((0, 4), (6000, 4), (first + at, 8))
        )
        entry["slba"] = 2 | 1 << 34
    else:
        content = b"".join(sector(2, first + at) for at in range(sectors))
    prp = rig.prp(len(content), 4 * rng.randrange(PAGE // 4))
    if opcode != Opcode.READ:
        rig.put(prp, content)
    return Entry(opcode, cid, 1, prp.prp1, prp.prp2, **entry), prp


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scope", ["command", "queue", "function"])
def test_cancels_at_random_times(seed, scope):
    rng = random.Random(f"{seed}/{scope}")
    namespaces = {(function, 1): Namespace(2, 1 << 30) for function in (0, 1, 3)}
    rig = Rig(seed, namespaces, tags=8, stall=rng.choice([0.0, 0.2]), longest=600)
    commands = [make(rig, cid) for cid in range(1, 11)]
    owner = {
        address // PAGE: entry
        for entry, prp in commands
        if prp
        for address in [a for a, _ in prp.segments] + [a for a, _ in prp.lists]
    }
    silent: dict[tuple[int, int, int], int] = {}

    def key(entry):
        return entry.function, entry.queue, entry.cid

    def accesses():
        """Host memory commands seen so far, by the command whose page they touch."""
        seen = [read.address for reads in rig.reads for read in reads]
        seen += [write.address for write in rig.writes]
        count: dict[tuple[int, int, int], int] = {}
        for address in seen:
            if address // PAGE in owner:
                of = key(owner[address // PAGE])
                count[of] = count.get(of, 0) + 1
        return count

    async def run(ctx):
        await rig.attach(ctx)
        sent = []
        for entry, _ in commands:
            await rig.submit(ctx, entry)
            sent.append(entry)
            if rng.random() < 0.5:
                continue
            for _ in range(rng.randrange(120)):
                await ctx.tick()
            victim = rng.choice(sent)
            wanted = {
                "command": (victim.function, victim.queue, victim.cid, 0),
                "queue": (victim.function, victim.queue, 0, 1),
                "function": (victim.function, 0, 0, 1),
            }[scope]
            begin = rig.bench.cycles
            found = await rig.cancel(ctx, *wanted)
            assert rig.bench.cycles - begin < 4000
            before = accesses()
            stopped = [
                other
                for other in sent
                if key(other) not in rig.completions
                and key(other) not in silent
                and other.function == victim.function
                and (scope == "function" or other.queue == victim.queue)
                and (scope != "command" or other.cid == victim.cid)
            ]
            assert bool(stopped) == bool(found)
            for other in stopped:
                silent[key(other)] = before.get(key(other), 0)
        for entry in sent:
            if key(entry) not in silent:
                assert await rig.end(ctx, key(entry)) == 0, entry
        for _ in range(500):
            await ctx.tick()

    rig.bench.add(run)
    rig.bench.run(limit=100_000)
    after = accesses()
    for stopped, count in silent.items():
        assert stopped not in rig.completions, "completed after it was cancelled"
        assert after.get(stopped, 0) == count, "touched host memory after it was cancelled"
    assert len(silent) + len(rig.completions) == len(commands)

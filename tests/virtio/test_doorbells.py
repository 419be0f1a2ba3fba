"""``Doorbells`` beside a dictionary of what was rung last."""

import random
from collections import Counter

import pytest
from amaranth.sim import Simulator

from niter.virtio.pci.doorbells import Doorbells

CLEARING = 20
QUEUES = [0x00, 0x01, 0x08, 0x13, 0x42, 0x7F]


async def offer(ctx, port) -> int:
    """Offer what stands on the payload; returns the cycles until it was taken."""
    cycles = 0
    ctx.set(port.valid, 1)
    async for _, _, ready in ctx.tick().sample(port.ready):
        cycles += 1
        if ready:
            break
    ctx.set(port.valid, 0)
    return cycles


def run(*, rounds, rng, pause, cancel, gaps=(1, 1, 1, 2, 9)):
    """Ring at random, with ``gaps`` between, and an engine that pauses up to ``pause`` cycles.

    Returns
    -------
    What happened, in order: ("rung", queue, index), ("heard", queue, index), where an index
    is never used twice and a ring of the transport's own has none, and ("cancelled", queue,
    None). What the engine hears in the cycle of another event comes first.
    """
    dut = Doorbells()
    events, cycle = [], [0]

    def note(what, queue, index=None):
        events.append((cycle[0], what != "heard", what, queue, index))

    async def count(ctx):
        async for _ in ctx.tick():
            cycle[0] += 1

    async def drivers(ctx):
        await ctx.tick().repeat(CLEARING)
        for index in range(rounds):
            queue = rng.choice(QUEUES)
            chance = rng.random()
            if chance < cancel:
                ctx.set(dut.cancel.payload.as_value(), queue)
                await offer(ctx, dut.cancel)
                note("cancelled", queue)
                continue
            if chance < cancel + 0.1:
                port = dut.ring
                ctx.set(port.payload.as_value(), queue)
                note("rung", queue)
            else:
                port = dut.i
                ctx.set(port.payload.queue.as_value(), queue)
                ctx.set(port.payload.index, index)
                ctx.set(port.payload.has_index, 1)
                note("rung", queue, index)
            assert await offer(ctx, port) == 1, "a doorbell was kept waiting"
            await ctx.tick().repeat(rng.choice(gaps))
        await ctx.tick().repeat(2 * len(QUEUES) * (pause + 8))

    async def engine(ctx):
        payload = dut.o.payload
        while True:
            await ctx.tick().repeat(rng.randrange(pause + 1) + 1)
            ctx.set(dut.o.ready, 1)
            async for _, _, valid, queue, has, index in ctx.tick().sample(
                dut.o.valid, payload.queue.as_value(), payload.has_index, payload.index
            ):
                if valid:
                    note("heard", queue, index if has else None)
                    break
            ctx.set(dut.o.ready, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(count, background=True)
    sim.add_testbench(drivers)
    sim.add_testbench(engine, background=True)
    sim.run()
    return [event[2:] for event in sorted(events, key=lambda event: event[:2])]


@pytest.mark.parametrize("pause", [0, 5, 60])
def test_none_is_lost_and_no_index_is_older_than_the_newest(pause):
    check_all_heard(run(rounds=300, rng=random.Random(pause), pause=pause, cancel=0), pause)


@pytest.mark.parametrize("gap", range(1, 20))
def test_the_last_of_two_is_heard(gap):
    """The second comes at any time while the first one's turn goes round."""
    check_all_heard(run(rounds=2, rng=random.Random(gap), pause=0, cancel=0, gaps=(gap,)), 0)


def check_all_heard(events, pause):
    last: dict[int, int | None] = {}
    waiting: dict[int, bool] = {}
    for what, queue, index in events:
        if what == "rung":
            waiting[queue] = True
            last[queue] = index
        else:
            assert index is None or index <= (last[queue] or index)
            waiting[queue] = index is not None and index != last[queue]
    assert not any(waiting.values()), f"never heard: {waiting}"
    heard = sum(what == "heard" for what, *_ in events)
    assert heard <= len(events) - heard
    assert pause < 60 or heard < len(events) / 3, "doorbells of one queue become one"


def test_an_index_arrives_where_nothing_else_rings():
    events = run(rounds=100, rng=random.Random(4), pause=0, cancel=0, gaps=(30,))
    rung = [event[1:] for event in events if event[0] == "rung"]
    assert [event[1:] for event in events if event[0] == "heard"] == rung


@pytest.mark.parametrize("pause", [5, 40])
def test_queues_take_turns(pause):
    """While one waits, another is heard twice at most: what was on offer, and its turn."""
    events = run(rounds=400, rng=random.Random(pause), pause=pause, cancel=0)
    since: dict[int, Counter] = {}
    for what, queue, _ in events:
        if what == "rung":
            since.setdefault(queue, Counter())
        else:
            since.pop(queue, None)
            for heard in since.values():
                heard[queue] += 1
                assert heard[queue] <= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_cancelled_doorbell_is_not_heard(seed):
    events = run(rounds=400, rng=random.Random(seed), pause=30, cancel=0.3)
    due = dict.fromkeys(QUEUES, False)
    for what, queue, _ in events:
        assert what != "heard" or due[queue], "heard after it was cancelled"
        due[queue] = what == "rung" or (what == "heard" and due[queue])

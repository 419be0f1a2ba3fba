"""The front's queues, against models of the host's driver, the engine and the firmware."""

import pytest

from tests.nvme.rig import pause
from tests.nvme.scenario import (
    INVALID_REGISTER,
    INVALID_VALUE,
    READ,
    STARTED,
    build,
    traffic,
    until,
)
from tests.support.stream import SEEDS


def test_a_command_goes_round():
    rig, firmware, (controller, _) = build(1)

    async def test(ctx):
        await controller.start(ctx)
        await controller.admin(ctx, 6)
        sq = await controller.create(ctx, 1, 16, 16)
        cid = controller.put(sq, READ)
        await controller.ring(ctx, sq)
        await until(ctx, rig, lambda: (0, 1) in rig.interrupts)
        assert await controller.poll(ctx, sq.completion) == 1
        assert (1, cid) in controller.completed
        assert rig.entries[-1].entry == sq.region.read(0, 64)
        assert rig.interrupts[0, 1] == 1
        # Enabled, Identify, Create I/O Completion Queue, Create I/O Submission Queue.
        assert firmware.events[0] == [STARTED]
        assert rig.interrupts[0, 0] == 3

    rig.run(test)


def test_a_command_does_not_wait_for_the_doorbell_of_completions_before_it():
    rig, _, (controller, _) = build(1)
    took = []

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 16, 16)
        for behind in (False, True):
            controller.put(sq, READ)
            await controller.ring(ctx, sq)
            await until(ctx, rig, lambda: any(row[1] == 1 for row in rig.answers))
            await pause(ctx, 60)
            controller.put(sq, READ)
            reads, begin = len(rig.reads), rig.now
            if behind:
                assert await controller.poll(ctx, sq.completion)
            await controller.ring(ctx, sq)
            await until(ctx, rig, lambda reads=reads: len(rig.reads) > reads)
            took.append(rig.now - begin)
            await pause(ctx, 200)
            await controller.poll(ctx, sq.completion)

    rig.run(test)
    assert took[1] - took[0] <= 6, took


@pytest.mark.parametrize(("functions", "queues"), [(1, 1), (5, 3), (8, 16)])
def test_the_last_queue_of_the_last_function(functions, queues):
    rig, firmware, controllers = build(2, functions=functions, queues=queues)
    controller = controllers[-1]

    async def test(ctx):
        await controller.start(ctx)
        await controller.create(ctx, queues, 8, 8)
        await traffic(ctx, controller, 10)
        assert rig.interrupts[functions - 1, queues] == 10
        await controller.write(ctx, 0x1000 + 8 * (queues + 1), 1)
        await until(ctx, rig, lambda: INVALID_REGISTER in firmware.events[functions - 1])
        await controller.delete(ctx, queues)
        await controller.stop(ctx)

    rig.run(test)


@pytest.mark.parametrize(("seed", "stall"), list(zip(SEEDS, (0.0, 0.3), strict=False)))
def test_traffic_of_all_functions_and_queues(seed, stall):
    rig, _, controllers = build(seed, functions=3, queues=4, stall=stall, tags=6)
    sizes = [(2, 2), (3, 17), (16, 3), (64, 33)]

    async def work(ctx, controller):
        await controller.start(ctx, 5, 4)
        for number, (sq, cq) in enumerate(sizes[: controller.function + 2], start=1):
            await controller.create(ctx, number, sq, cq)
        await traffic(ctx, controller, 40)
        await controller.admin(ctx, 6)
        await traffic(ctx, controller, 10)

    finished = [0]
    for controller in controllers[1:]:

        async def other(ctx, controller=controller):
            await work(ctx, controller)
            finished[0] += 1

        rig.sim.add_testbench(other)

    async def all_of_them(ctx):
        await work(ctx, controllers[0])
        await until(ctx, rig, lambda: finished[0] == 2, 40_000)
        rig.memory.check()

    rig.run(all_of_them, 80_000)
    assert len(rig.entries) == 3 * 50
    assert max(length for _, length in rig.reads) > 64, "entries are fetched in batches"


def test_queues_share_a_completion_queue():
    rig, _, (controller, _) = build(3, stall=0.2)

    async def test(ctx):
        await controller.start(ctx)
        first = await controller.create(ctx, 1, 8, 6, vector=3)
        await controller.create(ctx, 2, 8, 0, cq=first.completion)
        await controller.create(ctx, 4, 8, 0, cq=first.completion)
        await traffic(ctx, controller, 50)
        assert {vector for _, vector in rig.interrupts} == {0, 3}
        await controller.delete(ctx, 2)
        await traffic(ctx, controller, 30)

    rig.run(test)


def test_a_full_completion_queue_holds_only_its_own():
    rig, _, (controller, _) = build(4)

    async def test(ctx):
        await controller.start(ctx)
        full = await controller.create(ctx, 1, 16, 4)
        await controller.create(ctx, 2, 16, 16)
        for _ in range(15):
            controller.put(full, READ)
        await controller.ring(ctx, full)
        await traffic(ctx, controller, 60, queues=[2])
        mine = [c for c in rig.entries if c.queue == 1]
        assert len(mine) == 3, "as many are fetched as can be answered"
        taken = 0
        while taken < 15:
            taken += await controller.poll(ctx, full.completion, limit=1)
            await pause(ctx, 30)
            assert sum(c.queue == 1 for c in rig.entries) <= 3 + taken
        assert not full.pending

    rig.run(test)


@pytest.mark.parametrize("seed", SEEDS)
def test_doorbells_that_lie_are_ignored_and_told(seed):
    rig, firmware, (controller, other) = build(seed, hold=lambda c: c.function == 0)

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 5, 5)
        await other.start(ctx)
        await other.create(ctx, 1, 8, 8)
        told = firmware.events[0]
        told.clear()

        async def lie(offset, value, event):
            reads = len(rig.reads)
            await controller.write(ctx, offset, value)
            await until(ctx, rig, lambda: bool(told))
            assert told.pop() == event and not told
            assert len(rig.reads) == reads, "entries are fetched for a doorbell that lies"

        for _ in range(3):
            controller.put(sq, READ)
        await controller.ring(ctx, sq)
        await until(ctx, rig, lambda: len(rig.entries) == 3)
        tail, head = 0x1008, 0x100C
        # Past the ring; back; the ring's end is 4, and 3 is where the tail is.
        for value in (5, 6, 0xFFFF, 2, 1, 0x1004):
            # With the head at 3, the ring holds nothing: 2 is four entries further.
            if value in (1, 2):
                continue
            await lie(tail, value, INVALID_VALUE)
        # Nothing was posted, so nothing can be taken.
        for value in (1, 4, 5, 0xFFFF):
            await lie(head, value, INVALID_VALUE)
        # Queues that do not exist, and such that exist on no controller.
        for offset in (0x1010, 0x1014, 0x1020, 0x1028, 0x102C, 0x1FF8, 0x1FFC):
            await lie(offset, 0, INVALID_REGISTER)
        await controller.write(ctx, tail, sq.tail)
        await controller.write(ctx, tail, 1, size=1)
        await traffic(ctx, other, 20)
        assert not told and len(rig.entries) == 23
        # Completions: one may be taken, not two.
        rig.hold = lambda c: len([k for k in rig.under_way if k[0] == 0]) <= 2
        await until(ctx, rig, lambda: (0, 1) in rig.interrupts)
        await lie(head, 2, INVALID_VALUE)
        assert await controller.poll(ctx, sq.completion) == 1
        rig.hold = lambda c: False
        await traffic(ctx, controller, 10)

    rig.run(test)


def test_a_tail_that_overtakes_the_head_is_ignored():
    rig, firmware, (controller,) = build(8, functions=1)

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 8, 2)
        for _ in range(6):
            controller.put(sq, READ)
        await controller.ring(ctx, sq)
        await until(ctx, rig, lambda: len(rig.entries) == 1)
        await pause(ctx, 100)
        # The completion queue has one entry's room: the head is at 1, the tail at 6.
        for value in (1, 2, 5):
            await controller.write(ctx, 0x1008, value)
            await until(ctx, rig, lambda: INVALID_VALUE in firmware.events[0])
            firmware.events[0].clear()
        await controller.write(ctx, 0x1008, 7)
        sq.tail = 6
        controller.put(sq, READ)
        await traffic(ctx, controller, 0)
        assert not firmware.events[0] and len(rig.entries) == 7

    rig.run(test)


def test_interrupts_are_coalesced():
    tick = 400
    rig, _, (controller,) = build(6, functions=1, tick=tick)

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 64, 64)
        count = lambda: rig.interrupts.get((0, 1), 0)  # noqa: E731

        async def submit(n):
            for _ in range(n):
                controller.put(sq, READ)
            await controller.ring(ctx, sq)

        await submit(6)
        await until(ctx, rig, lambda: len(rig.answers) == 6)
        await pause(ctx, 100)
        assert count() == 6
        assert await controller.poll(ctx, sq.completion) == 6
        # Four entries, or 5 units of time.
        await controller.admin(ctx, 9, {10: 8, 11: 5 << 8 | 3})
        await submit(12)
        await until(ctx, rig, lambda: len(rig.answers) == 12)
        await pause(ctx, 100)
        assert count() == 6 + 3
        # Two more: after five units, not before four.
        await submit(2)
        await until(ctx, rig, lambda: len(rig.answers) == 14)
        begin = rig.now
        await until(ctx, rig, lambda: count() == 10, 6 * tick)
        assert 4 * tick <= rig.now - begin <= 5 * tick + 100
        await pause(ctx, 6 * tick)
        assert count() == 10
        # One that is taken before interrupts no more.
        await submit(1)
        await until(ctx, rig, lambda: len(rig.answers) == 15)
        await pause(ctx, 60)
        assert await controller.poll(ctx, sq.completion) == 15
        await pause(ctx, 7 * tick)
        assert count() == 10
        # The admin queue's are not coalesced.
        before = rig.interrupts[0, 0]
        await controller.admin(ctx, 6)
        assert rig.interrupts[0, 0] == before + 1

    rig.run(test)


def test_a_queue_without_interrupts():
    rig, _, (controller,) = build(7, functions=1)

    async def test(ctx):
        await controller.start(ctx)
        await controller.create(ctx, 1, 8, 8, vector=0xFF)
        await traffic(ctx, controller, 20)
        assert set(rig.interrupts) == {(0, 0)}

    rig.run(test)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_is_deleted_with_commands_under_way(seed):
    rig, _, (controller, other) = build(seed, tags=8, stall=0.2)
    rig.hold = lambda c: c.function == 0 and c.queue == 1

    async def test(ctx):
        await controller.start(ctx)
        await controller.create(ctx, 2, 16, 16)
        await other.start(ctx)
        await other.create(ctx, 1, 16, 16)
        for _ in range(3):
            # As many as its share of the tags, and some that wait behind them.
            sq = await controller.create(ctx, 1, 32, 32)
            for _ in range(20):
                controller.put(sq, READ)
            await controller.ring(ctx, sq)
            await until(ctx, rig, lambda: sum(k[0] == 0 for k in rig.under_way) == 4)
            deleted = await controller.delete(ctx, 1)
            assert len(deleted.pending) == 20
            assert not rig.under_way
            rig.cancelled.clear()
            await traffic(ctx, controller, 20)
            await traffic(ctx, other, 20)

    rig.run(test)


def test_a_deleted_queue_gives_back_the_room_that_it_had():
    rig, _, (controller,) = build(9, functions=1, tags=8)
    rig.hold = lambda c: c.queue == 2

    async def test(ctx):
        await controller.start(ctx)
        first = await controller.create(ctx, 1, 8, 5)
        for _ in range(3):
            shared = await controller.create(ctx, 2, 8, 0, cq=first.completion)
            for _ in range(7):
                controller.put(shared, READ)
            await controller.ring(ctx, shared)
            await until(ctx, rig, lambda: len(rig.under_way) == 4)
            await controller.delete(ctx, 2)
            await traffic(ctx, controller, 12)

    rig.run(test)


def test_commands_are_aborted():
    rig, _, (controller, _) = build(10)
    held: set[int] = set()
    rig.hold = lambda c: c.cid in held

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 16, 16)
        cids = [controller.put(sq, READ) for _ in range(5)]
        held.update(cids)
        await controller.ring(ctx, sq)
        await until(ctx, rig, lambda: len(rig.under_way) == 5)
        for cid in cids[1:4]:
            assert await controller.admin(ctx, 8, {10: cid << 16 | 1}) == (0, 0)
            await controller.poll(ctx, sq.completion)
            assert controller.completed[1, cid] == (7, 0), "Command Abort Requested"
        assert await controller.admin(ctx, 8, {10: cids[1] << 16 | 1}) == (0, 1)
        assert await controller.admin(ctx, 8, {10: 999 << 16 | 1}) == (0, 1)
        held.clear()
        await traffic(ctx, controller, 40)

    rig.run(test)


def test_a_stuck_function_holds_nothing_of_others():
    rig, _, (stuck, other) = build(11, tags=9)
    rig.hold = lambda c: c.function == 0

    async def test(ctx):
        await stuck.start(ctx)
        sq = await stuck.create(ctx, 1, 64, 64)
        await other.start(ctx)
        await other.create(ctx, 1, 16, 16)
        for _ in range(60):
            stuck.put(sq, READ)
        await stuck.ring(ctx, sq)
        await until(ctx, rig, lambda: len(rig.under_way) == 4)
        await traffic(ctx, other, 30)
        assert len(rig.under_way) == 4, "more than its share"
        await stuck.admin(ctx, 6)
        await other.admin(ctx, 6)
        await other.stop(ctx)
        await other.start(ctx)
        await other.reset(ctx)
        await other.start(ctx)
        await other.create(ctx, 1, 16, 16)
        await stuck.stop(ctx)
        assert not rig.under_way
        await stuck.start(ctx)
        await stuck.create(ctx, 1, 64, 64)
        rig.hold = lambda c: False
        await traffic(ctx, other, 20)
        await traffic(ctx, stuck, 20)

    rig.run(test)


def test_entries_wait_in_the_card_for_a_tag():
    """With fewer tags than functions, entries that were fetched can still be forgotten."""
    rig, _, (stuck, other) = build(12, tags=1)
    rig.hold = lambda c: c.function == 0

    async def test(ctx):
        for controller in (stuck, other):
            await controller.start(ctx)
            await controller.create(ctx, 1, 16, 16)
        for controller in (stuck, other):
            controller.put(controller.sqs[1], READ)
            await controller.ring(ctx, controller.sqs[1])
            await pause(ctx, 200)
        assert len(rig.entries) == 1
        for way in (other.stop, other.reset):
            await way(ctx)
            await other.start(ctx)
            await other.create(ctx, 1, 16, 16)
            other.put(other.sqs[1], READ)
            await other.ring(ctx, other.sqs[1])
            await pause(ctx, 200)
        assert len(rig.entries) == 1
        await stuck.delete(ctx, 1)
        await traffic(ctx, other, 10)

    rig.run(test)

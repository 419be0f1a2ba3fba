"""The life of the front's controllers: registers, enable, shutdown, resets, errors."""

import pytest

from tests.nvme.host import (
    ACQ,
    AQA,
    ASQ,
    CAP,
    CC,
    CSTS,
    ENABLE,
    ENTRY_SIZES,
    FATAL,
    INTMS,
    READY,
    SHUTDOWN_COMPLETE,
    SHUTDOWN_MASK,
    VS,
)
from tests.nvme.rig import pause
from tests.nvme.scenario import (
    FATAL_EVENT,
    READ,
    SHUTDOWN,
    STARTED,
    STOPPED,
    build,
    traffic,
    until,
)
from tests.support.stream import SEEDS

NORMAL_SHUTDOWN = 1 << 14

#: How a controller is reset: by CC.EN, or with its function.
WAYS = ("controller", "function")


def test_registers_read_as_they_should():
    rig, _, (controller, other) = build(1, entries=512)

    async def test(ctx):
        cap = await controller.read(ctx, CAP, 8)
        assert cap & 0xFFFF == 511, "MQES"
        assert cap >> 16 & 1 == 1, "CQR"
        assert cap >> 17 & 3 == 0, "AMS"
        assert cap >> 24 & 0xFF, "TO"
        assert cap >> 32 & 0xF == 0, "DSTRD"
        assert cap >> 36 & 1 == 0, "NSSRS"
        assert cap >> 37 & 0xFF == 1, "CSS: the NVM command set"
        assert cap >> 48 & 0xFF == 0, "MPSMIN and MPSMAX: 4 KiB"
        assert cap >> 59 & 3 == 1, "CRMS: ready with media"
        assert await controller.read(ctx, VS) == 0x0002_0000
        assert await controller.read(ctx, 0x68) & 0xFFFF == cap >> 24 & 0xFF, "CRTO"
        for offset in (INTMS, 0x10, 0x20, 0x38, 0x3C, 0x40, 0x1000, 0x1004, 0x2000, 0x3FF8):
            assert await controller.read(ctx, offset) == 0
        # Halves, wholes and bytes; reserved bits stay zero.
        await controller.write(ctx, AQA, 0xFFFF_FFFF)
        assert await controller.read(ctx, AQA) == 0x0FFF_0FFF
        await controller.write(ctx, ASQ, 0x1122_3344_5566_7788, 8)
        assert await controller.read(ctx, ASQ, 8) == 0x1122_3344_5566_7000
        assert await controller.read(ctx, ASQ + 4) == 0x1122_3344
        await controller.write(ctx, ACQ + 4, 0xA1A2_A3A4)
        await controller.write(ctx, ACQ + 6, 0x55, size=1)
        assert await controller.read(ctx, ACQ, 8) == 0xA155_A3A4 << 32
        assert await controller.read(ctx, ACQ + 6, size=2) == 0xA155
        for offset in (CAP, VS, CSTS, INTMS):
            before = await controller.read(ctx, offset)
            await controller.write(ctx, offset, 0xFFFF_FFFF)
            assert await controller.read(ctx, offset) == before
        assert await other.read(ctx, AQA) == 0, "each function has its own"
        driver = controller.driver
        assert await driver.access(ctx, 0, VS, 4, bar=4) == 0, "another BAR"

    rig.run(test)


@pytest.mark.parametrize(
    ("configuration", "admin"),
    [
        (ENTRY_SIZES | 1 << 7, 0x1F_001F),
        (ENTRY_SIZES | 1 << 4, 0x1F_001F),
        (ENTRY_SIZES | 1 << 11, 0x1F_001F),
        (4 << 20 | 5 << 16, 0x1F_001F),
        (3 << 20 | 6 << 16, 0x1F_001F),
        (ENTRY_SIZES, 0x1F_0000),
        (ENTRY_SIZES, 0x00_001F),
    ],
    ids=["MPS", "CSS", "AMS", "IOSQES", "IOCQES", "ASQS", "ACQS"],
)
def test_a_wrong_configuration_is_fatal(configuration, admin):
    rig, firmware, (controller,) = build(2, functions=1)

    async def test(ctx):
        await controller.write(ctx, AQA, admin)
        await controller.write(ctx, CC, configuration | ENABLE)
        await controller.wait(ctx, READY | FATAL, FATAL)
        await controller.write(ctx, CC, 0)
        await controller.wait(ctx, READY | FATAL, 0)
        await controller.start(ctx)
        await controller.admin(ctx, 6)
        assert firmware.events[0][-1] & STARTED

    rig.run(test)


def test_entry_sizes_may_come_later():
    rig, _, (controller,) = build(3, functions=1)

    async def test(ctx):
        await controller.start(ctx, sizes=0)
        assert await controller.read(ctx, CC) == ENABLE
        await controller.write(ctx, CC, ENTRY_SIZES | ENABLE)
        await controller.create(ctx, 1, 4, 4)
        await traffic(ctx, controller, 5)

    rig.run(test)


def test_an_admin_queue_may_be_larger_than_the_others():
    rig, _, (controller,) = build(4, functions=1, entries=16)

    async def test(ctx):
        await controller.start(ctx, 4096, 4096)
        controller.sqs[0].tail = 0
        for _ in range(4):
            await controller.admin(ctx, 6)

    rig.run(test)


def test_a_shutdown_stops_fetching_and_is_reported():
    rig, firmware, (controller, other) = build(5, hold=lambda c: c.function == 0)

    async def test(ctx):
        await controller.start(ctx)
        sq = await controller.create(ctx, 1, 8, 8)
        await other.start(ctx)
        await other.create(ctx, 1, 8, 8)
        for _ in range(5):
            controller.put(sq, READ)
        await controller.ring(ctx, sq)
        await until(ctx, rig, lambda: len(rig.under_way) == 5)
        await controller.write(ctx, CC, ENTRY_SIZES | ENABLE | NORMAL_SHUTDOWN)
        await controller.wait(ctx, SHUTDOWN_MASK, SHUTDOWN_COMPLETE)
        assert not rig.under_way
        await until(ctx, rig, lambda: bool(firmware.events[0][-1] & SHUTDOWN))
        entries = len(rig.entries)
        controller.put(controller.sqs[0], 6)
        await controller.ring(ctx, controller.sqs[0])
        await traffic(ctx, other, 10)
        assert not any(c.function == 0 for c in rig.entries[entries:])
        assert not any(m.kind == 0 for m in rig.messages[0]), "an admin command after the shutdown"
        assert await controller.read(ctx, CSTS) == READY | SHUTDOWN_COMPLETE
        await controller.stop(ctx)
        assert await controller.read(ctx, CSTS) == 0
        await controller.start(ctx)
        assert await controller.read(ctx, CSTS) == READY

    rig.run(test)


def test_a_shutdown_without_a_running_controller():
    rig, _, (controller,) = build(6, functions=1)

    async def test(ctx):
        await controller.write(ctx, CC, ENTRY_SIZES | NORMAL_SHUTDOWN)
        await controller.wait(ctx, SHUTDOWN_MASK, SHUTDOWN_COMPLETE)
        await controller.write(ctx, CC, ENTRY_SIZES)
        await controller.start(ctx)
        assert await controller.read(ctx, CSTS) == READY

    rig.run(test)


def test_entries_that_cannot_be_read_are_fatal_for_one_function():
    rig, firmware, (broken, other) = build(7)

    async def test(ctx):
        await broken.start(ctx)
        sq = await broken.create(ctx, 1, 16, 16)
        await other.start(ctx)
        await other.create(ctx, 1, 16, 16)
        rig.unserved.add(0)
        for _ in range(9):
            broken.put(sq, READ)
        await broken.ring(ctx, sq)
        await broken.wait(ctx, READY | FATAL, READY | FATAL)
        await until(ctx, rig, lambda: bool(firmware.events[0][-1] & FATAL_EVENT))
        await traffic(ctx, other, 20)
        assert not any(c.function == 0 for c in rig.entries)
        rig.unserved.clear()
        await broken.stop(ctx)
        assert await broken.read(ctx, CSTS) == 0
        # The same for an admin entry.
        await broken.start(ctx)
        rig.unserved.add(0)
        broken.put(broken.sqs[0], 6)
        await broken.ring(ctx, broken.sqs[0])
        await broken.wait(ctx, READY | FATAL, READY | FATAL)
        rig.unserved.clear()
        await broken.reset(ctx)
        await broken.start(ctx)
        await broken.admin(ctx, 6)

    rig.run(test)


def test_a_sleeping_firmware_holds_no_io_and_loses_no_command():
    rig, firmware, (controller, _) = build(8, quota=2)

    async def test(ctx):
        await controller.start(ctx, 16, 16)
        await controller.create(ctx, 1, 8, 8)
        firmware.asleep = True
        admin = controller.sqs[0]
        for _ in range(9):
            controller.put(admin, 6)
            await controller.ring(ctx, admin)
        await traffic(ctx, controller, 20)
        assert len(rig.messages[0]) == 2 and len(admin.pending) == 9
        firmware.asleep = False
        while admin.pending:
            await controller.poll(ctx, admin.completion)
            await pause(ctx, 20)

    rig.run(test)


def test_doorbells_are_taken_while_host_memory_takes_nothing():
    rig, _, (controller, _) = build(9)

    async def test(ctx):
        await controller.start(ctx)
        first = await controller.create(ctx, 1, 16, 16)
        second = await controller.create(ctx, 2, 16, 16)
        for _ in range(8):
            controller.put(first, READ)
        await controller.ring(ctx, first)
        await until(ctx, rig, lambda: len(rig.answers) == 3)
        rig.frozen = True
        await pause(ctx, 300)
        for _ in range(10):
            controller.put(second, READ)
            await controller.ring(ctx, second)
            await controller.write(ctx, 0x100C, 0)
        rig.frozen = False
        await traffic(ctx, controller, 10)

    rig.run(test)


@pytest.mark.parametrize(("seed", "way"), list(zip(2 * SEEDS, WAYS, strict=False)))
def test_resets_at_any_time(seed, way):
    """The function that is reset starts again from nothing; the other one notices nothing."""
    rig, firmware, (controller, other) = build(seed, stall=0.2, tags=6, latency=60)
    rig.hold = lambda c: c.function == 0 and c.cid % 3 == 0
    finished = []

    async def neighbour(ctx):
        await other.start(ctx)
        for number in (1, 2):
            await other.create(ctx, number, 9, 7)
        rounds = 0
        while not finished or rounds < 3:
            await traffic(ctx, other, 12)
            rounds += 1
        finished.append(rounds)

    async def test(ctx):
        for _ in range(5):
            await controller.start(ctx)
            for number in (1, 3):
                await controller.create(ctx, number, 16, 8)
            for _ in range(rig.rng.randrange(12)):
                sq = controller.sqs[rig.rng.choice([0, 1, 3])]
                for _ in range(min(rig.rng.randrange(6), sq.free)):
                    controller.put(sq, READ if sq.number else 6)
                await controller.ring(ctx, sq)
                await pause(ctx, rig.rng.randrange(1, 50))
                for cq in controller.cqs.values():
                    await controller.poll(ctx, cq)
            await pause(ctx, rig.rng.randrange(1, 80))
            if way == "function":
                await controller.reset(ctx)
                assert await controller.read(ctx, CC) == 0
                assert await controller.read(ctx, AQA) == 0
            else:
                await controller.stop(ctx)
                assert await controller.read(ctx, AQA) == 0xF_000F
            assert await controller.read(ctx, CSTS) == 0
            assert not any(k[0] == 0 for k in rig.under_way)
            rig.answers = {k: v for k, v in rig.answers.items() if k[0]}
        finished.append(True)
        await until(ctx, rig, lambda: len(finished) == 2, 20_000)
        told = firmware.events[0]
        assert sum(bool(e & STARTED) for e in told) == 5
        assert sum(bool(e & STOPPED) for e in told) >= 4
        rig.memory.check()

    rig.sim.add_testbench(neighbour)
    rig.run(test)

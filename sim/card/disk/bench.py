"""A card of virtio disks, whole: drivers behind a root complex, AoE targets on the wire.

The root complex is cocotbext-pcie's, the targets speak scapy's AoE, the driver is written from the
specification. What was written and read is compared with the targets' disks.
"""

import cocotb
from cocotb.triggers import Timer

from sim.card.disks import Testbench, disk_card
from sim.harness import Bench, rng
from sim.models.virtio.blk import SECTOR_BYTES, header
from sim.models.virtio.specification import BlkStatus, BlkType
from sim.virtio.disk import History

BENCH = Bench(dut=disk_card, tier="slow", timeout_s=3600)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def disks_are_written_and_read(dut):
    """Enumeration, bring-up, and requests of both functions on disks of their own."""
    random = rng("disks")
    bench = await Testbench.start(BENCH, dut)
    for number, driver in enumerate(bench.drivers):
        await driver.start(size=64)
        assert driver.config["capacity"] == bench.LENGTH
        assert await driver.get_id() == rng("id", number).randbytes(16).rstrip(b"\0")
        for sectors, cut, queue in ((1, [16], 0), (8, [3, 13, 517, 1], 1), (64, [16, 4096], 0)):
            sector = random.randrange(bench.LENGTH - sectors)
            before = bench.disk(number, sector, sectors)
            how = {"cut": cut, "queue": queue}
            assert await driver.read(sector, sectors, cut_room=cut, **how) == before
            content = random.randbytes(SECTOR_BYTES * sectors)
            await driver.write(sector, content, **how)
            assert bench.disk(number, sector, sectors) == content
            assert await driver.read(sector, sectors, cut_room=cut[1:]) == content
        await driver.flush()
        await driver.write_zeroes(5, 20)
        assert bench.disk(number, 5, 20) == bytes(20 * SECTOR_BYTES)
        beyond = await driver.request(BlkType.IN, bench.LENGTH - 1, room=2 * SECTOR_BYTES)
        assert beyond.status == BlkStatus.IOERR
    bench.finish()


@cocotb.test(timeout_time=80, timeout_unit="ms")
async def traffic_and_resets(dut):
    """Overlapping requests of one disk, while the other function is reset again and again."""
    bench = await Testbench.start(BENCH, dut)
    driver, restless = bench.drivers
    await driver.start(size=128)
    history = History()
    for number in range(40):
        at = SECTOR_BYTES * (bench.FIRST + number)
        bench.targets[0].disk[at : at + SECTOR_BYTES] = bytes(SECTOR_BYTES)

    async def worker(number: int):
        random = rng("worker", number)
        for _ in range(6):
            sector, sectors = random.randrange(30), random.choice((1, 2, 8, 10))
            if random.random() < 0.5:
                content = random.randbytes(sectors * SECTOR_BYTES)
                writes = history.begin(sector, content)
                await driver.write(sector, content, queue=number % 2)
                history.end(writes)
            else:
                begun = history.tick()
                found = await driver.read(sector, sectors, queue=number % 2)
                history.check(sector, found, begun)

    tasks = [cocotb.start_soon(worker(number)) for number in range(24)]
    random = rng("reset")
    for number in range(6):
        await restless.start(size=64)
        for _ in range(12):
            kind = random.choice((BlkType.IN, BlkType.OUT))
            data = bytes(1024 if kind == BlkType.OUT else 0)
            room = 0 if data else 1024
            await restless.submit(header(kind, random.randrange(100)) + data, room + 1)
        await Timer(random.randint(1, 60), "us")
        if number % 2:
            await restless.function_reset()
        else:
            await restless.stop()
    for task in tasks:
        await task
    bench.finish()

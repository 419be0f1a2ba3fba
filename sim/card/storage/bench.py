"""The storage card, whole: an NVMe driver behind a root complex, AoE targets on the wire.

The root complex is cocotbext-pcie's, the targets speak scapy's AoE, the driver is written from the
specification, and admin commands are carried out by the card's own firmware. What was written and
read is compared with the targets' disks.
"""

import cocotb
from cocotb.triggers import Event, Timer

from sim.card.disks import Testbench, storage_card
from sim.harness import Bench, rng
from sim.models.nvme.driver import refused
from sim.models.nvme.prp import Buffer
from sim.models.nvme.specification import PAGE_BYTES, Io, Register, Status

BENCH = Bench(dut=storage_card, tier="slow", timeout_s=3600)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def volumes_are_written_and_read(dut):
    """Enumeration, bring-up, and I/O of both controllers on volumes of their own."""
    random = rng("volumes")
    bench = await Testbench.start(BENCH, dut)
    for number, driver in enumerate(bench.drivers):
        await driver.start(queues=2, entries=16)
        assert driver.identity.cntlid == number
        assert driver.namespaces[1].nsze == bench.LENGTH
        for blocks, offset, queue in ((1, 0, 1), (8, 0x204, 2), (64, 0xE00, 1)):
            lba = random.randrange(bench.LENGTH - blocks)
            before = bench.disk(number, lba, blocks)
            assert await driver.read_blocks(1, lba, blocks, offset=offset, queue=queue) == before
            content = random.randbytes(512 * blocks)
            await driver.write_blocks(1, lba, content, offset=offset, queue=queue)
            assert bench.disk(number, lba, blocks) == content
            assert await driver.read_blocks(1, lba, blocks, queue=queue) == content
        await driver.flush()
        end = driver.read_blocks(1, bench.LENGTH - 1, 2)
        assert await refused(end) == Status.LBA_RANGE
    bench.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def a_hostile_queue_harms_itself_alone(dut):
    """Nonsense gets the specified status, while the neighbour's commands go on."""
    random = rng("hostile")
    bench = await Testbench.start(BENCH, dut)
    hole = 0x7_0000_0000
    bench.memory.refuse(hole, 1 << 24)
    driver, neighbour = bench.drivers
    await driver.start(queues=2, entries=16)
    await neighbour.start()
    done, enough = [], Event()

    async def work():
        while not enough.is_set():
            lba, content = random.randrange(bench.LENGTH - 8), random.randbytes(4096)
            await neighbour.write_blocks(1, lba, content)
            assert bench.disk(1, lba, 8) == content
            done.append(lba)

    working = cocotb.start_soon(work())
    page = Buffer(bench.memory, PAGE_BYTES)
    page.grant(readable=True, writable=True)
    at = page.prp[0]
    page.write(bytes(PAGE_BYTES - 8) + (at + PAGE_BYTES - 8).to_bytes(8, "little"))
    queue = driver.queues[1]
    for opcode, fields, status in (
        (Io.READ, {"prp": (at + 2, 0)}, Status.PRP_OFFSET),
        (Io.WRITE, {"prp": (hole, 0)}, Status.DATA_TRANSFER),
        (Io.READ, {"prp": (at, hole), "dw12": 23}, Status.DATA_TRANSFER),
        (Io.WRITE, {"prp": (at, at + PAGE_BYTES - 8), "dw12": 23}, Status.PRP_OFFSET),
        (0xC7, {}, Status.INVALID_OPCODE),
        (Io.WRITE, {"nsid": 9}, Status.INVALID_FIELD),
        (Io.WRITE, {"nsid": 99}, Status.INVALID_NAMESPACE),
        (Io.WRITE, {"dw11": 1}, Status.LBA_RANGE),
    ):
        command = await queue.submit(
            opcode, name=f"{opcode:#x} {fields}", **{"nsid": 1, "prp": (at, 0), **fields}
        )
        completion = await command.wait()
        assert completion.status == status, (opcode, fields, hex(completion.status))
    await queue.ring_doorbell(16)
    await driver.bus.write(0, Register.DOORBELLS + 8 * 4, 1, 4)
    before = len(done)
    # Commands under way are lost with their queue, and write nothing afterwards.
    for _ in range(4):
        await driver.submit_io(Io.READ, 1, 0, 8, prp=page.prp, queue=2)
    await Timer(8, "us")
    assert await driver.delete_submission_queue(2)
    page.grant()
    await Timer(60, "us")
    assert len(done) > before
    await driver.write_blocks(1, 0, bytes(512))
    assert bench.disk(0, 0, 1) == bytes(512)
    enough.set()
    await working
    bench.finish()

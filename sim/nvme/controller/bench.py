"""The NVMe controllers, whole: drivers on one side, a block transport on the other.

The driver is written from the specification, the admin commands are carried out by the card's own
firmware, and what was written and read is compared with the transport's volumes.
"""

import cocotb
from cocotb.triggers import Timer

from firmware.host.nvme import Namespace
from niter.nvme.config import NvmeConfig
from sim.harness import Bench, rng
from sim.models.nvme.driver import refused
from sim.models.nvme.prp import Buffer
from sim.models.nvme.specification import (
    PAGE_BYTES,
    Admin,
    Cns,
    Csts,
    Feature,
    Io,
    LogPage,
    Register,
    Status,
)
from sim.models.nvme.structures import words
from sim.nvme.host import Controllers, Host

BENCH = Bench(
    dut=lambda: Controllers(NvmeConfig(functions=2, queues=4, entries=1024, namespaces=4)),
    tier="fast",
    fuzz=True,
)

SMALL = Namespace(3, 10_000, bytes(range(16)))
LARGE = Namespace(5, 1000, bytes(range(16, 32)), block_bytes=4096)
OTHER = Namespace(6, 500, bytes(range(32, 48)))
NAMESPACES = {(0, 1): SMALL, (0, 2): LARGE, (1, 1): OTHER}

#: Where a host answers nothing: what a malicious driver points to.
HOLE, HOLE_BYTES = 0x7_0000_0000, 1 << 24


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def blocks_are_written_and_read(dut):
    """Sizes, offsets, lists and both formats; every byte compared with the volume."""
    random = rng("blocks")
    host = await Host.start(BENCH, dut, NAMESPACES, again=0.1)
    driver = host.drivers[0]
    await driver.start(queues=2)
    assert sorted(driver.namespaces) == [1, 2]
    assert driver.namespaces[2].nsze == LARGE.blocks
    cases = [(1, 1, 0, 512), (1, 8, 0x200, 512), (1, 64, 0xE04, 3), (2, 1, 0, 512), (2, 32, 4, 1)]
    for number, (nsid, blocks, offset, places) in enumerate(cases):
        namespace = driver.namespaces[nsid]
        volume = (SMALL, LARGE)[nsid - 1].volume
        lba = random.randrange(namespace.nsze - blocks)
        content = random.randbytes(blocks * namespace.block_bytes)
        first = lba * namespace.block_bytes // 512
        sectors = len(content) // 512
        queue = number % 2 + 1
        how = {"offset": offset, "queue": queue, "list_entries": places}
        await driver.write_blocks(nsid, lba, content, **how)
        assert host.target.read(volume, first, sectors) == content, f"case {number}"
        assert await driver.read_blocks(nsid, lba, blocks, **how) == content, f"case {number}"
        # Comparing is slow, a TLP or two at a time.
        if len(content) <= PAGE_BYTES:
            await driver.compare_blocks(nsid, lba, content, offset=offset, queue=queue)
    await driver.flush()
    await driver.deallocate(1, [(0, 8), (100, 1)])
    host.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def many_commands_at_once(dut):
    """Queues of both controllers are full of reads and writes that overtake each other."""
    random = rng("many")
    host = await Host.start(BENCH, dut, NAMESPACES, stalled=True)
    for driver in host.drivers:
        await driver.start(queues=2, entries=16)
    running = []
    for number in range(48):
        controller = number % 2
        driver, volume = host.drivers[controller], (SMALL, OTHER)[controller].volume
        blocks = random.randint(1, 4)
        content = random.randbytes(512 * blocks)
        # Each has blocks of its own, so that any order is right.
        lba = 8 * (number // 2)

        async def both(driver=driver, volume=volume, lba=lba, content=content, queue=number // 2):
            queue = queue % 2 + 1
            await driver.write_blocks(1, lba, content, queue=queue)
            assert host.target.read(volume, lba, len(content) // 512) == content
            assert await driver.read_blocks(1, lba, len(content) // 512, queue=queue) == content

        while not driver.queues[number // 2 % 2 + 1].free:
            await Timer(1, "us")
        running.append(cocotb.start_soon(both()))
    for task in running:
        await task
    host.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def what_cannot_be(dut):
    """Commands of I/O queues that end with the specified errors, and the queue goes on."""
    host = await Host.start(BENCH, dut, NAMESPACES)
    host.memory.refuse(HOLE, HOLE_BYTES)
    driver = host.drivers[0]
    await driver.start()
    good, loop = Buffer(host.memory, PAGE_BYTES), Buffer(host.memory, PAGE_BYTES)
    good.grant(readable=True, writable=True)
    loop.grant(readable=True)
    page, itself = good.prp[0], loop.prp[0] + PAGE_BYTES - 8
    loop.write(bytes(PAGE_BYTES - 8) + itself.to_bytes(8, "little"))
    end = SMALL.blocks
    cases = [
        ({"opcode": 0x7F, "nsid": 1}, Status.INVALID_OPCODE),
        ({"nsid": 0}, Status.INVALID_NAMESPACE),
        ({"nsid": 5}, Status.INVALID_NAMESPACE),
        ({"nsid": 3}, Status.INVALID_FIELD),
        ({"lba": end}, Status.LBA_RANGE),
        ({"lba": end - 1, "blocks": 2}, Status.LBA_RANGE),
        ({"lba": (1 << 64) - 1}, Status.LBA_RANGE),
        ({"blocks": 257}, Status.INVALID_FIELD),
        ({"flags": 1}, Status.INVALID_FIELD),
        ({"flags": 0x40}, Status.INVALID_FIELD),
        ({"prp": (page + 2, 0)}, Status.PRP_OFFSET),
        ({"prp": (page + 4, page + 8), "blocks": 8}, Status.PRP_OFFSET),
        ({"prp": (HOLE, 0)}, Status.DATA_TRANSFER),
        ({"prp": (page, HOLE), "blocks": 16}, Status.DATA_TRANSFER),
        # A list that cannot be read.
        ({"prp": (page, HOLE), "blocks": 24}, Status.DATA_TRANSFER),
        # A list whose only place is the last of its page, and which leads to itself.
        ({"prp": (page, itself), "blocks": 24}, Status.PRP_OFFSET),
    ]
    for opcode in (Io.WRITE, Io.READ):
        for case, status in cases:
            fields = {"opcode": opcode, "nsid": 1, "lba": 3, "blocks": 1, "prp": (page, 0), **case}
            opcode_, nsid, lba, blocks = (
                fields.pop(name) for name in ("opcode", "nsid", "lba", "blocks")
            )
            command = await driver.queues[1].submit(
                opcode_,
                name=str(case),
                nsid=nsid,
                dw10=lba & 0xFFFFFFFF,
                dw11=lba >> 32,
                dw12=blocks - 1,
                **fields,
            )
            completion = await command.wait()
            if opcode == Io.READ and status == Status.DATA_TRANSFER and blocks < 24:
                # A write to host memory is posted: nobody says that it went nowhere.
                status = Status.SUCCESS
            assert completion.status == status, (opcode.name, case, hex(completion.status))
    loop.free()
    await driver.write_blocks(1, 9, bytes(range(256)) * 2)
    assert host.target.sector(SMALL.volume, 9) == bytes(range(256)) * 2
    assert host.target.sector(SMALL.volume, 3) == bytes(512)
    host.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def admin_commands(dut):
    """The firmware's answers reach the driver: errors, features, events, log pages."""
    host = await Host.start(BENCH, dut, NAMESPACES)
    driver = host.drivers[0]
    await driver.start(queues=2)
    create = {"prp": (0x1000, 0), "dw11": 1}
    for command, status in (
        (driver.command(0x7F), Status.INVALID_OPCODE),
        (driver.command(Admin.CREATE_CQ, dw10=1 | 3 << 16, **create), Status.QUEUE_IDENTIFIER),
        (driver.command(Admin.CREATE_CQ, dw10=3 | 1024 << 16, **create), Status.QUEUE_SIZE),
        (driver.command(Admin.DELETE_CQ, dw10=1), Status.QUEUE_DELETION),
        (driver.identify(0xFF), Status.INVALID_FIELD),
        (driver.feature(0x7F), Status.INVALID_FIELD),
    ):
        assert await refused(command) == status
    assert await driver.set_feature(Feature.COALESCING, 0x0102) == 0
    assert await driver.feature(Feature.COALESCING) == 0x0102
    assert await driver.identify(Cns.CONTROLLER, offset=0x7FC) == driver.identity.raw

    await driver.set_feature(Feature.EVENTS, 1 << 8)
    event = await driver.async_event()
    await host.processor.attach(0, 4, OTHER)
    assert (await event.wait()).result == 0x040002
    assert words(await driver.log_page(LogPage.CHANGED_NAMESPACES, 4096)) == [4]
    await driver.scan()
    assert sorted(driver.namespaces) == [1, 2, 4]
    await host.processor.detach(0, 4)
    command = await driver.submit_io(Io.FLUSH, 4)
    assert (await command.wait()).status == Status.INVALID_FIELD

    event = await driver.async_event()
    await driver.queues[1].ring_doorbell(2000)
    assert (await event.wait()).result == 0x010100, "an invalid doorbell value"
    await driver.command(Admin.KEEP_ALIVE)
    await driver.delete_submission_queue(2)
    await driver.delete_completion_queue(2)
    await driver.create_queues(2, 8, vector=2)
    await driver.read_blocks(1, 0, 1, queue=2)
    host.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def ends_of_all_kinds(dut):
    """Abort, deletion, disabling, reset and shutdown with commands under way."""
    host = await Host.start(BENCH, dut, NAMESPACES)
    driver, neighbour = host.drivers
    await neighbour.start()

    async def busy():
        buffers = [Buffer(host.memory, PAGE_BYTES) for _ in range(6)]
        for buffer in buffers:
            buffer.grant(writable=True)
        host.target.held = {SMALL.volume}
        commands = [await driver.submit_io(Io.READ, 1, 0, 8, prp=buffer.prp) for buffer in buffers]
        await Timer(20, "us")
        return commands, buffers

    async def after(buffers):
        """What was cancelled may not touch the host's memory any more."""
        for buffer in buffers:
            buffer.grant()
        host.target.held = set()
        await neighbour.write_blocks(1, 5, bytes(512))
        await Timer(20, "us")
        host.memory.check()

    await driver.start()
    commands, buffers = await busy()
    assert await driver.abort(commands[2])
    assert (await commands[2].wait()).status == Status.ABORT_REQUESTED
    assert not await driver.abort(commands[2])
    lost = await driver.delete_submission_queue(1)
    assert len(lost) == 5
    await after(buffers)
    await driver.delete_completion_queue(1)
    await driver.create_queues(1, 64, vector=1)

    for end in (driver.disable, driver.function_reset):
        _, buffers = await busy()
        assert len(await end()) >= 6
        await after(buffers)
        await driver.start()
        await driver.write_blocks(1, 77, bytes(range(256)) * 2)
        assert host.target.sector(SMALL.volume, 77) == bytes(range(256)) * 2
    await driver.shutdown()
    assert not await driver.read(Register.CSTS) & Csts.FATAL
    await driver.disable()
    await driver.start()
    await driver.read_blocks(1, 0, 1)
    host.finish()

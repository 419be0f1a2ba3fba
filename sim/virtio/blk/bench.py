"""The virtio block device, whole: drivers on one side, volumes on the other.

The oracle is what the volumes hold and what the drivers have read, kept apart from the device by
``sim.virtio.disk.History``; drivers and transport are models written from the specification and
from the block contract.
"""

import cocotb
from cocotb.triggers import ClockCycles, Timer, with_timeout

from niter.interface import BlockOpcode, BlockStatus
from niter.virtio.blk import MAX_RANGE_SECTORS, MAX_SEGMENTS, BlkWord, VirtioBlk
from sim.harness import Bench, rng
from sim.models.memory import Region
from sim.models.storage import Disk
from sim.models.virtio.blk import SECTOR_BYTES, BlkDriver, header, ranges
from sim.models.virtio.specification import Blk, BlkStatus, BlkType, Feature, Status
from sim.virtio.breaker import FAULTS, HOLE, HOLE_BYTES, Breaker, needs_reset
from sim.virtio.disk import DiskHost, History

FUNCTIONS, QUEUES, TAGS = 2, 2, 64
#: What one function may have of them while the other one has none.
ALONE = TAGS - 4 * FUNCTIONS

BENCH = Bench(
    dut=lambda: VirtioBlk(functions=FUNCTIONS, queues=QUEUES, queue_size=256, tags=TAGS),
    tier="fast",
    clock_ns=16,
    fuzz=True,
)

DISKS = [
    Disk(volume=3, sectors=100_000, identity=b"vol-0123456789abcdef"),
    Disk(volume=9, sectors=5 << 32, identity=b"second", blk_size=4096, physical_block_exp=3),
]


async def soon(what, us: float = 2000):
    """Wait for what must come."""
    return await with_timeout(what, round(us), "us")


async def begin(dut, disks=DISKS, **options) -> DiskHost:
    """A host with its disks attached."""
    return await DiskHost.start(BENCH, dut, disks, **options)


@cocotb.test()
async def every_kind_of_request(dut):
    """Each kind once, on both disks: what arrives at the volumes, and what comes back."""
    host = await begin(dut)
    random = rng("requests")
    for driver, disk in zip(host.drivers, DISKS, strict=True):
        await driver.start(size=64)
        assert driver.config["capacity"] == disk.sectors
        assert driver.config["num_queues"] == QUEUES
        assert driver.config["seg_max"] == MAX_SEGMENTS
        assert driver.config["blk_size"] == disk.blk_size
        assert driver.config["physical_block_exp"] == disk.physical_block_exp
        assert driver.config["max_discard_seg"] == driver.config["max_write_zeroes_seg"] == 1
        assert driver.config["max_discard_sectors"] == MAX_RANGE_SECTORS
        assert driver.config["max_write_zeroes_sectors"] == MAX_RANGE_SECTORS
        for queue in range(QUEUES):
            host.target.requests.clear()
            sector = random.randrange(disk.sectors - 64)
            content = random.randbytes(40 * SECTOR_BYTES)
            await soon(driver.write(sector, content, queue=queue))
            assert host.target.read(disk.volume, sector, 40) == content
            assert await soon(driver.read(sector, 40, queue=queue)) == content
            await soon(driver.flush(queue=queue))
            assert await soon(driver.get_id(queue=queue)) == disk.identity
            await soon(driver.write_zeroes(sector + 1, 5, flags=1, queue=queue))
            await soon(driver.discard(sector + 2, MAX_RANGE_SECTORS, queue=queue))
            got = await soon(driver.read(sector, 7, queue=queue))
            zeroed = content[:512] + bytes(5 * 512) + content[6 * 512 : 7 * 512]
            assert got == zeroed
            assert [(r.opcode, r.lba, r.sectors) for r in host.target.requests if r.sectors] == [
                (BlockOpcode.WRITE, sector, 40),
                (BlockOpcode.READ, sector, 40),
                (BlockOpcode.WRITE_ZEROES, sector + 1, 5),
                (BlockOpcode.DISCARD, sector + 2, MAX_RANGE_SECTORS),
                (BlockOpcode.READ, sector, 7),
            ]
            assert {r.volume for r in host.target.requests} == {disk.volume}
            assert not any(r.fua for r in host.target.requests)
            flushes = [r for r in host.target.requests if r.opcode == BlockOpcode.FLUSH]
            assert len(flushes) == 1
    host.memory.check()


@cocotb.test()
async def cut_anywhere(dut):
    """Header, data and status in every arrangement of descriptors, which may mean nothing."""
    host = await begin(dut)
    random = rng("cut")
    driver = host.drivers[0]
    await driver.start(size=64)
    cuts = [[n] for n in random.sample(range(1, 24), 10)] + [
        [1] * 16,
        [5, 5, 5, 5],
        [16, 1],
        [15, 1, 511, 1],
        [3] * 14,
    ]
    for number, cut in enumerate(cuts):
        content = random.randbytes(SECTOR_BYTES * random.choice((1, 2, 17)))
        how = {"indirect": number % 2 == 0, "queue": number // 2 % 2}
        await soon(driver.write(number, content, cut=cut, **how))
        assert host.target.read(3, number, len(content) // 512) == content, cut
        room = random.choice(
            ([len(content)], [], [1, 2, 3], [len(content) - 1], [7] * 14, [512, 1, 1000])
        )
        assert (
            await soon(driver.read(number, len(content) // 512, cut=cut, cut_room=room, **how))
            == content
        ), (cut, room)
        assert await soon(driver.get_id(cut=cut, cut_room=room, **how)) == DISKS[0].identity
        zeroes = [length for length in cut if length < 32]
        await soon(driver.write_zeroes(number, 1, cut=zeroes, **how))
        assert host.target.sector(3, number) == bytes(SECTOR_BYTES)
    host.memory.check()


@cocotb.test()
async def largest_and_longest(dut):
    """As many segments as the device says, and a request of 100 KiB."""
    host = await begin(dut)
    random = rng("large")
    driver = host.drivers[0]
    await driver.start()
    content = random.randbytes(MAX_SEGMENTS * 4096)
    cut = [16, *[4096] * MAX_SEGMENTS]
    await soon(driver.write(8, content, cut=cut))
    assert await soon(driver.read(8, MAX_SEGMENTS * 8, cut_room=cut[1:])) == content
    content = random.randbytes(200 * SECTOR_BYTES)
    await soon(driver.write(1, content, cut=[16, 70_001, 7]), us=20_000)
    assert host.target.read(3, 1, 200) == content
    assert await soon(driver.read(1, 200, cut_room=[13, 70_000]), us=20_000) == content


def malformed() -> list[tuple[str, bytes, int, int]]:
    """Requests that a driver must not make: what, readable part, room, and the status."""
    sector, ok, bad, none = bytes(512), BlkStatus.OK, BlkStatus.IOERR, BlkStatus.UNSUPP
    one = ranges((4, 1, 0))
    return [
        ("no header", b"", 1, bad),
        ("half a header", header(BlkType.IN)[:15], 513, bad),
        ("no such type", header(2), 1, none),
        ("a type above 8 bits", header(1 << 8), 513, none),
        ("a lifetime", header(BlkType.GET_LIFETIME), 41, none),
        ("secure erase", header(BlkType.SECURE_ERASE) + one, 1, none),
        ("read of nothing", header(BlkType.IN), 1, bad),
        ("write of nothing", header(BlkType.OUT), 1, bad),
        ("read of 511 bytes", header(BlkType.IN), 512, bad),
        ("read of 513 bytes", header(BlkType.IN), 514, bad),
        ("write of 511 bytes", header(BlkType.OUT) + bytes(511), 1, bad),
        ("write of 16 bytes", header(BlkType.OUT) + bytes(16), 1, bad),
        ("read with data", header(BlkType.IN) + sector, 513, bad),
        ("read with a range", header(BlkType.IN) + one, 513, bad),
        ("write with room", header(BlkType.OUT) + sector, 513, bad),
        ("flush with room", header(BlkType.FLUSH), 513, bad),
        ("flush with data", header(BlkType.FLUSH) + sector, 1, ok),
        ("identity of 19 bytes", header(BlkType.GET_ID), 20, bad),
        ("identity of 21 bytes", header(BlkType.GET_ID), 22, bad),
        ("identity with a range", header(BlkType.GET_ID) + one, 21, bad),
        ("discard of nothing", header(BlkType.DISCARD), 1, bad),
        ("discard of half a range", header(BlkType.DISCARD) + one[:8], 1, bad),
        ("discard of two ranges", header(BlkType.DISCARD) + one + one, 1, bad),
        ("discard with room", header(BlkType.DISCARD) + one, 2, bad),
        ("discard of no sector", header(BlkType.DISCARD) + ranges((4, 0, 0)), 1, bad),
        ("discard too large", header(BlkType.DISCARD) + ranges((4, 32769, 0)), 1, bad),
        ("discard larger than 16 bits", header(BlkType.DISCARD) + ranges((4, 65537, 0)), 1, bad),
        ("discard with unmap", header(BlkType.DISCARD) + ranges((4, 1, 1)), 1, none),
        ("discard with a flag", header(BlkType.DISCARD) + ranges((4, 1, 1 << 31)), 1, none),
        ("zeroes with a flag", header(BlkType.WRITE_ZEROES) + ranges((4, 1, 2)), 1, none),
        ("zeroes too large", header(BlkType.WRITE_ZEROES) + ranges((4, 1 << 16, 0)), 1, bad),
        ("a sector above 56 bits", header(BlkType.IN, 1 << 56), 513, bad),
        ("a range above 56 bits", header(BlkType.DISCARD) + ranges((1 << 63, 1, 0)), 1, bad),
    ]


@cocotb.test()
async def what_cannot_be(dut):
    """Requests that break the rules are answered as such, and those around them are served."""
    host = await begin(dut)
    driver = host.drivers[1]
    await driver.start(size=64)
    for number, (what, readable, room, status) in enumerate(malformed()):
        host.target.requests.clear()
        pending = await driver.submit(readable, room, indirect=number % 2 == 0 and None)
        await soon(pending.wait())
        assert pending.status == status, f"{what}: {pending.status}"
        assert pending.written == (room == 1), what
        assert pending.data == bytes([0x5A]) * (room - 1), f"{what}: data was written"
        if status != BlkStatus.OK:
            assert not host.target.requests, what
    # More segments than the device keeps.
    for kind, room in ((BlkType.IN, 17 * 512 + 1), (BlkType.OUT, 1)):
        data = bytes(0 if kind == BlkType.IN else 17 * 512)
        pending = await driver.submit(
            header(kind) + data, room, cut=[16, *[512] * 16], cut_room=[512] * 17
        )
        assert (await soon(pending.wait())).status == BlkStatus.IOERR
    await soon(driver.write(7, bytes(512)))
    assert Status.NEEDS_RESET not in await driver.transport.status()


@cocotb.test()
async def unreadable_memory(dut):
    """Headers and data that the host does not let be read."""
    host = await begin(dut)
    host.memory.refuse(HOLE, HOLE_BYTES)
    driver = host.drivers[0]
    await driver.start(size=64)

    def part(content: bytes) -> Region:
        region = host.memory.allocate(len(content), name="part")
        region.write(0, content)
        return region

    def hole(size: int) -> Region:
        return Region(HOLE, size, "hole")

    first = header(BlkType.OUT, 5)
    cases = [
        [hole(16), part(bytes(512))],
        [part(first[:15]), hole(1), part(bytes(512))],
        [part(first), hole(512)],
        [part(first), part(bytes(100)), hole(412)],
        [part(first), hole(1024), part(bytes(1024))],
        [part(first), *(hole(512) for _ in range(MAX_SEGMENTS))],
    ]
    for number, readable in enumerate(cases):
        pending = await driver.submit_regions(readable, [part(b"\xee")])
        await soon(pending.wait())
        assert pending.status == BlkStatus.IOERR, f"case {number}"
        content = bytes([number]) * 8192
        await soon(driver.write(40, content))
        assert host.target.read(3, 40, 16) == content
    assert host.target.sector(3, 5) == bytes(512)


@cocotb.test()
async def no_place_for_a_status(dut):
    """Such a chain cannot be answered: its device needs a reset, the other one does not."""
    host = await begin(dut)
    broken, neighbour = host.drivers
    for driver in host.drivers:
        await driver.start(size=16)
    before = broken.bus.interrupts(0)
    pending = await broken.submit(header(BlkType.OUT) + bytes(512), 0)
    await soon(pending.wait())
    assert pending.written == 0
    assert await needs_reset(broken)
    assert broken.bus.interrupts(0) == before + 1
    await soon(neighbour.write(1, bytes(range(256)) * 2))
    assert Status.NEEDS_RESET not in await neighbour.transport.status()
    await broken.stop()
    await broken.start(size=16)
    await soon(broken.write(1, bytes(512)))


@cocotb.test()
async def how_requests_end(dut):
    """Each end that the block contract has, as the driver sees it."""
    host = await begin(dut)
    driver = host.drivers[0]
    await driver.start(size=16)
    for status in BlockStatus:
        host.target.fails = lambda request, status=status: status
        expected = {BlockStatus.OK: BlkStatus.OK, BlockStatus.UNSUPPORTED: BlkStatus.UNSUPP}.get(
            status, BlkStatus.IOERR
        )
        for kind, readable, room in (
            (BlkType.OUT, bytes(512), 1),
            (BlkType.FLUSH, b"", 1),
            (BlkType.DISCARD, ranges((1, 1, 0)), 1),
            (BlkType.IN, b"", 513),
        ):
            pending = await driver.submit(header(kind) + readable, room)
            await soon(pending.wait())
            assert pending.status == expected, (status, kind)
            good = status == BlockStatus.OK
            assert pending.written == (room if good or room == 1 else 0), (status, kind)


@cocotb.test()
async def features(dut):
    """What is not negotiated is not done; without FLUSH, writes are stable when they end."""
    disks = [Disk(volume=1, sectors=64, read_only=True), DISKS[1]]
    host = await begin(dut, disks)
    read_only, plain = host.drivers
    await read_only.start(size=16)
    assert Blk.RO in read_only.transport.features
    # What changes a read-only disk is for the volumes to refuse, and is not asked of them.
    host.target.fails = lambda request: (
        BlockStatus.READ_ONLY if request.opcode != BlockOpcode.READ else BlockStatus.OK
    )
    done = await soon(read_only.request(BlkType.OUT, 1, bytes(512)))
    assert done.status == BlkStatus.IOERR
    assert await soon(read_only.read(1, 1)) == bytes(512)
    host.target.fails = lambda request: BlockStatus.OK

    without = {Blk.FLUSH, Blk.DISCARD, Blk.WRITE_ZEROES, Blk.MQ, Feature.EVENT_IDX}
    await plain.start(size=16, without=without | {Feature.INDIRECT_DESC})
    assert Blk.RO not in plain.transport.features
    assert len(plain.queues) == 1
    host.target.requests.clear()
    await soon(plain.write(5, bytes(512)))
    await soon(plain.read(5, 1))
    assert [request.fua for request in host.target.requests] == [True, False]
    for kind in (BlkType.DISCARD, BlkType.WRITE_ZEROES):
        done = await soon(plain.request(kind, 0, ranges((5, 1, 0))))
        assert done.status == BlkStatus.UNSUPP
    assert len(host.target.requests) == 2


@cocotb.test()
async def capacity_changes(dut):
    """A new capacity is told by an interrupt; what cannot change does not."""
    host = await begin(dut)
    driver = host.drivers[1]
    await driver.start(size=16)
    before = dict(driver.config)
    changed = driver.bus.interrupt(0)
    for word in range(15):
        if word not in (BlkWord.CAPACITY, BlkWord.BLK_SIZE, 1, 6, 7, 11):
            await host.write_word(1, word, 0xFFFF_FFFF)
    await ClockCycles(dut.clk, 200)
    assert await driver.read_config() == before
    changed.clear()
    await host.write_word(1, BlkWord.CAPACITY, 77)
    await soon(changed.wait())
    assert await driver.read_config() == {**before, "capacity": 5 << 32 | 77}
    assert host.drivers[0].bus.interrupts(0) == 0


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def overlapping_traffic(dut):
    """Reads, writes and zeroes of the same few sectors at once, on all queues of both disks."""
    host = await begin(dut, stalled=True, target={"again": 0.2, "service_us": 6})
    most = 0
    for function, driver in enumerate(host.drivers):
        await driver.start(size=(128, 32)[function])
    histories = [History() for _ in host.drivers]

    async def one(driver: BlkDriver, history: History, random):
        sectors = random.choice((1, 1, 2, 3, 8, 16, 17, 40))
        sector = random.randrange(64)
        cut, room = ([random.randint(1, 700) for _ in range(random.randrange(9))] for _ in range(2))
        how = {"cut": cut, "queue": random.randrange(QUEUES)}
        match random.randrange(5):
            case 0 | 1:
                content = random.randbytes(sectors * SECTOR_BYTES)
                writes = history.begin(sector, content)
                await driver.write(sector, content, **how)
                history.end(writes)
            case 2 | 3:
                begun = history.tick()
                found = await driver.read(sector, sectors, cut_room=room, **how)
                history.check(sector, found, begun)
            case 4:
                how["cut"] = [length for length in cut if length < 32]
                writes = history.begin(sector, bytes(sectors * SECTOR_BYTES))
                await driver.write_zeroes(sector, sectors, **how)
                history.end(writes)

    async def worker(number: int):
        nonlocal most
        random = rng("worker", number)
        function = number % FUNCTIONS
        for _ in range(2):
            await one(host.drivers[function], histories[function], random)
            most = max(most, host.target.underway)

    tasks = [cocotb.start_soon(worker(number)) for number in range(48)]
    for task in tasks:
        await task
    assert most >= TAGS // 2, f"at most {most} requests were under way"
    host.memory.check()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def resets_in_traffic(dut):
    """Device, function and queue reset with requests everywhere; the neighbour loses nothing.

    A dropped request's memory is taken away at once, so that every late access fails the test.
    """
    host = await begin(dut, target={"again": 0.2, "service_us": 4})
    driver, neighbour = host.drivers
    await neighbour.start(size=64)
    going = True

    async def neighbours():
        random, number = rng("neighbour"), 0
        while going:
            content = random.randbytes(512 * random.randint(1, 20))
            await neighbour.write(number % 50, content, queue=number % QUEUES)
            assert await neighbour.read(number % 50, len(content) // 512) == content
            number += 1
        return number

    other = cocotb.start_soon(neighbours())
    random = rng("reset")
    for round_ in range(8):
        if not driver.queues:
            await driver.start(size=64)
        host.target.held = {3} if round_ % 3 == 2 else set()
        for _ in range(random.randint(5, 30)):
            sectors = random.randint(1, 40)
            kind = random.choice((BlkType.IN, BlkType.OUT, BlkType.GET_ID, BlkType.FLUSH))
            data = bytes(512 * sectors if kind == BlkType.OUT else 0)
            room = {BlkType.IN: 512 * sectors, BlkType.GET_ID: 20}.get(kind, 0)
            await driver.submit(
                header(kind, random.randrange(1000)) + data,
                room + 1,
                queue=random.randrange(QUEUES),
                cut_room=[random.randint(1, 600) for _ in range(random.randrange(4))],
            )
        await Timer(random.randint(1, 30), "us")
        match round_ % 4:
            case 0:
                await soon(driver.stop())
            case 1:
                await soon(driver.function_reset())
            case _:
                await soon(driver.reset_queue(random.randrange(QUEUES)))
    host.target.held = set()
    await soon(driver.stop())
    going = False
    assert await soon(other, us=5000) > 5
    await driver.start(size=128)
    content = random.randbytes(40 * 512)
    await soon(driver.write(3, content))
    assert await soon(driver.read(3, 40)) == content
    host.memory.check()
    await hung_function(host)


async def hung_function(host: DiskHost):
    """The first disk's target hangs: its function has all but what is kept for the other one."""
    driver, neighbour = host.drivers
    host.target.held = {DISKS[0].volume}
    hanging = [
        await driver.submit(header(BlkType.FLUSH), 1, queue=number % QUEUES)
        for number in range(100)
    ]
    await Timer(200, "us")
    assert host.target.underway == ALONE
    for number in range(20):
        content = bytes([number]) * 1024
        await soon(neighbour.write(number, content))
        assert await soon(neighbour.read(number, 2)) == content
    assert host.target.underway == ALONE
    host.target.held = set()
    for pending in hanging:
        assert (await soon(pending.wait())).status == BlkStatus.OK


@cocotb.test()
async def one_function_hangs(dut):
    """A target that does not answer keeps no other function's requests back."""
    host = await begin(dut)
    for driver in host.drivers:
        await driver.start()
    await hung_function(host)


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def a_driver_that_breaks_every_rule(dut):
    """Broken rings, and requests of random bytes, lengths and memory; the neighbour loses nothing.

    All memory that is named is the breaker's own or refused, so that any other access fails.
    """
    host = await begin(dut)
    host.memory.refuse(HOLE, 1 << 33)
    random = rng("breaker")
    driver, neighbour = host.drivers
    await neighbour.start(size=64)
    going, number = True, 0

    async def neighbours():
        nonlocal number
        while going:
            content = rng("neighbour", number).randbytes(1024)
            await neighbour.write(number % 50, content, queue=number % QUEUES)
            assert await neighbour.read(number % 50, 2) == content
            number += 1

    async def goes_on():
        before = number
        for _ in range(400):
            if number > before + 1:
                return
            await Timer(1, "us")
        raise AssertionError("the neighbour is held up")

    other = cocotb.start_soon(neighbours())
    for fault in random.sample(FAULTS, 4):
        await driver.start(size=64)
        pending = [
            await driver.submit(header(BlkType.IN, random.randrange(99)), 1025)
            for _ in range(random.randrange(4))
        ]
        queue = driver.queues[0]
        breaker = Breaker(host.memory, queue, random)
        queue.offer_raw(getattr(breaker, fault)())
        await queue.kick()
        assert await needs_reset(driver), fault
        await goes_on()
        dropped = await (driver.stop() if random.random() < 0.5 else driver.function_reset())
        assert len(dropped) <= len(pending)
        host.memory.free(breaker.region)

    def anywhere(size: int) -> Region:
        """Memory that is the driver's, or refused."""
        if size > 4096 or random.random() < 0.1:
            region = Region(HOLE, 1, "hole")
            # So large that it should not be made.
            region.size = size
            return region
        region = host.memory.allocate(size, align=1, name="nonsense")
        start = header(random.choice(list(BlkType)), random.randrange(90))
        region.write(0, random.choice((start, random.randbytes(16)))[:size])
        return region

    await driver.start(size=128)
    for _ in range(25):
        sizes = (1, 15, 16, 17, 20, 32, 512, 513, 1024, 4096, 100_000, 1 << 25, (1 << 32) - 1)
        readable, writable = (
            [anywhere(random.choice(sizes)) for _ in range(random.choice((0, 1, 1, 2, 3, 19)))]
            for _ in range(2)
        )
        if not readable and not writable:
            continue
        pending = await driver.submit_regions(readable, writable)
        if not writable:
            await soon(pending.done.wait())
            assert pending.written == 0
            assert await needs_reset(driver)
            await driver.stop()
            await driver.start(size=128)
            continue
        await soon(pending.done.wait())
        await goes_on()
    assert Status.NEEDS_RESET not in await driver.transport.status()
    going = False
    await other
    await soon(driver.write(1, bytes(512)))
    host.memory.check()

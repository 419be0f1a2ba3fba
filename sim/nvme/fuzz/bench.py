"""A hostile driver beside a good one: nonsense in queues, doorbells and registers.

The hostile one names only its own pages and addresses that the host refuses, so that every other
access is the card's fault and fails the test at once. The good one's data is compared with the
transport's volume all the time, and in the end the hostile controller has to work after a reset.
"""

from random import Random

import cocotb
from cocotb.triggers import Event, Timer

from firmware.host.nvme import Namespace
from niter.nvme.config import NvmeConfig
from sim.harness import Bench, parameter, rng
from sim.models.memory import Region
from sim.models.nvme.controller import ControllerFailed
from sim.models.nvme.driver import NvmeDriver
from sim.models.nvme.specification import PAGE_BYTES, Admin, Config, Io, Register
from sim.nvme.host import Controllers, Host

BENCH = Bench(
    dut=lambda: Controllers(NvmeConfig(functions=2, queues=4, entries=1024, namespaces=4)),
    tier="slow",
    fuzz=True,
)

MINE = Namespace(3, 10_000, bytes(range(16)))
YOURS = Namespace(6, 5000, bytes(range(16, 32)))
HOLE, HOLE_BYTES = 0x7_0000_0000, 1 << 24
#: The host's regions lie between this and twice as much.
NEAR = 0x1_0000_0000
ROUNDS = int(parameter("rounds", "12"))


class Hostile:
    """Misuses a controller whose driver is up.

    Parameters
    ----------
    driver
        With two pairs of queues, not strict.
    random
        Draws what it does.
    """

    def __init__(self, driver: NvmeDriver, random: Random) -> None:
        self.driver, self.random = driver, random
        memory = driver.bus.memory
        self.pages: list[Region] = [
            memory.allocate(
                PAGE_BYTES, align=PAGE_BYTES, name="hostile page", readable=True, writable=True
            )
            for _ in range(4)
        ]
        for page in self.pages:
            page.write(0, b"".join(self.pointer().to_bytes(8, "little") for _ in range(512)))
        # Old entries name buffers that are no more, and may be fetched again.
        for queue in (driver.admin, *driver.queues.values()):
            queue.ring.fill(0xFF)

    def pointer(self) -> int:
        """An address that a PRP entry may name, mostly badly."""
        random = self.random
        page = random.choice(self.pages).address
        match random.randrange(6):
            case 0 | 1:
                return page
            case 2:
                return page + 8 * random.randrange(512)
            case 3:
                return page + PAGE_BYTES - 8
            case 4:
                return page + random.randrange(PAGE_BYTES)
        return HOLE + PAGE_BYTES * random.randrange(HOLE_BYTES // PAGE_BYTES - 64)

    def entry(self, opcodes) -> bytes:
        """A submission entry whose fields make no sense together."""
        random = self.random
        entry = bytearray(random.randbytes(64) if random.random() < 0.5 else bytes(64))
        entry[0] = random.choice(opcodes) if random.random() < 0.9 else random.randrange(256)
        entry[1] = 0 if random.random() < 0.8 else random.randrange(256)
        nsid = random.choice((0, 1, 1, 1, 1, 2, 5, 0xFFFFFFFF, random.getrandbits(32)))
        entry[4:8] = nsid.to_bytes(4, "little")
        entry[24:32] = self.pointer().to_bytes(8, "little")
        entry[32:40] = self.pointer().to_bytes(8, "little")
        if random.random() < 0.8:
            entry[40:48] = random.randrange(MINE.blocks + 8).to_bytes(8, "little")
            entry[48:52] = random.randrange(300).to_bytes(4, "little")
        return bytes(entry)

    async def io(self) -> None:
        """Nonsense in an I/O queue."""
        queue = self.driver.queues[self.random.randint(1, 2)]
        for _ in range(self.random.randint(1, 6)):
            queue.put(self.entry(list(Io)))
        await queue.ring_doorbell(queue.tail)

    async def admin(self) -> None:
        """Nonsense in the admin queue, but for queues in the host's holes."""
        entry = bytearray(self.entry(list(Admin)))
        if entry[0] in (Admin.CREATE_SQ, Admin.CREATE_CQ):
            entry[24:32] = HOLE.to_bytes(8, "little")
        self.driver.admin.put(bytes(entry))
        await self.driver.admin.ring_doorbell(self.driver.admin.tail)

    async def doorbell(self) -> None:
        """A doorbell that does not exist, or a value that cannot be."""
        offset = Register.DOORBELLS + 4 * self.random.randrange(64)
        await self.driver.bus.write(0, offset, self.random.getrandbits(32), 4)

    async def register(self) -> None:
        """Any value in a register that is not CC; admin queues go where the host refuses."""
        driver, random = self.driver, self.random
        offset = random.choice([n for n in range(0, 0x100, 4) if n != Register.CC])
        if Register.AQA <= offset < Register.ACQ + 8:
            for queue in (Register.ASQ, Register.ACQ):
                await driver.write(queue, HOLE + random.randrange(HOLE_BYTES // 4), 8)
            offset = Register.AQA
        await driver.bus.write(0, offset, random.getrandbits(32), 4)
        await driver.bus.read(0, 4 * random.randrange(0x800), 4)

    async def delete(self) -> None:
        """A queue goes while commands are in it."""
        index = self.random.randint(1, 2)
        await self.io()
        entry = bytearray(64)
        entry[0], entry[40] = Admin.DELETE_SQ, index
        self.driver.admin.put(bytes(entry))
        await self.driver.admin.ring_doorbell(self.driver.admin.tail)

    async def toggle(self) -> None:
        """The controller is switched off and on again while everything is under way."""
        await self.driver.write(Register.CC, self.random.getrandbits(32) & ~1)
        await self.driver.write(Register.CC, Config.ENABLE | Config.ENTRY_SIZES)


async def good(host: Host, done: list[int], enough: Event) -> None:
    """The neighbour: writes and reads back, until it is enough."""
    random = rng("good")
    driver = host.drivers[1]
    while not enough.is_set():
        lba, blocks = random.randrange(YOURS.blocks - 8), random.randint(1, 8)
        content = random.randbytes(512 * blocks)
        await driver.write_blocks(1, lba, content)
        assert host.target.read(YOURS.volume, lba, blocks) == content
        assert await driver.read_blocks(1, lba, blocks) == content
        done.append(lba)


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def a_hostile_driver_harms_itself_alone(dut):
    random = rng("hostile")
    host = await Host.start(BENCH, dut, {(0, 1): MINE, (1, 1): YOURS}, service_us=3)
    # What is written into a page may be taken for a list. Only what lies near the host's regions
    # is watched.
    host.memory.refuse(0, NEAR)
    host.memory.refuse(2 * NEAR, 1 << 64)
    host.drivers[0].strict = False
    await host.drivers[1].start()
    done, enough = [], Event()
    neighbour = cocotb.start_soon(good(host, done, enough))
    for _ in range(ROUNDS):
        driver = host.drivers[0]
        await driver.start(queues=2, entries=random.choice((2, 16, 64)))
        before = len(done)
        hostile = Hostile(driver, random)
        actions = [hostile.io] * 6 + [hostile.admin] * 3 + [hostile.doorbell, hostile.register]
        actions += [hostile.delete, hostile.toggle]
        for _ in range(random.randint(5, 25)):
            await random.choice(actions)()
            await Timer(random.randint(1, 20), "us")
        while len(done) < before + 3:
            await Timer(10, "us")
        # However it stands now, a reset brings it back.
        try:
            await (driver.disable(2000) if random.random() < 0.5 else driver.function_reset())
        except ControllerFailed:
            await driver.function_reset()
        await driver.start()
        content = random.randbytes(512)
        await driver.write_blocks(1, 4, content)
        assert await driver.read_blocks(1, 4, 1) == content
        await driver.disable()
        for page in hostile.pages:
            page.readable = page.writable = False
    enough.set()
    await neighbour
    host.memory.check()
    host.processor.stop()

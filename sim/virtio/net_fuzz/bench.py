"""A driver that breaks every rule beside one that keeps them.

Function 0 posts nonsense in its rings, drawn from the seed; function 1 sends and receives
all the while and must lose nothing. Each piece of nonsense ends as the rules have it: the
frame is dropped, or function 0 needs a reset; after the reset it works again.
"""

import cocotb
from cocotb.triggers import ClockCycles, with_timeout

from niter.virtio.net import VirtioNet
from sim.harness import Bench, rng
from sim.models.virtio.net import Header
from sim.models.virtio.queue import SplitQueue
from sim.models.virtio.specification import Status
from sim.virtio.breaker import FAULTS, HOLE, HOLE_BYTES, Breaker, needs_reset
from sim.virtio.host import Host, cuts, random_frame

BENCH = Bench(
    dut=lambda: VirtioNet(functions=2, pairs=1, queue_size=64),
    tier="fast",
    fuzz=True,
)


async def begin(dut) -> Host:
    """Reset the device under test; host memory has a hole."""
    await BENCH.start(dut)
    host = Host(BENCH, dut)
    host.memory.refuse(HOLE, HOLE_BYTES)
    await ClockCycles(dut.clk, 300)
    await host.counted()
    return host


class Neighbour:
    """Function 1: frames one after the other, both ways, each compared."""

    def __init__(self, host: Host):
        self.host = host
        self.driver = host.drivers[1]
        self.exchanged = 0
        self._random = rng("neighbour")
        self._task = None

    async def start(self):
        """Bring it up and let it run."""
        await self.host.start(self.driver, size=32)
        self._task = cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            frame = random_frame(self._random)
            await self.driver.send(frame, cut=cuts(self._random, len(frame)))
            out = await with_timeout(self.host.tx.recv(), 200, "us")
            while out.meta.function != 1:
                out = await with_timeout(self.host.tx.recv(), 200, "us")
            assert out.data == frame and not out.error
            self.host.deliver(frame, 1)
            assert (await with_timeout(self.driver.recv(), 200, "us")).data == frame
            self.exchanged += 1

    async def goes_on(self):
        """Wait for two more exchanges: it is not held up."""
        target = self.exchanged + 2
        for _ in range(400):
            if self.exchanged >= target:
                return
            await ClockCycles(self.host.dut.clk, 100)
        raise AssertionError("the neighbour is held up")


async def works(host: Host, driver):
    """Function 0 can be used: a frame comes into its buffers."""
    frame = random_frame(rng("again"), 200)
    driver.arrived()
    host.deliver(frame, 0)
    got = await with_timeout(driver.recv(), 200, "us")
    while got.data != frame:
        got = await with_timeout(driver.recv(), 200, "us")
    await driver.send(frame)
    await with_timeout(driver.flush(), 200, "us")


@cocotb.test()
async def test_broken_rings(dut):
    """Every fault, on a transmit and on a receive queue."""
    host = await begin(dut)
    random = rng("faults")
    neighbour = Neighbour(host)
    await neighbour.start()
    driver = host.drivers[0]
    for name in random.sample(FAULTS, len(FAULTS)):
        receiving = random.random() < 0.5
        await host.start(driver, size=64, buffers=0 if receiving else 32)
        queue = driver.receive[0] if receiving else driver.transmit[0]
        breaker = Breaker(host.memory, queue, random)
        if not receiving:
            for _ in range(random.randrange(3)):
                driver.put(random_frame(random))
        queue.offer_raw(getattr(breaker, name)())
        await queue.kick()
        host.deliver(random_frame(random), 0)
        assert await needs_reset(driver), f"{name}, receiving {receiving}: no NEEDS_RESET"
        await neighbour.goes_on()
        await driver.stop()
        host.memory.free(breaker.region)
        await host.start(driver, size=16)
        await works(host, driver)
        await (driver.stop() if random.random() < 0.5 else driver.function_reset())
    await neighbour.goes_on()
    host.memory.check()


@cocotb.test()
async def test_readable_receive_buffer(dut):
    """A receive buffer with a readable segment: the device needs a reset."""
    host = await begin(dut)
    driver = host.drivers[0]
    await host.start(driver, size=16, buffers=0)
    region = host.memory.allocate(2048, name="readable buffer")
    driver.receive[0].add([region], [], region)
    await driver.receive[0].kick()
    await ClockCycles(dut.clk, 400)
    host.deliver(random_frame(rng("frame"), 100), 0)
    assert await needs_reset(driver)
    await driver.stop()
    await host.start(driver, size=16)
    await works(host, driver)


@cocotb.test()
async def test_random_headers_and_memory(dut):
    """Random header bytes, lengths and refused memory: dropped, failed or sent, all returned."""
    host = await begin(dut)
    random = rng("headers")
    neighbour = Neighbour(host)
    await neighbour.start()
    driver = host.drivers[0]
    await host.start(driver, size=64)
    count = 60
    for _ in range(count):
        header = Header(
            flags=random.choice((0, 1, 2, 0xFF)),
            gso_type=random.choice((0, 0, 0, 1, 0x80)),
            csum_start=random.choice((34, 0, random.getrandbits(16))),
            csum_offset=random.choice((6, 16, random.getrandbits(16))),
        )
        frame = random_frame(random, random.choice((0, 1, 13, 14, 60, 600, 9600, 9601)))
        queue = driver.transmit[0]
        while queue.free < 8:
            await driver._wait_sent(0)
        head = driver.put(frame, header=header, cut=cuts(random, max(1, len(frame))))
        if random.random() < 0.3:
            length = random.randint(1, 3000)
            SplitQueue.put_descriptor(queue.descriptors, head, HOLE, length, 0, 0)
        await queue.kick()
    await with_timeout(driver.flush(), 2000, "us")
    await neighbour.goes_on()
    assert Status.NEEDS_RESET not in await driver.transport.status()
    counted = await host.counted()
    ends = ("frames", "dropped", "failed")
    assert sum(counted.get(f"function0_tx_{end}", 0) for end in ends) == count
    await works(host, driver)
    host.memory.check()

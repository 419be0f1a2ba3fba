"""More chains than a 16-bit index can count."""

import cocotb
from cocotb.triggers import with_timeout

from niter.virtio.queue import QueueEngine
from sim.harness import Bench, rng
from sim.models.virtio.specification import Feature
from sim.virtio.queue.rig import Rig

BENCH = Bench(dut=lambda: QueueEngine(functions=1), tier="slow", timeout_s=1200)

CHAINS = 66_000


async def post(queue, readable, writable, left):
    """Fill the ring."""
    while left and queue.free:
        queue.add(readable, writable)
        left -= 1
    await queue.kick()
    return left


@cocotb.test()
@cocotb.parametrize(features=[(), (Feature.EVENT_IDX,)])
async def pushed(dut, features):
    """Indices of available and used ring, and the events, go on beyond 65,535."""
    await BENCH.start(dut)
    rig = Rig(dut, latency_ns=150)
    queue = await rig.queue(rig.wire(0, *features), 1, 512, vector=1)
    region = [rig.memory.allocate(8)]
    order = []

    async def device():
        while True:
            rig.arrived.clear()
            while rig.chains:
                chain = rig.chains.popleft()
                order.append(chain.head)
                rig.use(chain)
            await rig.arrived.wait()

    cocotb.start_soon(device())
    draw = rng("after")
    left, finished = CHAINS, 0
    while finished < CHAINS:
        left = await post(queue, region, [], left)
        event = queue.bus.interrupt(1)
        event.clear()
        if queue.enable_interrupts(draw.randint(1, max(1, len(queue.outstanding)))):
            await with_timeout(event.wait(), 1000, "us")
        for chain in queue.take_used():
            assert chain.descriptors[0] == order[finished]
            finished += 1
    rig.memory.check()


@cocotb.test()
async def pulled(dut):
    """The same for a pulled queue."""
    await BENCH.start(dut)
    rig = Rig(dut, latency_ns=150)
    queue = await rig.queue(rig.wire(0, Feature.EVENT_IDX), 0, 512, vector=0)
    region = [rig.memory.allocate(8)]

    async def device():
        while True:
            chain = await rig.take(0, 0)
            if chain is None:
                await rig.cycles(20)
                continue
            rig.commit(0, 0)
            rig.use(chain, 8)

    cocotb.start_soon(device())
    left, finished = CHAINS, 0
    while finished < CHAINS:
        left = await post(queue, [], region, left)
        finished += len(await with_timeout(queue.wait_used(), 1000, "us"))
    rig.memory.check()

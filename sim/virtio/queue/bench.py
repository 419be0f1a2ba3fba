"""The queue engine against a driver written from the specification."""

import cocotb
from cocotb.triggers import with_timeout

from niter.virtio.queue import QueueEngine
from sim.harness import Bench
from sim.models.virtio.specification import Feature
from sim.virtio.queue.rig import Rig

BENCH = Bench(dut=lambda: QueueEngine(functions=2), fuzz=True)


@cocotb.test()
async def one_chain(dut):
    await BENCH.start(dut)
    rig = Rig(dut)
    wire = rig.wire(0, Feature.EVENT_IDX)
    queue = await rig.queue(wire, 1, 8, vector=3)
    region = rig.memory.allocate(60)
    region.write(0, bytes(range(60)))
    queue.add([region], [])
    await queue.kick()
    await with_timeout(rig.arrived.wait(), 20, "us")
    chain = rig.chains.popleft()
    assert rig.read(chain) == bytes(range(60))
    rig.use(chain)
    done = await with_timeout(queue.wait_used(), 20, "us")
    assert len(done) == 1

"""How many chains a second the queue engine serves, and how long one takes.

The driver keeps its ring as full as it can and the device gives chains back as they come.
Host memory answers a microsecond after it is asked, and no faster than a lane at 5 GT/s
carries; the lane's other costs are not modelled here.
"""

import cocotb
from cocotb.triggers import gather
from cocotb.utils import get_sim_time

from niter.virtio.queue import QueueEngine
from sim.harness import Bench, record
from sim.models.virtio.specification import Feature
from sim.virtio.queue.rig import Rig

BENCH = Bench(dut=QueueEngine, tier="bench")

LATENCY_NS = 1000
BYTES_PER_NS = 0.5
CHAINS = 500


async def transmit(rig, queue, segments, indirect=False):
    """Keep a pushed queue full; returns chains a microsecond."""
    region = rig.memory.allocate(64, readable=True)
    posted = finished = 0
    began = get_sim_time("us")
    while finished < CHAINS:
        while posted < CHAINS and queue.free >= segments:
            queue.add([region] * segments, [], indirect=indirect)
            posted += 1
        await queue.kick()
        queue.enable_interrupts(max(1, len(queue.outstanding) // 2))
        finished += len(await wait(rig, queue))
    return CHAINS / (get_sim_time("us") - began)


async def wait(rig, queue):
    """Used chains, polled: so fast is no interrupt."""
    while not (chains := queue.take_used()):
        await rig.cycles(10)
    return chains


async def give_back(rig):
    """The device of pushed queues."""
    while True:
        rig.arrived.clear()
        while rig.chains:
            rig.use(rig.chains.popleft())
        await rig.arrived.wait()


async def receive(rig, queue, segments):
    """Keep a pulled queue full and take all it has; returns chains a microsecond."""
    regions = [rig.memory.allocate(64) for _ in range(segments)]

    async def device():
        while True:
            chain = await rig.take(0, queue.index)
            if chain is None:
                await rig.cycles(4)
                continue
            rig.commit(0, queue.index)
            rig.use(chain, 8)

    cocotb.start_soon(device())
    posted = finished = 0
    began = get_sim_time("us")
    while finished < CHAINS:
        while posted < CHAINS and queue.free >= segments:
            queue.add([], regions)
            posted += 1
        await queue.kick()
        queue.enable_interrupts(max(1, len(queue.outstanding) // 2))
        finished += len(await wait(rig, queue))
    return CHAINS / (get_sim_time("us") - began)


async def start(dut):
    await BENCH.start(dut)
    rig = Rig(dut, latency_ns=LATENCY_NS, bytes_per_ns=BYTES_PER_NS)
    cocotb.start_soon(give_back(rig))
    return (
        rig,
        rig.wire(0, Feature.EVENT_IDX, Feature.INDIRECT_DESC),
        rig.wire(0, Feature.EVENT_IDX),
    )


def report(name, rate):
    record(f"virtio_queue_{name}", value=rate, unit="M chains/s", gts=5.0)


@cocotb.test()
@cocotb.parametrize(segments=[1, 2, 4])
async def pushed(dut, segments):
    rig, _, wire = await start(dut)
    queue = await rig.queue(wire, 1, 256, vector=1)
    report(f"tx_{segments}", await transmit(rig, queue, segments))


@cocotb.test()
async def indirect(dut):
    rig, wire, _ = await start(dut)
    queue = await rig.queue(wire, 1, 256, vector=1)
    report("tx_indirect_2", await transmit(rig, queue, 2, indirect=True))


@cocotb.test()
@cocotb.parametrize(segments=[1, 2])
async def pulled(dut, segments):
    rig, _, wire = await start(dut)
    queue = await rig.queue(wire, 0, 256, vector=0)
    report(f"rx_{segments}", await receive(rig, queue, segments))


@cocotb.test()
async def both(dut):
    rig, _, wire = await start(dut)
    tx = await rig.queue(wire, 1, 256, vector=1)
    rx = await rig.queue(wire, 0, 256, vector=0)
    rates = await gather(transmit(rig, tx, 1), receive(rig, rx, 1))
    report("tx_and_rx_1", sum(rates))


@cocotb.test()
async def four_queues(dut):
    rig, _, wire = await start(dut)
    queues = [await rig.queue(wire, index, 256, vector=index) for index in (1, 3, 5, 7)]
    report("tx_1_of_4_queues", sum(await gather(*(transmit(rig, q, 1) for q in queues))))


@cocotb.test()
async def latency(dut):
    """From a doorbell to the first segment, the reads' own latency taken off."""
    rig, _, wire = await start(dut)
    queue = await rig.queue(wire, 1, 256, vector=1)
    region = rig.memory.allocate(64, readable=True)
    worst = 0.0
    for _ in range(20):
        await rig.cycles(1000)
        queue.add([region], [])
        began = get_sim_time("ns")
        await queue.kick()
        rig.arrived.clear()
        await rig.arrived.wait()
        worst = max(worst, get_sim_time("ns") - began)
        await wait(rig, queue)
    # Index, entry and descriptor are read one after the other.
    record("virtio_queue_latency", value=worst - 3 * LATENCY_NS, unit="ns", gts=5.0)

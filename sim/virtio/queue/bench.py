"""The queue engine against a driver written from the specification."""

import cocotb
from cocotb.triggers import gather, with_timeout

from niter.virtio.queue import QueueEngine
from sim.harness import Bench, rng
from sim.models.virtio.specification import DescriptorFlag, Feature
from sim.virtio.queue.rig import Rig
from sim.virtio.queue.traffic import PATIENCE_US, Pulled, Pushed, Shape, serve_pushed

BENCH = Bench(dut=lambda: QueueEngine(functions=4), fuzz=True)

EVENT_IDX, INDIRECT = Feature.EVENT_IDX, Feature.INDIRECT_DESC
NOTIFICATION_DATA = Feature.NOTIFICATION_DATA
ALL = (EVENT_IDX, INDIRECT, NOTIFICATION_DATA)
NEXT, WRITE, TABLE = DescriptorFlag.NEXT, DescriptorFlag.WRITE, DescriptorFlag.INDIRECT


def serve(rig, *sides):
    """Start the device."""
    serve_pushed(
        rig,
        {(s.function, s.queue.index): s for s in sides if isinstance(s, Pushed)},
        rng("device"),
    )
    for side in sides:
        if isinstance(side, Pulled):
            cocotb.start_soon(side.serve())


async def drive(rig, chains, *sides):
    """Run the drivers of all sides to their ends."""
    await gather(*(side.drive(chains) for side in sides))
    rig.memory.check()


async def disturb(rig, function=3):
    """Traffic on a function that nothing may disturb; returns how to end it."""
    wire = rig.wire(function, *ALL)
    shape = Shape(indirect=0.3)
    tx = Pushed(rig, await rig.queue(wire, 1, 32, vector=1), shape, rng("other tx"))
    rx = Pulled(rig, await rig.queue(wire, 0, 64, vector=0), shape, rng("other rx"))
    return tx, rx


@cocotb.test()
@cocotb.parametrize(
    ("features", [(), (EVENT_IDX,), ALL, (INDIRECT,)]),
    ("size", [1, 2, 8, 256]),
)
async def pushed(dut, features, size):
    """One pushed queue: contents, order, used lengths, whatever the ring's size."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.2, jitter=True)
    queue = await rig.queue(rig.wire(0, *features), 1, size, vector=3)
    shape = Shape(segments=min(size, 9), indirect=0.5 if INDIRECT in features else 0)
    side = Pushed(rig, queue, shape, rng("pushed", size))
    serve(rig, side)
    await drive(rig, 80, side)


@cocotb.test()
@cocotb.parametrize(
    ("features", [(), (EVENT_IDX,), ALL]),
    ("size", [1, 16, 1024]),
)
async def pulled(dut, features, size):
    """One pulled queue: takes, commits, roll-backs, groups."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.2, jitter=True)
    queue = await rig.queue(rig.wire(1, *features), 2, size, vector=1)
    shape = Shape(segments=min(size, 4), indirect=0.4 if INDIRECT in features else 0)
    side = Pulled(rig, queue, shape, rng("pulled", size))
    serve(rig, side)
    await drive(rig, 80, side)


@cocotb.test()
async def long_chains(dut):
    """Chains of up to 64 segments, direct and indirect, and pulled ones of up to 32."""
    await BENCH.start(dut)
    rig = Rig(dut, jitter=True)
    wire = rig.wire(0, *ALL)
    sides = [
        Pushed(
            rig,
            await rig.queue(wire, index, 128, vector=index),
            Shape(segments=64, indirect=0.4, batch=3),
            rng("long", index),
        )
        for index in (1, 3)
    ]
    sides += [
        Pulled(
            rig,
            await rig.queue(wire, index, 64, vector=index),
            Shape(segments=32, indirect=0.4, batch=4),
            rng("long", index),
        )
        for index in (0, 2)
    ]
    serve(rig, *sides)
    await drive(rig, 40, *sides)


@cocotb.test()
async def all_queues(dut):
    """Nine queues of each of four functions at once, all sizes and features."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.05, jitter=True)
    sides = []
    draw = rng("all")
    for function in range(4):
        features = draw.sample(ALL, draw.randint(0, 3))
        wire = rig.wire(function, *features)
        shape = Shape(indirect=0.3 if INDIRECT in features else 0)
        for index in range(9):
            wire.weights[index] = draw.randrange(4)
            vector = 0xFFFF if draw.random() < 0.2 else index
            queue = await rig.queue(wire, index, 1 << draw.randint(2, 10), vector=vector)
            kind = Pulled if index in rig.pulled else Pushed
            sides.append(kind(rig, queue, shape, rng("all", function, index)))
    serve(rig, *sides)
    await drive(rig, 30, *sides)


@cocotb.test()
async def late_doorbells(dut):
    """A doorbell may tell an index that is older than what the engine has read meanwhile."""
    await BENCH.start(dut)
    rig = Rig(dut)
    wire = rig.wire(0, NOTIFICATION_DATA)
    region = rig.memory.allocate(8)
    for late in range(20, 200, 6):
        queue = await rig.queue(wire, 1, 64, vector=1)
        for _ in range(10):
            queue.add([region], [])
        queue.publish()
        for index in (1, 3):
            await wire.write(0, 0, index << 16 | queue.index, 4)
            await rig.cycles(late)
        for _ in range(10):
            await next_chain(rig)
        await rig.cycles(500)
        assert not rig.chains, f"{late} cycles between doorbells: more than was made available"
        assert len(queue.take_used()) == 10
        await queue.reset()


@cocotb.test()
async def reset_in_traffic(dut):
    """A queue that is reset leaves no access behind, gets all back, and works again."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.1, jitter=True)
    draw = rng("reset")
    others = await disturb(rig)
    wire = rig.wire(0, *ALL)
    shape = Shape(segments=6, indirect=0.3)
    tx = Pushed(rig, await rig.queue(wire, 5, 64, vector=5), shape, rng("tx"))
    rx = Pulled(rig, await rig.queue(wire, 4, 64, vector=4), shape, rng("rx"))
    serve(rig, tx, rx, *others)
    going = cocotb.start_soon(drive(rig, 200, *others))
    for _ in range(6):
        drivers = [cocotb.start_soon(side.drive(10_000)) for side in (tx, rx)]
        await rig.cycles(draw.randint(1, 3000))
        for driver, side in zip(drivers, (tx, rx), strict=True):
            driver.cancel()
            # The chains that the device has are used, and swallowed, before the answer.
            await with_timeout(side.queue.reset(), PATIENCE_US, "us")
            assert not any((c.function, c.queue) == (0, side.queue.index) for c in rig.chains)
            side.forget()
            await side.queue.setup(64)
    await going


FLAWS = {
    "head beyond the ring": lambda q: (q.offer_raw(q.size), q.publish()),
    "index too far ahead": lambda q: q.available.write_int(2, q.size + 1, 2),
    "index going back": lambda q: q.available.write_int(2, 0xFFFF, 2),
    "no length": lambda q: chain(q, (0, 0, 0)),
    "no length, later": lambda q: chain(q, (9, NEXT, 1), (0, 0, 0)),
    "next beyond the ring": lambda q: chain(q, (9, NEXT, q.size)),
    "loop of one": lambda q: chain(q, (9, NEXT, 0)),
    "loop of three": lambda q: chain(q, (9, NEXT, 2), (9, NEXT, 0), (9, NEXT, 1)),
    "65 segments": lambda q: chain(q, *[(9, NEXT, n + 1) for n in range(64)], (9, 0, 0)),
    "write before read": lambda q: chain(q, (9, WRITE | NEXT, 1), (9, 0, 0)),
    "table with a successor": lambda q: chain(q, (16, TABLE | NEXT, 1), (9, 0, 0)),
    "table of no length": lambda q: chain(q, (0, TABLE, 0)),
    "table of 24 bytes": lambda q: chain(q, (24, TABLE, 0)),
    "table of 65 entries": lambda q: chain(q, (65 * 16, TABLE, 0)),
    "table of 64 GiB": lambda q: chain(q, (0xFFFF_FFF0, TABLE, 0)),
    "table that is refused": lambda q: chain(q, (16, TABLE, 0), table=[]),
    "table in a table": lambda q: chain(q, (16, TABLE, 0), table=[(16, TABLE, 0)]),
    "no length in a table": lambda q: chain(q, (16, TABLE, 0), table=[(0, 0, 0)]),
    "next beyond the table": lambda q: chain(q, (32, TABLE, 0), table=[(9, NEXT, 2), (9, 0, 0)]),
    "loop in a table": lambda q: chain(q, (32, TABLE, 0), table=[(9, NEXT, 1), (9, NEXT, 0)]),
    "write before read in a table": lambda q: chain(
        q, (9, WRITE | NEXT, 1), (16, TABLE, 0), table=[(9, 0, 0)]
    ),
}

#: Where nothing is: the host refuses it.
NOWHERE = 0x6666_0000


def chain(queue, *descriptors, table=None):
    """Put descriptors (length, flags, next) at the ring's beginning and offer the first."""
    if table is None:
        address = NOWHERE
    else:
        region = queue.bus.memory.allocate(16 * max(1, len(table)), readable=bool(table))
        address = region.address if table else NOWHERE
        for place, (length, flags, following) in enumerate(table):
            queue.put_descriptor(region, place, NOWHERE, length, flags, following)
    for place, (length, flags, following) in enumerate(descriptors):
        queue.put_descriptor(queue.descriptors, place, address, length, flags, following)
    queue.offer_raw(0)
    queue.publish()


async def faulty(rig, function, number=1):
    """Wait for the one fault and see that no other comes."""
    for _ in range(200):
        if rig.faults:
            break
        await rig.cycles(50)
    await rig.cycles(1000)
    assert rig.faults == [function] * number
    rig.faults.clear()


@cocotb.test()
async def flaws(dut):
    """Each breach of the rules is a fault of that function; it works again after reset."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.1)
    rig.memory.refuse(NOWHERE, 1 << 32)
    rig.suspects = {1}
    others = await disturb(rig)
    wire = rig.wire(1, EVENT_IDX, INDIRECT)
    side = Pushed(rig, await rig.queue(wire, 1, 128, vector=1), Shape(), rng("again"))
    still = await rig.queue(wire, 3, 16, vector=3)
    serve(rig, side, *others)
    going = cocotb.start_soon(drive(rig, 300, *others))
    for name, break_rule in FLAWS.items():
        dut._log.info(name)
        break_rule(side.queue)
        await side.queue.notify()
        await faulty(rig, 1)
        # The function's other queues stand still as well.
        still.offer_raw(0)
        still.put_descriptor(still.descriptors, 0, NOWHERE, 8, 0, 0)
        still.publish()
        await still.notify()
        await rig.cycles(300)
        assert not any(c.function == 1 for c in rig.chains)
        for queue in (side.queue, still):
            await with_timeout(queue.reset(), PATIENCE_US, "us")
        side.forget()
        await side.queue.setup(128)
        await still.setup(16)
        await drive(rig, 5, side)
    await going
    rig.memory.check()


@cocotb.test()
async def refused(dut):
    """A ring that the host refuses, and a function without bus mastering, are faults."""
    await BENCH.start(dut)
    rig = Rig(dut)
    rig.suspects = {0, 2}
    rig.memory.refuse(NOWHERE, 1 << 32)
    others = await disturb(rig)
    serve(rig, *others)
    going = cocotb.start_soon(drive(rig, 60, *others))
    wire = rig.wire(0, EVENT_IDX)
    await wire.enable_queue(1, 8, (NOWHERE, NOWHERE + 4096, NOWHERE + 8192), 0)
    await faulty(rig, 0)
    await with_timeout(wire.reset_queue(1), PATIENCE_US, "us")
    queue = await rig.queue(rig.wire(2), 8, 8, vector=0)
    await rig.cycles(500)
    rig.ports.disabled.add(2)
    chain(queue, (9, 0, 0))
    await queue.notify()
    await faulty(rig, 2)
    await with_timeout(wire.reset_queue(1), PATIENCE_US, "us")
    await with_timeout(queue.reset(), PATIENCE_US, "us")
    await going


@cocotb.test()
async def too_long_to_pull(dut):
    """A pulled chain that the queue's ring on the card cannot hold is a fault."""
    await BENCH.start(dut)
    rig = Rig(dut)
    rig.suspects = {1}
    queue = await rig.queue(rig.wire(1, EVENT_IDX), 0, 64, vector=0)
    chain(queue, *[(9, NEXT | WRITE, n + 1) for n in range(42)], (9, WRITE, 0))
    await queue.notify()
    await faulty(rig, 1)
    assert await rig.take(1, 0) is None
    await with_timeout(queue.reset(), PATIENCE_US, "us")


@cocotb.test()
async def device_does_not_take(dut):
    """A device that takes no pushed chain holds no pulled queue back, nor the closing one."""
    await BENCH.start(dut)
    rig = Rig(dut)
    wire = rig.wire(0, *ALL)
    tx = Pushed(rig, await rig.queue(wire, 1, 64, vector=1), Shape(), rng("tx"))
    rx = Pulled(rig, await rig.queue(wire, 0, 64, vector=0), Shape(), rng("rx"))
    rig.segments.pause()
    for _ in range(20):
        tx.post()
    await tx.queue.kick()
    await rig.cycles(2000)
    serve(rig, tx, rx)
    await drive(rig, 60, rx)
    rig.segments.resume()
    await drive(rig, 30, tx)


@cocotb.test()
async def warm_reset(dut):
    """After a reset nothing is left of queues that were enabled before it."""
    await BENCH.start(dut)
    rig = Rig(dut)
    wire = rig.wire(0, EVENT_IDX)
    old = await rig.queue(wire, 1, 16, vector=1)
    rx = await rig.queue(wire, 0, 16, vector=0)
    rx.add([], [rig.memory.allocate(8)])
    await rx.kick()
    await rig.cycles(2000)
    dut.rst.value = 1
    await rig.cycles(2)
    dut.rst.value = 0
    for queue in (old, rx):
        chain(queue, (9, 0, 0))
        await queue.notify()
    assert await rig.take(0, 0) is None
    reads = rig.ports.reads
    await rig.cycles(1000)
    assert rig.ports.reads == reads, "a queue of before the reset is served"
    side = Pushed(rig, await rig.queue(wire, 1, 16, vector=1), Shape(), rng("new"))
    serve(rig, side)
    await drive(rig, 30, side)


@cocotb.test()
async def fair_shares(dut):
    """Two full queues are served alike, whatever their chains look like; a weight counts."""
    await BENCH.start(dut)
    rig = Rig(dut)
    wire = rig.wire(0, *ALL)
    served = {}
    for weight in (0, 2):
        wire.weights = {3: weight}
        queues = [await rig.queue(wire, index, 128, vector=index) for index in (1, 3)]
        region = rig.memory.allocate(8)
        for queue in queues:
            while queue.free:
                queue.add([region] * 2, [], indirect=queue.index == 3)
            queue.publish()
        for queue in queues:
            await queue.notify()
        first = [chain.queue for chain in [await next_chain(rig) for _ in range(64)]]
        served[weight] = first.count(3)
        while len(rig.chains) < 2:
            await rig.cycles(10)
        drain = cocotb.start_soon(give_back(rig))
        for queue in queues:
            await with_timeout(queue.reset(), PATIENCE_US, "us")
        drain.cancel()
    assert 24 <= served[0] <= 40, served
    assert served[2] > served[0] + 4, served


async def next_chain(rig):
    """The next pushed chain, given back at once."""
    while not rig.chains:
        await rig.cycles(5)
    chain = rig.chains.popleft()
    rig.use(chain)
    return chain


async def give_back(rig):
    """Give all chains back as they come."""
    while True:
        await next_chain(rig)


@cocotb.test()
async def garbage(dut):
    """Rings full of noise: never a hang, never a stray access, and no harm to others."""
    await BENCH.start(dut)
    rig = Rig(dut, stall=0.1, jitter=True)
    rig.memory.refuse(0, 1 << 32)
    rig.memory.refuse(1 << 48, 1 << 64)
    rig.suspects = {0, 1, 2}
    others = await disturb(rig)
    serve_pushed(rig, {(3, 1): others[0]}, rng("device"), noise=True)
    cocotb.start_soon(others[1].serve())
    going = cocotb.start_soon(drive(rig, 150, *others))
    draw = rng("garbage")
    for _ in range(25):
        function = draw.randrange(3)
        index = draw.choice((0, 1, 3, 8))
        size = 1 << draw.randint(0, 6)
        queue = await rig.queue(rig.wire(function, *ALL), index, size, vector=index)
        table = rig.memory.allocate(16 * 64, readable=True)
        for place in range(64):
            queue.put_descriptor(table, place, *noise(draw, 64, table, nested=True))
        for place in range(size):
            queue.put_descriptor(queue.descriptors, place, *noise(draw, size, table))
        for _ in range(draw.randint(1, size)):
            queue.offer_raw(draw.randrange(size if draw.random() < 0.95 else 1 << 16))
        queue.publish()
        await queue.notify()
        for _ in range(draw.randint(1, 12)):
            await rig.cycles(draw.randint(1, 300))
            if index == 0:
                await with_timeout(rig.take(function, 0), PATIENCE_US, "us")
        if index == 0:
            rig.rollback(function, 0)
        await with_timeout(queue.reset(), PATIENCE_US, "us")
        assert len(set(rig.faults)) == len(rig.faults) <= 1
        rig.faults.clear()
    await going
    rig.memory.check()


def noise(draw, limit, table, nested=False):
    """A descriptor (address, length, flags, next), plausible but for a few."""
    flags = draw.choice((0, 0, NEXT, NEXT, WRITE, WRITE | NEXT, draw.getrandbits(3)))
    address, length = (
        (1 << 48) + draw.getrandbits(40),
        draw.randint(0 if draw.random() < 0.1 else 1, 99),
    )
    if draw.random() < (0.05 if nested else 0.2):
        flags = TABLE
        address = draw.choice((table.address, table.address, 1 << 50))
        length = 16 * draw.randint(1, 64) if address == table.address else draw.randrange(2000)
    following = draw.randrange(limit if draw.random() < 0.95 else 1 << 16)
    return address, length, flags, following

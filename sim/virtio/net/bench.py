"""The virtio network device, whole: drivers on one side, frames on the other.

The oracle is the bytes that the drivers were given and gave back; the drivers are written
from the specification.
"""

import cocotb
from cocotb.triggers import ClockCycles, with_timeout

from niter.virtio.net import VirtioNet
from sim.harness import Bench, rng
from sim.models.virtio.net import Header
from sim.models.virtio.specification import Feature, HeaderFlag, Net, Status
from sim.virtio.host import Host, cuts, random_frame

FUNCTIONS, PAIRS = 3, 2

BENCH = Bench(
    dut=lambda: VirtioNet(functions=FUNCTIONS, pairs=PAIRS, queue_size=256),
    tier="fast",
    clock_ns=16,
    fuzz=True,
)

#: Simulated time within which a frame must come, in microseconds.
_PATIENCE_US = 400


async def begin(dut, **how) -> Host:
    """Reset the device under test and put a host round it."""
    await BENCH.start(dut)
    host = Host(BENCH, dut, **how)
    await ClockCycles(dut.clk, 300)
    await host.counted()
    return host


async def soon(what):
    """Wait for what must come."""
    return await with_timeout(what, _PATIENCE_US, "us")


async def exchange(host: Host, driver, function: int, count: int, *, random, longest=None):
    """``count`` frames each way, in turn, compared byte for byte."""
    for number in range(count):
        frame = random_frame(random, longest and random.randint(60, longest))
        pair = random.randrange(len(driver.transmit))
        await driver.send(
            frame,
            pair,
            cut=cuts(random, len(frame)),
            indirect=Feature.INDIRECT_DESC in driver.transport.features and random.random() < 0.5,
        )
        out = await soon(host.tx.recv())
        assert (out.data, out.error) == (frame, False), f"frame {number} out"
        assert out.meta.function == function
        assert out.meta.length == len(frame)

        frame = random_frame(random, longest and random.randint(60, longest))
        host.deliver(frame, function, hash=random.getrandbits(16))
        got = await soon(driver.recv())
        assert got.data == frame, f"frame {number} in"
        assert got.buffers == max(1, -(-(len(frame) + Header.SIZE) // driver.buffer_bytes))


@cocotb.test()
async def test_frames_both_ways(dut):
    host = await begin(dut)
    (driver, *_) = host.drivers
    await host.start(driver, size=64, pairs=1)
    await exchange(host, driver, 0, 12, random=rng("frames"))
    await driver.flush()
    counted = await host.counted()
    assert counted["function0_tx_frames"] == counted["function0_rx_frames"] == 12
    assert not [name for name in counted if name.endswith(("dropped", "failed"))]
    host.memory.check()


@cocotb.test()
async def test_header_cut_anywhere(dut):
    """Header and frame in every arrangement of the first descriptors, direct and indirect."""
    host = await begin(dut)
    random = rng("cut")
    (driver, *_) = host.drivers
    await host.start(driver, size=64, pairs=1, buffers=0)
    for first in range(1, 22):
        frame = random_frame(random, random.randint(60, 90))
        cut = [first, random.randint(1, 14)]
        await driver.send(frame, cut=cut, indirect=first % 2, direct_before=first % 4 == 3)
        out = await soon(host.tx.recv())
        assert out.data == frame, f"cut {cut}"


@cocotb.test()
async def test_jumbo(dut):
    """The longest frames, out of one segment and into one buffer or many."""
    host = await begin(dut)
    random = rng("jumbo")
    ways = ((1536, ()), (65536, ()), (9612, {Net.MRG_RXBUF}))
    for function, (buffer_bytes, without) in enumerate(ways):
        driver = host.drivers[function]
        await host.start(driver, size=32, pairs=1, buffer_bytes=buffer_bytes, without=without)
        for length in (9600, 4084, 4085, 8180):
            frame = random_frame(random, length)
            await driver.send(frame, cut=random.choice(([], [12], [4096, 4096])))
            assert (await soon(host.tx.recv())).data == frame
            host.deliver(frame, function)
            assert (await soon(driver.recv())).data == frame


@cocotb.test()
async def test_functions_side_by_side(dut):
    """All functions at once, both ways, with pauses on all ports and different features."""
    host = await begin(dut, stalled=True)
    features = [
        {"without": {Net.MRG_RXBUF}},
        {"without": {Feature.EVENT_IDX, Feature.INDIRECT_DESC}},
        {"buffer_bytes": 256},
    ]
    sent = [[] for _ in range(FUNCTIONS)]
    delivered = [[] for _ in range(FUNCTIONS)]
    for driver, chosen in zip(host.drivers, features, strict=True):
        await host.start(driver, size=64, pairs=1, **chosen)

    async def transmit(function, driver):
        random = rng("transmit", function)
        indirect = Feature.INDIRECT_DESC in driver.transport.features
        for _ in range(20):
            frame = random_frame(random)
            sent[function].append(frame)
            cut = cuts(random, len(frame))
            await driver.send(frame, cut=cut, indirect=indirect and random.random() < 0.5)

    random = rng("receive")
    tasks = [cocotb.start_soon(transmit(n, driver)) for n, driver in enumerate(host.drivers)]
    for _ in range(60):
        function = random.randrange(FUNCTIONS)
        frame = random_frame(random)
        delivered[function].append(frame)
        host.deliver(frame, function)
        # At the pace of a wire: the engine finds buffers for what comes in the long run.
        await ClockCycles(dut.clk, 2 * len(frame) // 8 + 200)
    for _ in range(20 * FUNCTIONS):
        out = await soon(host.tx.recv())
        assert out.data == sent[out.meta.function].pop(0)
    for task in tasks:
        await task
    for function, driver in enumerate(host.drivers):
        await driver.flush()
        for frame in delivered[function]:
            assert (await soon(driver.recv())).data == frame
    host.memory.check()


@cocotb.test()
async def test_flows_reach_their_queues(dut):
    """With MQ, frames go to the queue of their flow, and come from all queues."""
    host = await begin(dut)
    random = rng("flows")
    driver = host.drivers[1]
    await host.start(driver, size=64, pairs=PAIRS)
    for flow in (0, 7, 8, 15, 0xFFF0, 0x0018):
        frame = random_frame(random)
        host.deliver(frame, 1, hash=flow)
        got = await soon(driver.recv())
        assert got.data == frame
        assert got.pair == (flow & 0xF) * PAIRS // 16
    for pair in range(PAIRS):
        frame = random_frame(random)
        await driver.send(frame, pair)
        assert (await soon(host.tx.recv())).data == frame


@cocotb.test()
async def test_checksums(dut):
    """CSUM makes a slot for later stages to fill; DATA_VALID tells what the card verified."""
    host = await begin(dut)
    random = rng("checksum")
    with_csum, without, _ = host.drivers
    await host.start(with_csum, size=16, pairs=1)
    await host.start(without, size=16, pairs=1, without={Net.CSUM, Net.GUEST_CSUM})
    asked = Header(flags=HeaderFlag.NEEDS_CSUM, csum_start=34, csum_offset=6)
    for function, driver in enumerate((with_csum, without)):
        frame = random_frame(random, 100)
        await driver.send(frame, header=asked)
        slot = (await soon(host.tx.recv())).meta.inner_checksum
        assert slot.enable == (function == 0)
        if slot.enable:
            assert (slot.start, slot.position) == (34, 40)
        for good in (0, 1):
            host.deliver(frame, function, checksum_good=good)
            assert (await soon(driver.recv())).checksum_good == (good and function == 0)


@cocotb.test()
async def test_bad_frames_are_counted_and_dropped(dut):
    """What a driver may not send goes back to it, and the frames around it pass."""
    host = await begin(dut)
    random = rng("bad")
    (driver, *_) = host.drivers
    await host.start(driver, size=64, pairs=1, buffers=0)
    host.memory.refuse(0xDEAD_0000, 0x10000)
    bad = [
        dict(frame=random_frame(random, 13)),
        dict(frame=b""),
        dict(frame=random_frame(random, 9601)),
        dict(frame=random_frame(random, 100), header=Header(gso_type=1)),
        dict(
            frame=random_frame(random, 100),
            header=Header(flags=HeaderFlag.NEEDS_CSUM, csum_start=90, csum_offset=10),
        ),
    ]
    good = []
    for fields in bad:
        good.append(random_frame(random))
        await driver.send(good[-1])
        await driver.send(**fields)
    good.append(random_frame(random))
    await driver.send(good[-1])
    for frame in good:
        assert (await soon(host.tx.recv())).data == frame
    await soon(driver.flush())
    await host.settle()
    assert await host.counted() == {
        "function0_tx_frames": len(good),
        "function0_tx_bytes": sum(map(len, good)),
        "function0_tx_dropped": len(bad),
    }
    assert Status.NEEDS_RESET not in await driver.transport.status()


@cocotb.test()
async def test_no_buffers(dut):
    """A function without buffers loses its frames; the others lose none."""
    host = await begin(dut)
    random = rng("buffers")
    full, empty, off = host.drivers
    await host.start(full, size=64, pairs=1)
    await host.start(empty, size=16, pairs=1, buffers=2, buffer_bytes=256)
    frames = []
    for _ in range(10):
        host.deliver(random_frame(random, 1000), 1)
        host.deliver(random_frame(random, 60), 2)
        frames.append(random_frame(random))
        host.deliver(frames[-1], 0)
    for frame in frames:
        assert (await soon(full.recv())).data == frame
    small = random_frame(random, 480)
    host.deliver(small, 1)
    got = await soon(empty.recv())
    assert (got.data, got.buffers) == (small, 2)
    counted = await host.counted()
    assert [counted.get(f"function{n}_rx_dropped", 0) for n in range(3)] == [0, 10, 10]
    assert [counted.get(f"function{n}_rx_frames", 0) for n in range(3)] == [10, 1, 0]
    assert not empty.arrived() and not off.arrived()
    host.memory.check()


@cocotb.test()
async def test_reset_in_traffic(dut):
    """Device and function resets in the middle of traffic; the neighbour loses nothing.

    After the reset nothing may touch the memory of the function: every access would be one
    to memory that its driver has taken back.
    """
    host = await begin(dut, stalled=True)
    random = rng("reset")
    steady, victim, _ = host.drivers
    await host.start(steady, size=64, pairs=1)
    wanted = []

    async def traffic():
        while True:
            frame = random_frame(random)
            wanted.append(frame)
            await steady.send(frame)
            host.deliver(frame, 0)
            await soon(steady.recv())

    task = cocotb.start_soon(traffic())
    for number in range(6):
        await host.start(victim, size=64, pairs=1 + number % 2)
        for _ in range(12):
            frame = random_frame(random, random.choice((60, 1500, 9000)))
            victim.put(frame, cut=cuts(random, len(frame)))
            host.deliver(random_frame(random), 1)
        await victim.transmit[0].kick()
        await ClockCycles(dut.clk, random.randrange(600))
        await (victim.stop() if number % 2 else victim.function_reset())
    task.cancel()
    await host.settle(3000)
    seen = [frame.data for frame in host.tx.take() if frame.meta.function == 0 and not frame.error]
    assert seen == wanted[: len(seen)] and len(seen) >= len(wanted) - 1
    await host.start(victim, size=64, pairs=1)
    victim.arrived()
    host.tx.take()
    await exchange(host, victim, 1, 3, random=random)
    host.memory.check()

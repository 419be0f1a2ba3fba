"""How fast the virtio network device is by itself: frames a second each way, and latency.

Host memory answers after 600 ns and at no limited rate, so that what is measured is the
device: its limit is one beat a cycle, 4 Gb/s at 62.5 MHz. Figures are simulated.
"""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotb.utils import get_sim_time

from niter.virtio.net import VirtioNet
from sim.harness import Bench, record, rng
from sim.virtio.host import Host, random_frame

BENCH = Bench(dut=lambda: VirtioNet(functions=1, pairs=1), tier="bench", clock_ns=16)

LENGTHS = (60, 128, 256, 512, 1024, 1514, 9000)
_LIMIT = 4.0

#: What the smallest frames leave on one Ethernet port at 1 Gb/s: 672 ns.
_SMALL_FRAME_CYCLES = 42


async def begin(dut) -> Host:
    """Reset the device under test and start its driver."""
    await BENCH.start(dut)
    host = Host(BENCH, dut)
    await ClockCycles(dut.clk, 300)
    return host


def cycles_between(start_ns: float, end_ns: float) -> int:
    """Cycles of the bench's clock in a span of time."""
    return round((end_ns - start_ns) / BENCH.clock_ns)


@cocotb.test()
async def test_transmit_rate(dut):
    """Frames in one segment each, all in the ring when the doorbell rings."""
    host = await begin(dut)
    (driver,) = host.drivers
    await host.start(driver, buffers=0)
    random = rng("transmit")
    for length in LENGTHS:
        frames = [random_frame(random, length) for _ in range(16 if length > 2000 else 64)]
        for frame in frames:
            driver.put(frame)
        await driver.transmit[0].kick()
        assert (await with_timeout(host.tx.recv(), 100, "us")).data == frames[0]
        start = get_sim_time("ns")
        for frame in frames[1:]:
            assert (await with_timeout(host.tx.recv(), 100, "us")).data == frame
        cycles = cycles_between(start, get_sim_time("ns"))
        moved = length * (len(frames) - 1)
        record(
            f"virtio_net_tx_{length}",
            frames=len(frames) - 1,
            bytes=moved,
            cycles=cycles,
            limit=_LIMIT,
        )
        await driver.flush()


@cocotb.test()
async def test_receive_rate(dut):
    """Back to back from 512 bytes up, below at 1.5 million frames a second, without a loss."""
    host = await begin(dut)
    (driver,) = host.drivers
    await host.start(driver, buffer_bytes=2048)
    random = rng("receive")
    for length in LENGTHS:
        count = 16 if length > 2000 else 96
        await host.counted()
        start = get_sim_time("ns")
        for _ in range(count):
            host.deliver(random_frame(random, length), 0)
            if length < 512:
                await ClockCycles(dut.clk, _SMALL_FRAME_CYCLES)
        await host.rx.idle()
        cycles = cycles_between(start, get_sim_time("ns"))
        await host.settle(2000)
        counted = await host.counted()
        assert counted == {"function0_rx_frames": count, "function0_rx_bytes": count * length}
        record(
            f"virtio_net_rx_{length}",
            frames=count,
            bytes=count * length,
            cycles=cycles,
            limit=_LIMIT,
        )
        driver.arrived()


@cocotb.test()
async def test_latency(dut):
    """From the doorbell to the first beat of a 60-byte frame, the host's reads included."""
    host = await begin(dut)
    (driver,) = host.drivers
    await host.start(driver, buffers=0)
    frame = random_frame(rng("latency"), 60)
    latencies = []
    for _ in range(8):
        driver.put(frame)
        await driver.transmit[0].kick()
        start = get_sim_time("ns")
        await RisingEdge(dut.tx__valid)
        latencies.append(get_sim_time("ns") - start)
        await host.settle(300)
        await driver.flush()
    record("virtio_net_tx_latency", value=max(latencies), unit="ns", frames=8)

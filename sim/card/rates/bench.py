"""How fast the card is: simulated rates and latency, each beside what its links permit."""

from collections.abc import Iterable

import cocotb
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time

from sim.card.testbench import CORE_NS, Peer, Tenant, Testbench, jumbo_card
from sim.harness import Bench, record, rng
from sim.models import limits

BENCH = Bench(dut=jumbo_card, tier="bench", timeout_s=3600)

#: Outer Ethernet, IPv4, UDP and VXLAN headers.
TUNNEL_BYTES = 14 + 20 + 8 + 8
#: The tenant that works, and an idle one; behind each port a peer with one station.
TENANT = Tenant("02:00:00:00:00:01", 0x123456, ("10.0.0.1",))
IDLE = Tenant("02:00:00:00:00:04", 0x77, ("10.0.0.4",))
PEERS = [
    Peer("198.51.100.2", "02:bb:00:00:00:02", port=0, stations=("02:00:00:00:00:02",)),
    Peer("198.51.100.3", "02:bb:00:00:00:03", port=1, stations=("02:00:00:00:00:03",)),
]
SIZES = (64, 128, 256, 512, 1024, 1500, 9000)
#: Of the host's memory, beyond the lane's own time.
LATENCY_NS = 300.0
#: After which nothing more comes: longer than the card and the lane ever hold a frame.
SILENCE_NS = 100_000


def frame_of(size: int, destination: str, source: str, number: int) -> bytes:
    """A frame of an EtherType that nothing on the card looks into."""
    head = bytes.fromhex((destination + source).replace(":", "")) + b"\x88\xb5"
    return head + number.to_bytes(4, "big") + rng("frame", number).randbytes(size - 18)


def gigabits(frames_per_second: float, size: int) -> float:
    """A rate of frames as Gb/s of the tenant's bytes."""
    return frames_per_second * size * 8 / 1e9


def measure(name: str, size: int, times: list[float], limit: limits.Limit, ports: int) -> None:
    """Record a rate from the times at which frames passed, the first ones left out."""
    times = sorted(times)[len(times) // 8 :]
    cycles = round((times[-1] - times[0]) / CORE_NS)
    wire = ports * limits.ethernet_frames_per_second(size + TUNNEL_BYTES)
    record(
        f"{name}_{size}",
        frames=len(times) - 1,
        bytes=(len(times) - 1) * size,
        cycles=cycles,
        limit=gigabits(min(limit.frames_per_second, wire), size),
        gts=limit.gts,
    )


async def launch(dut, gts: float) -> Testbench:
    """The card on a lane of that rate, its driver with single-buffer rings."""
    return await Testbench.start(
        BENCH,
        dut,
        tenants=[TENANT, IDLE],
        peers=PEERS,
        generation=1 if gts == 2.5 else 2,
        latency_ns=LATENCY_NS,
        drivers={"buffer_bytes": 9216, "buffers": 128},
    )


async def all_sent(bench: Testbench) -> None:
    """Wait until the peers have sent what they were given."""
    for wire in bench.wires:
        await wire.idle()


def counts(size: int) -> int:
    """Frames to measure with: fewer of the long ones."""
    return max(32, min(192, 192_000 // size))


async def transmit_rates(dut, gts: float, sizes: Iterable[int] = SIZES) -> None:
    """The driver keeps its queues full; frames are timed as they begin on the wire."""
    bench = await launch(dut, gts)
    driver = bench.drivers[0]
    for size in sizes:
        count = counts(size)
        times: list[float] = []

        async def watch(wire, times=times):
            while True:
                await wire.recv()
                times.append(wire.sfd_ns)

        watchers = [cocotb.start_soon(watch(wire)) for wire in bench.wires]
        for number in range(count):
            station = PEERS[number % len(PEERS)].stations[0]
            driver.put(frame_of(size, station, TENANT.address, number))
        await driver.transmit[0].kick()
        while len(times) < count:
            await Timer(2, "us")
        for watcher in watchers:
            watcher.cancel()
        await driver.flush()
        measure("virtio_tx_split", size, times, limits.virtio_split_tx(size, gts), len(PEERS))
    bench.memory.check()


async def receive_rates(dut, gts: float, sizes: Iterable[int] = SIZES) -> None:
    """Peers send at the rate of their wires; frames are timed as the driver gets them."""
    bench = await launch(dut, gts)
    driver = bench.drivers[0]
    for size in sizes:
        count = counts(size)
        for number in range(count):
            peer = PEERS[number % len(PEERS)]
            frame = frame_of(size, TENANT.address, peer.stations[0], number)
            await bench.wires[peer.port].send(bench.tunnelled(frame, TENANT.vni, peer))
        times: list[float] = []
        sending = cocotb.start_soon(all_sent(bench))
        last = get_sim_time("ns")
        # What the lane cannot carry is dropped: the end is when nothing comes any more.
        while not sending.done() or get_sim_time("ns") - last < SILENCE_NS:
            await Timer(1, "us")
            if arrived := driver.arrived():
                last = get_sim_time("ns")
                times += [last] * len(arrived)
        measure("virtio_rx_split", size, times, limits.virtio_split_rx(size, gts), len(PEERS))
    bench.memory.check()


async def latency(dut, gts: float) -> None:
    """From the doorbell's arrival to the first octet on GMII, less the time the host takes.

    The host's time is that in which the card has a read outstanding at it: four reads follow
    each other, for the index, the entry, the descriptor and the frame.
    """
    bench = await launch(dut, gts)
    driver = bench.drivers[0]
    station = PEERS[0].stations[0]
    worst = 0.0
    # The card fetches the receive buffers of all queues first.
    await bench.quiet(200)
    for number in range(8):
        events: list[tuple[float, str]] = []

        def noting(names, events=events):
            def note(packet, time_ns):
                if kind := names.get(packet[0] & 0x5F):
                    events.append((time_ns, kind))

            return note

        bench.root.link.watch(
            received=noting({0x40: "doorbell", 0x4A: "answer"}),
            sent=noting({0x00: "read", 0x20: "read"}),
        )
        await driver.send(frame_of(64, station, TENANT.address, number))
        await bench.wires[0].recv()
        begin = next(at for at, kind in events if kind == "doorbell")
        # Eight octets of preamble stand before what the sink has timed.
        end = bench.wires[0].sfd_ns - 8 * 8
        host, outstanding, since = 0.0, 0, 0.0
        for at, kind in events:
            if not begin <= at <= end:
                continue
            if kind == "read":
                since = since if outstanding else at
                outstanding += 1
            elif kind == "answer" and outstanding:
                outstanding -= 1
                host += 0.0 if outstanding else at - since
        worst = max(worst, end - begin - host)
        bench.root.link.watch()
        await driver.flush()
    record("virtio_tx_latency_64", value=worst / 1000, unit="us", limit=2.5, gts=gts)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def transmit_at_2_5_gts(dut):
    await transmit_rates(dut, 2.5)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def transmit_at_5_gts(dut):
    await transmit_rates(dut, 5.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def receive_at_2_5_gts(dut):
    await receive_rates(dut, 2.5)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def receive_at_5_gts(dut):
    await receive_rates(dut, 5.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def latency_at_2_5_gts(dut):
    await latency(dut, 2.5)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def latency_at_5_gts(dut):
    await latency(dut, 5.0)

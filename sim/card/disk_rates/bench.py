"""How fast the storage card is: simulated rates and latency, each beside what its links permit."""

from dataclasses import dataclass

import cocotb
from cocotb.triggers import Event
from cocotb.utils import get_sim_time

from sim.card.disks import Testbench, storage_card
from sim.card.testbench import CORE_NS
from sim.harness import Bench, record, rng
from sim.models import limits
from sim.models.nvme.prp import Buffer
from sim.models.nvme.specification import Io
from sim.models.slot import Observer

BENCH = Bench(dut=storage_card, tier="bench", timeout_s=3600)

DEPTH = 32
#: Of a target, and of the host's memory beyond the lane's own time.
SERVICE_US, LATENCY_NS = 20.0, 300.0
#: Ethernet, AoE and ATA headers; preamble and start delimiter, and FCS.
HEADER_BYTES, AROUND_BYTES = 14 + 10 + 12, 8 + 4
OCTET_NS = 8
GENERATIONS = {2.5: 1, 5.0: 2}
#: What the card must reach of what its links permit, by size; what a read may take beyond them.
LEAST = {4096: 0.8, 512: 0.6}
MOST_OWN_US = 4.0


async def launch(dut, gts: float, controllers: int = 1) -> Testbench:
    """The card with a pair of queues for each controller that is in use."""
    bench = await Testbench.start(
        BENCH, dut, generation=GENERATIONS[gts], service_us=SERVICE_US, latency_ns=LATENCY_NS
    )
    for driver in bench.drivers[:controllers]:
        await driver.start(queues=1, entries=2 * DEPTH)
    return bench


async def keep_busy(bench: Testbench, number: int, opcode: Io, size: int, depth: int, count: int):
    """Keep ``depth`` commands outstanding at a controller; returns when each has ended."""
    driver, random = bench.drivers[number], rng(opcode.name, size, number)
    blocks = size // 512
    buffers = [Buffer(bench.memory, size) for _ in range(depth)]
    for buffer in buffers:
        buffer.write(random.randbytes(size))
        buffer.grant(readable=opcode == Io.WRITE, writable=opcode == Io.READ)
    free, times, arrived = list(range(depth)), [], Event()

    def ended(command, place):
        assert command.completion.status == 0, hex(command.completion.status)
        times.append(get_sim_time("ns"))
        free.append(place)
        arrived.set()

    for _ in range(count):
        while not free:
            arrived.clear()
            await arrived.wait()
        place = free.pop(0)
        await driver.submit_io(
            *(opcode, 1, blocks * random.randrange(bench.LENGTH // blocks), blocks),
            prp=buffers[place].prp,
            then=lambda command, place=place: ended(command, place),
        )
    while len(times) < count:
        arrived.clear()
        await arrived.wait()
    for buffer in buffers:
        buffer.free()
    return times


async def rate(dut, gts: float, opcode: Io, size: int, count: int, controllers: int = 1) -> None:
    """``DEPTH`` commands are outstanding, shared out to the controllers; they are timed as the
    drivers take completions."""
    bench = await launch(dut, gts, controllers)
    tasks = [
        cocotb.start_soon(
            keep_busy(bench, number, opcode, size, DEPTH // controllers, count // controllers)
        )
        for number in range(controllers)
    ]
    times = sorted([time for task in tasks for time in await task])
    # The first ones find everything idle, and at the end not all are busy.
    times = times[DEPTH : len(times) - DEPTH // 2]
    seconds = (times[-1] - times[0]) / 1e9
    permitted = (limits.nvme_read if opcode == Io.READ else limits.nvme_write)(size, gts)
    wire = limits.ethernet_frames_per_second(HEADER_BYTES + size)
    row = record(
        f"nvme_{opcode.name.lower()}_{size}_qd{DEPTH}"
        + (f"_{controllers}_controllers" if controllers > 1 else ""),
        frames=len(times) - 1,
        cycles=round(seconds * 1e9 / CORE_NS),
        value=(len(times) - 1) / seconds / 1000,
        unit="kIOPS",
        limit=min(permitted.frames_per_second, wire) / 1000,
        gts=gts,
    )
    bench.finish()
    assert row.value >= LEAST[size] * row.limit, row


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(gts=list(GENERATIONS), opcode=[Io.READ, Io.WRITE])
async def pages(dut, gts, opcode):
    await rate(dut, gts, opcode, 4096, 128)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(gts=list(GENERATIONS), controllers=[1, 2])
async def sectors(dut, gts, controllers):
    """A second controller, which has a volume of its own, must cost nothing."""
    await rate(dut, gts, Io.READ, 512, 384, controllers)


@dataclass(frozen=True)
class Passed:
    """A TLP that was handed over at the card's edge, and the bytes that it is on the lane."""

    end_ns: float
    size: int


def noting(to: list[Passed]) -> Observer:
    """Adds each TLP that passes."""
    return lambda packet, time_ns: to.append(Passed(time_ns, limits.FRAMING + len(packet)))


def own_share(
    received: list[Passed], sent: list[Passed], frame_ns: float, answer_ns: float, gts: float
) -> dict[str, float]:
    """Nanoseconds that the card takes for a read beyond what its surroundings do.

    Parameters
    ----------
    received, sent
        The doorbell is the last TLP before the card's read of the entry, and the entry comes
        next; after the answer the card sends data, completion entry and interrupt.
    frame_ns, answer_ns
        Beginning of the request's frame, end of the answer's.
    gts
        Of the lane. A TLP begins on it when it was handed over and the one before has passed;
        the time that all of them take there is not the card's.
    """
    read = sent[0]
    doorbell = max(tlp.end_ns for tlp in received if tlp.end_ns < read.end_ns)
    entry = min(tlp.end_ns for tlp in received if tlp.end_ns > read.end_ns)
    now, lane = answer_ns, 0.0
    for tlp in sent:
        if tlp.end_ns > answer_ns:
            takes = tlp.size / limits.lane_bytes_per_second(gts) * 1e9
            now, lane = max(now, tlp.end_ns) + takes, lane + takes
    return {
        "fetch": read.end_ns - doorbell,
        "send": frame_ns - entry,
        "finish": now - answer_ns - lane,
    }


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(gts=list(GENERATIONS))
async def latency(dut, gts):
    """A read of a sector with nothing else under way: all of it, and what of it is the card's."""
    bench = await launch(dut, gts)
    driver, size = bench.drivers[0], 512
    worst, worst_own = 0.0, {}
    for number in range(8):
        received: list[Passed] = []
        sent: list[Passed] = []
        bench.root.link.watch(noting(received), noting(sent))
        buffer = Buffer(bench.memory, size)
        buffer.grant(writable=True)
        begin = get_sim_time("ns")
        command = await driver.submit_io(Io.READ, 1, 8 * number, 1, prp=buffer.prp)
        await command.result()
        worst = max(worst, get_sim_time("ns") - begin - SERVICE_US * 1000)
        bench.root.link.watch()
        octets = HEADER_BYTES + size + AROUND_BYTES
        own = own_share(
            received,
            sent,
            bench.wire.sfd_ns - 8 * OCTET_NS,
            bench.answered_ns + octets * OCTET_NS,
            gts,
        )
        dut._log.info("own share in ns: %s", own)
        if sum(own.values()) > sum(worst_own.values()):
            worst_own = own
        buffer.free()
    record(f"nvme_read_latency_{size}", value=worst / 1000, unit="us", gts=gts)
    own_us = sum(worst_own.values()) / 1000
    record(f"nvme_read_own_{size}", value=own_us, unit="us", limit=MOST_OWN_US, gts=gts)
    bench.finish()

"""How fast the storage card is: simulated rates and latency, each beside what its links permit."""

import cocotb
from cocotb.triggers import Event
from cocotb.utils import get_sim_time

from sim.card.disks import Testbench, storage_card
from sim.card.testbench import CORE_NS
from sim.harness import Bench, record, rng
from sim.models import limits
from sim.models.nvme.prp import Buffer
from sim.models.nvme.specification import Io

BENCH = Bench(dut=storage_card, tier="bench", timeout_s=3600)

DEPTH = 32
#: Of a target, and of the host's memory beyond the lane's own time.
SERVICE_US, LATENCY_NS = 20.0, 300.0
#: Ethernet, AoE and ATA headers.
HEADER_BYTES = 14 + 10 + 12
GTS = 2.5


async def launch(dut) -> Testbench:
    """The card with one controller in use, and one pair of queues."""
    bench = await Testbench.start(BENCH, dut, service_us=SERVICE_US, latency_ns=LATENCY_NS)
    await bench.drivers[0].start(queues=1, entries=2 * DEPTH)
    return bench


async def rate(bench: Testbench, opcode: Io, size: int, count: int) -> None:
    """Keep ``DEPTH`` commands outstanding; they are timed as the driver takes completions."""
    driver, random = bench.drivers[0], rng(opcode.name, size)
    blocks = size // 512
    buffers = [Buffer(bench.memory, size) for _ in range(DEPTH)]
    for buffer in buffers:
        buffer.write(random.randbytes(size))
        buffer.grant(readable=opcode == Io.WRITE, writable=opcode == Io.READ)
    free, times, arrived = list(range(DEPTH)), [], Event()

    def ended(command, number):
        assert command.completion.status == 0, hex(command.completion.status)
        times.append(get_sim_time("ns"))
        free.append(number)
        arrived.set()

    for _ in range(count):
        while not free:
            arrived.clear()
            await arrived.wait()
        number = free.pop(0)
        await driver.submit_io(
            *(opcode, 1, blocks * random.randrange(bench.LENGTH // blocks), blocks),
            prp=buffers[number].prp,
            then=lambda command, number=number: ended(command, number),
        )
    while len(times) < count:
        arrived.clear()
        await arrived.wait()
    for buffer in buffers:
        buffer.free()
    # The first ones find everything idle.
    times = sorted(times)[DEPTH:]
    seconds = (times[-1] - times[0]) / 1e9
    permitted = (limits.nvme_read if opcode == Io.READ else limits.nvme_write)(size, GTS)
    wire = limits.ethernet_frames_per_second(HEADER_BYTES + size)
    record(
        f"nvme_{opcode.name.lower()}_{size}_qd{DEPTH}",
        frames=len(times) - 1,
        cycles=round(seconds * 1e9 / CORE_NS),
        value=(len(times) - 1) / seconds / 1000,
        unit="kIOPS",
        limit=min(permitted.frames_per_second, wire) / 1000,
        gts=GTS,
    )


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def reads_of_a_page(dut):
    bench = await launch(dut)
    await rate(bench, Io.READ, 4096, 192)
    bench.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def writes_of_a_page(dut):
    bench = await launch(dut)
    await rate(bench, Io.WRITE, 4096, 192)
    bench.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def reads_of_a_sector(dut):
    bench = await launch(dut)
    await rate(bench, Io.READ, 512, 384)
    bench.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def latency(dut):
    """From ringing the doorbell to the driver's taking the completion, less the target's time."""
    bench = await launch(dut)
    driver = bench.drivers[0]
    for opcode, size in ((Io.READ, 512), (Io.READ, 4096), (Io.WRITE, 4096)):
        worst = 0.0
        for number in range(8):
            buffer = Buffer(bench.memory, size)
            buffer.grant(readable=True, writable=True)
            begin = get_sim_time("us")
            command = await driver.submit_io(opcode, 1, 8 * number, size // 512, prp=buffer.prp)
            await command.result()
            worst = max(worst, get_sim_time("us") - begin - SERVICE_US)
            buffer.free()
        record(f"nvme_{opcode.name.lower()}_latency_{size}", value=worst, unit="us", gts=GTS)
    bench.finish()

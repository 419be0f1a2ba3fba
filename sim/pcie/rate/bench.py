"""What DMA makes of the link."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from sim.harness import Bench, record
from sim.models.limits import completion_bytes, lane_bytes_per_second, write_bytes
from sim.pcie.dma.rig import CLOCK_NS, Setup, layer

BENCH = Bench(dut=layer, clock_ns=CLOCK_NS, tier="bench")


@cocotb.test()
@cocotb.parametrize(generation=[1, 2])
async def throughput(dut, generation):
    """Reads and writes of one port against what the lane permits."""
    setup = await Setup.make(BENCH, dut, generation=generation, latency_ns=1000)
    gts = 2.5 * generation
    for length in (64, 128, 1500, 4096):
        count = 24_000 // length
        for name, cost in (("read", completion_bytes), ("write", write_bytes)):
            setup.sent.clear()
            start = get_sim_time("ns")
            address, content = setup.memory.filled(length, align=128, high=True)
            for _ in range(count):
                if name == "read":
                    setup.readers[2].issue(address, length)
                else:
                    setup.writers[2].write(address, content)
            if name == "read":
                for _ in range(count):
                    assert (await setup.readers[2].answer()).data == content
            else:
                await setup.writers[2].idle()
                while sum(tlp.get_payload_size() for tlp in setup.sent) < count * length:
                    await ClockCycles(dut.clk, 10)
            elapsed = get_sim_time("ns") - start
            record(
                f"dma_{name}_{length}",
                frames=count,
                bytes=count * length,
                cycles=round(elapsed / CLOCK_NS),
                limit=lane_bytes_per_second(gts) * length / cost(length) * 8 / 1e9,
                gts=gts,
            )

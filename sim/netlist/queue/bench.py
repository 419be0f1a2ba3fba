"""The queue engine's bench, on cells."""

from sim.harness import Bench
from sim.virtio.queue import bench
from sim.virtio.queue.bench import *  # noqa: F403

BENCH = Bench(dut=bench.BENCH.dut, tier="slow", timeout_s=3600, mapped=True)

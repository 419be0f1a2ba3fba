"""The queue engine's bench, on cells."""

from niter.virtio.queue import QueueEngine
from sim.harness import Bench
from sim.virtio.queue.bench import *  # noqa: F403

BENCH = Bench(dut=lambda: QueueEngine(functions=4), tier="slow", timeout_s=3600, mapped=True)

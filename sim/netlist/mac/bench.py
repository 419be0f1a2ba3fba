"""The MAC's bench, on cells."""

from niter.net.mac import Mac
from sim.harness import Bench
from sim.net.mac.bench import *  # noqa: F403

BENCH = Bench(
    dut={"standard": lambda: Mac(port=1, frame_bytes=2000)},
    tier="slow",
    timeout_s=1800,
    mapped=True,
)

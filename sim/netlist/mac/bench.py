"""The MAC's bench, on cells."""

from sim.harness import Bench
from sim.net.mac import bench
from sim.net.mac.bench import *  # noqa: F403

# Its tests ask that bench for the component: it must be the same one.
BENCH = Bench(
    dut={"standard": bench.BENCH.variants["standard"]},
    tier="slow",
    timeout_s=1800,
    mapped=True,
)

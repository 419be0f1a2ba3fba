"""The stream room's bench, on cells."""

from sim.harness import Bench
from sim.stream.packets.bench import Row, keeps_what_is_good

__all__ = ["BENCH", "keeps_what_is_good"]

BENCH = Bench(dut=Row, tier="slow", mapped=True)

"""Finds, builds and runs the benches; ``python -m sim.harness --help``.

A bench is a file ``sim/<room>/<dut>/bench.py`` with a ``BENCH = Bench(...)`` and any number
of ``@cocotb.test()`` coroutines. What those may use stands here; the rest of the package is
the runner's.
"""

from .capture import Capture
from .context import parameter, record, rng, seed, variant
from .declaration import Bench
from .discovery import BUILD

__all__ = ["BUILD", "Bench", "Capture", "parameter", "record", "rng", "seed", "variant"]

"""What a running test is told, and what it tells back.

The runner and the simulation are two processes; environment variables and one file of JSON
lines lie between them. Outside a run the defaults hold, so that a bench can be imported.
"""

import json
import os
import random
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Record", "environment", "parameter", "read_records", "record", "rng", "seed", "variant"]


@dataclass(frozen=True)
class Record:
    """A measured row; see ``record`` for its fields."""

    name: str
    value: float
    unit: str
    limit: float | None
    frames: int
    bytes: int
    cycles: int
    clock_mhz: float
    gts: float | None

    @property
    def of_limit(self) -> float | None:
        """``value`` as a part of ``limit``."""
        return self.value / self.limit if self.limit else None


def environment(
    *, variant: str, seed: int, clock_ns: float, parameters: dict[str, str], records: Path
) -> dict[str, str]:
    """What the runner sets for a simulation."""
    return {
        "NITER_VARIANT": variant,
        "NITER_SEED": str(seed),
        "NITER_CLOCK_NS": str(clock_ns),
        "NITER_PARAMETERS": json.dumps(parameters),
        "NITER_RECORDS": str(records),
    }


def variant() -> str:
    """Name of the variant under test."""
    return os.environ.get("NITER_VARIANT", "")


def seed() -> int:
    """The run's seed; the report of a failure names it."""
    return int(os.environ.get("NITER_SEED", "1"))


def rng(*names: str | int) -> random.Random:
    """A generator of its own for each use, so that adding one does not disturb another.

    Parameters
    ----------
    names
        Tell uses apart: ``rng("tx", "stalls")``.
    """
    return random.Random(":".join(map(str, (seed(), *names))))


def parameter(name: str, default: str) -> str:
    """A value given to the runner as ``-p name=value``."""
    return json.loads(os.environ.get("NITER_PARAMETERS", "{}")).get(name, default)


def record(
    name: str,
    *,
    frames: int = 0,
    bytes: int = 0,
    cycles: int = 0,
    value: float | None = None,
    unit: str = "Gb/s",
    limit: float | None = None,
    gts: float | None = None,
) -> Record:
    """Report a figure of the running test; it becomes a row of the table.

    Parameters
    ----------
    name
        Of the figure, unique in the bench.
    frames, bytes, cycles
        What was moved in how many cycles of ``clk``.
    value, unit
        The figure; by default the rate of ``bytes`` at the bench's clock in Gb/s.
    limit
        What the link permits, in the same unit.
    gts
        Rate of the PCIe lane that was modelled, in GT/s.
    """
    clock_ns = float(os.environ.get("NITER_CLOCK_NS", "16"))
    if value is None:
        value = bytes * 8 / (cycles * clock_ns) if cycles else 0.0
    row = Record(name, value, unit, limit, frames, bytes, cycles, 1e3 / clock_ns, gts)
    if path := os.environ.get("NITER_RECORDS"):
        with open(path, "a") as file:
            print(json.dumps(asdict(row)), file=file)
    return row


def read_records(path: Path) -> list[Record]:
    """What the tests of a run have reported so far."""
    if not path.exists():
        return []
    return [Record(**json.loads(line)) for line in path.read_text().splitlines()]

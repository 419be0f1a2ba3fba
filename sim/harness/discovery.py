"""Finds the benches."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .declaration import Bench, Tier

__all__ = ["BUILD", "ROOT", "Job", "bench_names", "jobs", "load"]

#: The repository.
ROOT = Path(__file__).parents[2]

#: Where runs leave what they make.
BUILD = ROOT / "build" / "sim"


@dataclass(frozen=True)
class Job:
    """One variant of one bench; ``module`` is what to import for it."""

    name: str
    module: str
    variant: str = ""
    tier: Tier = "fast"
    fuzz: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.variant}" if self.variant else self.name


def bench_names() -> list[str]:
    """Names of all benches: their folders under ``sim/``."""
    sim = ROOT / "sim"
    return sorted(path.parent.relative_to(sim).as_posix() for path in sim.glob("*/**/bench.py"))


def load(module: str) -> Bench:
    """Import a bench and return its declaration.

    Raises
    ------
    TypeError
        If the module has no ``BENCH``.
    """
    bench = getattr(importlib.import_module(module), "BENCH", None)
    if not isinstance(bench, Bench):
        raise TypeError(f"{module} has no BENCH = Bench(...)")
    return bench


def jobs(selectors: Sequence[str]) -> list[Job]:
    """The variants that selectors name: a bench, a folder of benches, or ``bench:variant``.

    No selector names them all.

    Raises
    ------
    LookupError
        If a selector names nothing.
    """
    names, chosen = bench_names(), []
    for selector in selectors or names:
        wanted, _, variant = selector.rstrip("/").partition(":")
        found = [name for name in names if name == wanted or name.startswith(f"{wanted}/")]
        some = [job for name in found for job in _variants(name) if variant in ("", job.variant)]
        if not some:
            raise LookupError(f"No bench is called {selector!r}; there are: {', '.join(names)}")
        chosen += [job for job in some if job not in chosen]
    return chosen


def _variants(name: str) -> list[Job]:
    """A bench's variants. One that cannot be imported is there, and fails when it runs."""
    module = f"sim.{name.replace('/', '.')}.bench"
    try:
        bench = load(module)
    except Exception:
        return [Job(name, module)]
    return [Job(name, module, variant, bench.tier, bench.fuzz) for variant in bench.variants]

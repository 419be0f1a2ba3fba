"""Runs one variant of one bench and says what came of it."""

import os
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from . import context
from .build import TIMESCALE, TOP, NiterVerilator, build, to_verilog, tool_environment
from .discovery import BUILD, Job, load
from .netlist import to_netlist

__all__ = ["Case", "Options", "Outcome", "execute"]


@dataclass(frozen=True)
class Options:
    """What is common to all runs of a session.

    Parameters
    ----------
    seed
        Handed to the tests.
    waves
        Write an FST file beside the log.
    parameters
        Handed to the tests; see ``sim.harness.parameter``.
    cases
        Run only tests of these names; all when empty.
    """

    seed: int = 1
    waves: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One cocotb test: ``failure`` is None when it passed."""

    name: str
    seconds: float
    cycles: int
    failure: str | None
    skipped: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Parameters
    ----------
    job
        What was run.
    folder
        Holds ``run.log``, ``results.xml`` and, if asked for, ``dump.fst``.
    cases
        The tests that ran.
    records
        What they measured.
    error
        Why the run as a whole failed, apart from its tests; None when it did not.
    seconds
        Wall time with elaboration and compilation.
    """

    job: Job
    folder: Path
    seed: int
    cases: tuple[Case, ...]
    records: tuple[context.Record, ...]
    error: str | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Every test ran and passed, and there was one."""
        return self.error is None and all(case.failure is None for case in self.cases)

    @property
    def cycles(self) -> int:
        """Cycles of ``clk`` in all tests together."""
        return sum(case.cycles for case in self.cases)

    @property
    def cycles_per_second(self) -> float:
        """Speed of the simulation itself: of the tests in which time passed."""
        seconds = sum(case.seconds for case in self.cases if case.cycles)
        return self.cycles / seconds if seconds else 0.0

    def report(self) -> str:
        """Why it failed, and how to run it again."""
        failures = [self.error] if self.error else []
        failures += [f"{case.name}: {case.failure}" for case in self.cases if case.failure]
        again = f"python -m sim.harness run {self.job} --seed {self.seed}"
        log = self.folder / "run.log"
        return "\n".join([f"{self.job}, seed {self.seed}", *failures, f"log: {log}", again])


def execute(job: Job, options: Options) -> Outcome:
    """Elaborate, build and run; never raises for what the bench does."""
    folder = BUILD / "runs" / job.name / (job.variant or "default")
    folder.mkdir(parents=True, exist_ok=True)
    results, records, log = (folder / n for n in ("results.xml", "records.jsonl", "run.log"))
    for stale in (results, records, log, folder / "dump.fst"):
        stale.unlink(missing_ok=True)
    started, error, clock_ns = time.monotonic(), None, 1.0
    try:
        bench = load(job.module)
        clock_ns = bench.clock_ns
        tool_environment()
        write = to_netlist if bench.mapped else to_verilog
        model = build(
            write(bench.variants[job.variant]()),
            BUILD / "models",
            public=bench.public,
            waves=options.waves,
        )
        environment = context.environment(
            variant=job.variant,
            seed=options.seed,
            clock_ns=clock_ns,
            parameters=options.parameters,
            records=records,
        )
        environment |= {
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "PYTHONFAULTHANDLER": "1",
            "COCOTB_ANSI_OUTPUT": "0",
        }
        runner = NiterVerilator(environment=environment, timeout_s=bench.timeout_s)
        runner.build_dir = model
        runner.test(
            test_module=job.module,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=model,
            test_dir=folder,
            testcase=options.cases or None,
            seed=options.seed,
            timescale=TIMESCALE,
            waves=options.waves,
            results_xml=str(results),
            log_file=log,
        )
    except TimeoutError as timeout:
        error = str(timeout)
    except SystemExit:
        # Cocotb's way, under pytest, to say that a test failed or none ran; the results say it.
        pass
    except Exception:
        error = traceback.format_exc(limit=-6).strip()
    cases = _cases(results, clock_ns) if results.exists() else ()
    if error is None and not any(not case.skipped for case in cases):
        error = "No test was run"
    return Outcome(
        job,
        folder,
        options.seed,
        cases,
        tuple(context.read_records(records)),
        error,
        time.monotonic() - started,
    )


def _cases(results: Path, clock_ns: float) -> tuple[Case, ...]:
    """The tests in a results file of cocotb's."""
    cases = []
    for element in ElementTree.parse(results).iter("testcase"):
        properties = {each.get("name"): each.get("value") for each in element.iter("property")}
        failure = element.find("failure")
        if failure is None:
            failure = element.find("error")
        message = None
        if failure is not None:
            message = failure.get("message") or failure.get("error_msg") or failure.text or "failed"
        cases.append(
            Case(
                name=element.get("name", ""),
                seconds=float(element.get("time", 0)),
                cycles=round(float(properties.get("sim_time_duration", 0)) / clock_ns),
                failure=message,
                skipped=element.find("skipped") is not None,
            )
        )
    return tuple(cases)

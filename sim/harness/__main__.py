"""The command line: lists and runs benches."""

import os
import secrets
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .discovery import BUILD, Job, jobs
from .execute import Options, Outcome
from .present import table, write_figures, write_junit
from .worker import execute_apart

#: A log has no width of its own; the table wants this much.
_console = Console(width=None if sys.stdout.isatty() else 132)


@click.group()
def main() -> None:
    """Benches in Verilator under cocotb."""


@main.command("list")
def list_benches() -> None:
    """Name every bench and variant."""
    for job in jobs(()):
        print(f"{job}  ({job.tier}{', fuzz' if job.fuzz else ''})")


@main.command()
@click.argument("selectors", nargs=-1, metavar="[BENCH[:VARIANT] | ROOM]...")
@click.option("--tier", "tiers", multiple=True, type=click.Choice(["fast", "slow", "bench"]))
@click.option("--seed", envvar="NITER_SEED", default=1, show_default=True, help="For the tests.")
@click.option("--wave", is_flag=True, help="Write an FST file.")
@click.option("--case", "cases", multiple=True, help="Run only the tests of this name.")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Handed to the tests.")
@click.option("--jobs", "workers", default=os.cpu_count(), show_default=True, help="Side by side.")
@click.option("--figures", type=click.Path(path_type=Path), help="Write what was measured here.")
@click.option("-v", "--verbose", is_flag=True, help="Show the logs.")
def run(
    selectors: Sequence[str],
    tiers: Sequence[str],
    seed: int,
    wave: bool,
    cases: tuple[str, ...],
    parameters: Sequence[str],
    workers: int,
    figures: Path | None,
    verbose: bool,
) -> None:
    """Run benches: the named ones, or all; ends with status 1 if any fails.

    Without --tier, named benches run whatever their tier is, and otherwise the fast ones.
    """
    wanted = tiers or (("fast", "slow", "bench") if selectors else ("fast",))
    chosen = [job for job in _select(selectors) if job.tier in wanted]
    if not chosen:
        raise click.ClickException("No bench of that tier")
    pairs = dict(each.partition("=")[::2] for each in parameters)
    options = Options(seed=seed, waves=wave, parameters=pairs, cases=cases)
    outcomes = _run_all(chosen, options, workers)
    _finish(outcomes)
    write_junit(BUILD / "results.xml", outcomes)
    if figures:
        write_figures(figures, outcomes)
        _console.print(f"Figures: {figures}")
    for outcome in outcomes:
        if verbose:
            print((outcome.folder / "run.log").read_text())
        if wave:
            fst = outcome.folder / "dump.fst"
            if fst.exists():
                print(f"Waves: {fst}\nOpen them with: surfer {fst}   (or gtkwave)")
    sys.exit(not all(outcome.passed for outcome in outcomes))


@main.command()
@click.argument("selectors", nargs=-1, metavar="[BENCH]...")
@click.option("--minutes", default=10.0, show_default=True, help="Start no run after this time.")
@click.option("--jobs", "workers", default=os.cpu_count(), show_default=True)
def soak(selectors: Sequence[str], minutes: float, workers: int) -> None:
    """Run fuzz benches again and again, each time with a fresh seed."""
    chosen = [job for job in _select(selectors) if job.fuzz]
    if not chosen:
        raise click.ClickException("No fuzz bench")
    end = time.monotonic() + 60 * minutes
    runs, failed = 0, []
    while time.monotonic() < end:
        seed = secrets.randbits(32)
        _console.print(f"Seed {seed}")
        outcomes = _run_all(chosen, Options(seed=seed), workers, end)
        runs += len(outcomes)
        for outcome in outcomes:
            if not outcome.passed:
                failed.append(outcome)
                _console.print(outcome.report(), markup=False, style="red", soft_wrap=True)
    _finish(failed)
    _console.print(f"{runs} runs in {minutes:g} minutes, {len(failed)} failed")
    sys.exit(bool(failed))


def _select(selectors: Sequence[str]) -> list[Job]:
    try:
        return jobs(selectors)
    except LookupError as error:
        raise click.ClickException(str(error)) from None


def _run_all(
    chosen: Sequence[Job], options: Options, workers: int, end: float | None = None
) -> list[Outcome]:
    """Run jobs side by side, at the time ``end`` at the latest, in the order of ``chosen``."""
    outcomes = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, TimeElapsedColumn(), console=_console) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        task = progress.add_task(f"{len(chosen)} runs, seed {options.seed}", total=len(chosen))
        futures = {pool.submit(execute_apart, job, options): job for job in chosen}
        for future in as_completed(futures):
            job = futures[future]
            if future.cancelled():
                continue
            outcomes[job] = outcome = future.result()
            verdict = "[green]pass[/]" if outcome.passed else "[red]FAIL[/]"
            progress.console.print(f"{verdict} {job}  {outcome.seconds:.1f} s")
            progress.advance(task)
            if end is not None and time.monotonic() > end:
                for waiting in futures:
                    waiting.cancel()
    return [outcomes[job] for job in chosen if job in outcomes]


def _finish(outcomes: Sequence[Outcome]) -> None:
    if outcomes:
        _console.print(table(outcomes))
    for outcome in outcomes:
        if not outcome.passed:
            _console.print(outcome.report(), markup=False, style="red", soft_wrap=True)


if __name__ == "__main__":
    main()

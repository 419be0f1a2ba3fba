"""niter-sim: starts a card as a process, shows what it does, and asks it about its registers."""

import dataclasses
import os
import random
import sys
import time
import warnings
from pathlib import Path

import click
from amaranth.hdl import UnusedElaboratable
from rich.console import Console
from rich.live import Live
from rich.table import Table

from sim.live import managed
from sim.live.books import SoakError
from sim.live.card import CardError, ControlSocket, RunningCard
from sim.live.config import ConfigError, LiveConfig, load
from sim.live.model import BuildError, build_card
from sim.live.soak import Soak
from sim.live.station import Station

_TOP = Path(__file__).parents[2]
_MODELS = _TOP / "build/live/models"
_console = Console()
_config = click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/live/card"),
    show_default=True,
    help="For sockets, captures and the log.",
)


@click.group()
def main() -> None:
    """The verilated card as a process, with a host on one side and wires on the other."""
    # Of cards whose registers are asked for, and nothing else.
    warnings.simplefilter("ignore", UnusedElaboratable)


@main.command()
@_config
@_folder
@click.option("--seed", type=int, help="In place of the configuration's.")
@click.option(
    "--wave",
    nargs=2,
    type=int,
    metavar="FIRST COUNT",
    help="Write waves of these core cycles to card.fst; builds another model.",
)
@click.option("--seconds", type=float, help="Stop after this time; until interrupted otherwise.")
def run(
    config: Path,
    folder: Path,
    seed: int | None,
    wave: tuple[int, int] | None,
    seconds: float | None,
) -> None:
    """Build the card of a configuration file, start and open it, and show its counters."""
    live = _load(config)
    arguments = ["--seed", str(seed)] if seed is not None else []
    if wave:
        arguments += ["--wave", f"{folder / 'card.fst'},{wave[0]},{wave[1]}"]
    flash = None
    try:
        with _console.status("Building the card; minutes the first time"):
            if live.card.soc:
                live, flash = managed.deliver(live, folder)
            program = build_card(live.card, _MODELS, waves=bool(wave))
        with (
            _console.status("Starting the card") as shown,
            RunningCard(program, live, folder, arguments=arguments, flash=flash) as card,
        ):
            shown.stop()
            for number, path in enumerate(card.sockets):
                _console.print(f"function {number}: vfio-user socket {path}", highlight=False)
            _console.print(f"control socket {folder / 'control.sock'}", highlight=False)
            _watch(card, seconds)
    except (BuildError, CardError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@_config
@_folder
def counters(config: Path, folder: Path) -> None:
    """Print every counter of a running card that is not zero."""
    import asyncio

    live = _load(config)
    try:
        control = ControlSocket(folder / "control.sock", live.card)
    except OSError as error:
        raise click.ClickException(f"No card runs in {folder}: {error}") from None
    for path in control.banks():
        for name, value in asyncio.run(control.counters(path)).items():
            if value:
                print(f"{path}.{name} {value}")
    control.close()


@main.command()
@_config
@click.option("--waves", is_flag=True, help="Able to write waves.")
def build(config: Path, waves: bool) -> None:
    """Build the card of a configuration file, and print the program's path."""
    try:
        print(build_card(_load(config).card, _MODELS, waves=waves))
    except BuildError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@_config
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--cycles", type=int, help="End sooner, after so many core cycles.")
@click.option("--seed", type=int, help="Of all rounds; drawn and printed otherwise.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/live/soak"),
    show_default=True,
    help="For sockets, captures and the log.",
)
def soak(config: Path, minutes: float, cycles: int | None, seed: int | None, folder: Path) -> None:
    """Random traffic, resets and faults; each round ends with a balance of all frames.

    An interrupt ends it as the time does: with totals, of the rounds that were finished.
    """
    seed = random.randrange(1 << 32) if seed is None else seed
    live = _load(config)
    folder.mkdir(parents=True, exist_ok=True)
    station = Station(live, folder.resolve())
    host = dataclasses.replace(live.host, seed=seed)
    live = dataclasses.replace(live, host=host, wires=(station.wire,))
    print(f"seed {seed}", flush=True)
    try:
        program = build_card(live.card, _MODELS)
        with RunningCard(program, live, folder.resolve(), capture=False) as card:
            play = Soak(card, station, seed)
            _play(card, play, time.monotonic() + 60 * minutes, cycles)
            play.close()
    except (BuildError, CardError, SoakError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        station.close()


def _play(card: RunningCard, play: Soak, end: float, cycles: int | None) -> None:
    """Rounds until a limit or an interrupt, and what they came to."""
    rounds, totals, status = 0, play.totals.copy(), card.control.status()
    try:
        while time.monotonic() < end and (not cycles or status["cycles"] < cycles):
            play.round()
            rounds, totals, status = play.rounds, play.totals.copy(), card.control.status()
            if rounds % 20 == 1:
                print(f"round {rounds}: {status['cycles']:,} cycles", flush=True)
    except KeyboardInterrupt:
        print(f"interrupted in round {play.rounds}")
    print(f"{rounds} rounds, {status['cycles']:,} core cycles in")
    text = ", ".join(f"{count:,} {name}" for name, count in sorted(totals.items()))
    print(f"{status['seconds']:.0f} s of processor time; {text}")


def entry() -> None:
    """The command of the virtual environment: as ``sim/live/niter-sim``, with its settings."""
    os.execv(_TOP / "sim/live/niter-sim", ["niter-sim", *sys.argv[1:]])


def _load(path: Path) -> LiveConfig:
    try:
        return load(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _watch(card: RunningCard, seconds: float | None) -> None:
    """Show counters until the card or the user stops."""
    end = time.monotonic() + seconds if seconds else None
    before = card.control.status()
    with Live(console=_console, auto_refresh=False) as live:
        try:
            while card.process.poll() is None and (end is None or time.monotonic() < end):
                time.sleep(1)
                now = card.control.status()
                live.update(_table(before, now), refresh=True)
                before = now
        except KeyboardInterrupt:
            _console.print("Stopping")
    if card.process.poll():
        raise click.ClickException(f"The card has ended:\n{card.log.read_text()}")


def _table(before: dict, now: dict) -> Table:
    """What happened since the last look."""
    table = Table("", "", box=None, show_header=False)
    cycles, spent = (now[name] - before[name] for name in ("cycles", "seconds"))
    speed = f"{cycles / spent / 1000:,.0f}k cycles/s while busy" if cycles else "at rest"
    table.add_row("clock", f"{now['cycles']:,} cycles, {speed}")
    names = ("reads", "writes", "refused", "violations", "timeouts")
    table.add_row("PCIe", ", ".join(f"{now[name]:,} {name}" for name in names))
    for kind in ("functions", "ports"):
        for number, values in enumerate(now[kind]):
            text = ", ".join(f"{value} {name}" for name, value in values.items())
            table.add_row(f"{kind[:-1]} {number}", text)
    return table


if __name__ == "__main__":
    sys.exit(main())

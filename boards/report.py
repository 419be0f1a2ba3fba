"""What the rooms cost: ``python -m boards.report [ROOM | MODULE:EXPRESSION]``.

Without an argument every room of the ledger is synthesised and set beside its limits. With
one, that room alone is also placed and routed on the ledger's device: then COMB is nextpnr's
own count, and the clock that it reaches is known. Any component can be measured like that:
``python -m boards.report 'niter.stream:Checksum()'``.

The figures stay in ``build/report/<room>/report.json``. The status is 1 when a tool fails,
drops a constraint or misses it.
"""

import json
import os
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import click
from amaranth.back import rtlil
from amaranth.hdl import UnusedElaboratable
from rich.console import Console
from rich.table import Table

from .elaboration import uncollected
from .rooms import CARDS, ROOMS, Room, find
from .shell import Shell
from .synthesis import Area, Hop, ToolError, Usage, end_with_tools, place, synthesise, usage

_ROOT = Path(__file__).parents[1]
_BUILD = _ROOT / "build" / "report"
_TOP = "top"

#: A log has no width of its own; the tables want this much.
_console = Console(width=None if sys.stdout.isatty() else 132)


@click.command()
@click.argument("name", required=False, metavar="[ROOM | MODULE:EXPRESSION]")
@click.option("--seed", default=1, show_default=True, help="Of the placer.")
@click.option("--tree/--no-tree", default=True, help="Also attribute cells to submodules.")
def main(name: str | None, seed: int, tree: bool) -> None:
    """Count the area of every room, or place and time one."""
    end_with_tools()
    # A room is also made for its declarations only, as the network device is for PCIe.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        good = _one(name, seed, tree) if name else _all()
    except (LookupError, ToolError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(not good)


def _all() -> bool:
    shown = _area_table("Rooms after synthesis for ECP5; COMB is an estimate")
    shells = {name: _shell(room) for name, room in ROOMS.items()}

    def synthesised(name: str) -> Area:
        text = _rtlil(shells[name])
        return _own(synthesise(text, _BUILD / _slug(name), _TOP, ROOMS[name].mhz), shells[name])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        areas = dict(zip(ROOMS, pool.map(synthesised, ROOMS), strict=True))
    for name, area in areas.items():
        room = ROOMS[name]
        _add(shown, name, area, area.comb, room.comb, room.ebr)
        _write(name, {"area": asdict(area), "comb_estimate": area.comb})
    shown.add_section()
    for card, names in CARDS.items():
        total = sum((areas[name] for name in names), Area())
        limits = [
            sum(getattr(ROOMS[name], kind) or 0 for name in names) for kind in ("comb", "ebr")
        ]
        _add(shown, card, total, total.comb, *limits)
    _console.print(shown)
    return True


def _one(name: str, seed: int, tree: bool) -> bool:
    room = find(name)
    shell = _shell(room)
    folder = _BUILD / _slug(name)
    text = _rtlil(shell)
    clocks = {"clk": room.mhz} | {f"clk_{domain}": mhz for domain, mhz in room.clocks}
    # The tree takes a synthesis of its own, as long as the other one and the placing.
    with ThreadPoolExecutor() as pool:
        parts = pool.submit(usage, text, folder / "tree", _TOP) if tree else None
        area = _own(synthesise(text, folder, _TOP, room.mhz), shell)
        placement = place(folder, clocks, seed, oscillators=room.oscillators)
    if parts and (rows := parts.result()[1:]):
        _console.print(_usage_table(rows))
    shown = _area_table(f"{name}, placed on LFE5UM5G-45F-8, seed {seed}")
    _add(shown, name, area, placement.comb, room.comb, room.ebr)
    _console.print(shown, _path_table(placement.path))
    for clock, mhz in placement.mhz.items():
        wanted = placement.wanted[clock]
        verdict = "[green]met[/]" if mhz >= wanted else "[red]MISSED[/]"
        _console.print(f"{clock}: {mhz:.1f} MHz, {wanted:g} wanted: {verdict}")
    _write(
        name,
        {
            "area": asdict(area),
            "comb": placement.comb,
            "mhz": placement.mhz,
            "wanted_mhz": placement.wanted,
            "seed": seed,
            "path": [asdict(hop) for hop in placement.path],
        },
    )
    return placement.met


def _shell(room: Room) -> Shell:
    return Shell(room.make(), dict(room.clocks))


def _rtlil(shell: Shell) -> str:
    with uncollected():
        return rtlil.convert(shell, name=_TOP)


def _own(area: Area, shell: Shell) -> Area:
    """Without the shell's flip-flops."""
    return area - Area(ff=shell.registers)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _write(name: str, figures: dict) -> None:
    folder = _BUILD / _slug(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"room": name, **figures}, indent=1) + "\n")


def _area_table(title: str) -> Table:
    shown = Table(title=title, title_justify="left")
    shown.add_column("room", no_wrap=True)
    for column in ("LUT4", "carry", "LUT-RAM", "FF", "DSP", "EBR", "limit", "COMB", "limit"):
        shown.add_column(column, justify="right")
    return shown


def _add(
    shown: Table, name: str, area: Area, comb: int, comb_limit: int | None, ebr_limit: int | None
) -> None:
    shown.add_row(
        name,
        *(f"{each:,}" for each in (area.lut, area.carry, area.lutram, area.ff, area.dsp)),
        _against(area.ebr, ebr_limit),
        "" if ebr_limit is None else f"{ebr_limit:,}",
        _against(comb, comb_limit),
        "" if comb_limit is None else f"{comb_limit:,}",
    )


def _against(value: int, limit: int | None) -> str:
    return f"[red]{value:,}[/]" if limit is not None and value > limit else f"{value:,}"


def _usage_table(rows: list[Usage]) -> Table:
    shown = Table(title="Submodules, each synthesised by itself", title_justify="left")
    shown.add_column("with all below it", no_wrap=True)
    for column in ("COMB", "LUT4", "carry", "LUT-RAM", "FF", "EBR", "own COMB"):
        shown.add_column(column, justify="right")
    for row in rows:
        depth = row.path.count(".")
        total = row.total
        shown.add_row(
            "  " * depth + row.path.rpartition(".")[2],
            *(f"{each:,}" for each in (total.comb, total.lut, total.carry, total.lutram)),
            *(f"{each:,}" for each in (total.ff, total.ebr, row.own.comb)),
        )
    return shown


def _path_table(path: tuple[Hop, ...]) -> Table:
    """The slowest path, a row for each signal that it passes."""
    shown = Table(title="Slowest path between registers", title_justify="left")
    for column in ("ns", "at"):
        shown.add_column(column, justify="right")
    shown.add_column("signal", no_wrap=True)
    shown.add_column("steps", justify="right")
    shown.add_column("written at")
    merged: list[list] = []
    for hop in path:
        if merged and merged[-1][1] in (hop.signal, ""):
            merged[-1][0] += hop.delay_ns
            merged[-1][1] = hop.signal or merged[-1][1]
            merged[-1][2] += 1
            merged[-1][3] = merged[-1][3] or hop.source
        else:
            merged.append([hop.delay_ns, hop.signal, 1, hop.source])
    at = 0.0
    for delay, signal, steps, source in merged:
        at += delay
        where = source.removeprefix(f"{_ROOT}/")
        shown.add_row(f"{delay:.2f}", f"{at:.2f}", signal, str(steps), where)
    return shown


if __name__ == "__main__":
    main()

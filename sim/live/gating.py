"""Verilog of a component whose idle parts cost a simulator nothing.

A part's registers get a clock of their own, ``clk__<part>``, and the part an output
``active__<part>``: some register of it would take another value at the next edge, or some memory
is written. Whoever drives the clocks leaves those out whose part is not active, and every signal
is in each cycle as it would have been. A simulator runs what depends on an edge only when there
is one, and most parts of a card rest most of the time.

What comes from outside must not make it evaluate everything either:

- Inputs stand behind registers whose clock, ``clk_in_<group>``, rises when one of them has
  changed. These are no delay: the clock rises as the input changes.
- There is no reset: registers start with the values that it would give them. A module whose
  Verilog is not ours may have registers without such values: its reset is an input of its own.

The design becomes one module without hierarchy, so this is not for waves. Signals inside of it can
become outputs, for whoever drives the clocks to know when they may stand.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from amaranth.lib import wiring

from niter.verilog import sources
from sim.harness.build import TOP, run_yosys, to_rtlil

__all__ = ["gated_verilog"]

# An enable of a register becomes a choice before it: all registers are of one kind.
_FLATTEN = "proc; memory_nordff; memory_collect; flatten; dffunmap; opt_clean; opt_expr; opt_clean"
_FREE = "opt_expr; opt_clean; opt_dff -nodffe -nosdff; opt_clean"
_FINISH = "splitnets -driver; opt_clean"
#: A part is a module so far below the top, with what is below that.
_DEPTH = 3
#: What has fewer registers goes with the module around it.
_LEAST_REGISTERS = 6
_CELL = re.compile(r"^  cell (\S+) (\S+)\n(.*?)^  end\n", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  wire (?:width (\d+) )?(input|output) (\d+) \\(\S+)$", re.MULTILINE)


def gated_verilog(
    component: wiring.Component,
    groups: Sequence[str],
    resets: Sequence[str],
    reset: str | None = None,
    watched: Mapping[str, tuple[str, int]] | None = None,
) -> str:
    """Write a component as Verilog with a clock for each part.

    Parameters
    ----------
    component
        Its clock is ``clk``.
    groups
        Inputs whose names begin with one of these and two underscores are held.
    resets
        Inputs that reset, and are left without effect.
    reset
        Submodule that is reset all the same, by the input ``reset__<its name>``. It is held.
    watched
        Signals by the names that the outputs ``watch__<name>`` give them, each with the submodules
        that lead there, ``a.b.signal``, and how many of its lowest bits are meant.

    Raises
    ------
    ValueError
        There is no signal to be watched by one of these names.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        design = to_rtlil(component)
        if reset:
            design = _own_reset(design, reset)
            groups = (*groups, "reset")
        (folder / "design.il").write_text(design)
        (folder / "others.v").write_text("\n".join(each.text() for each in sources(design)))
        read = "read_verilog others.v; read_rtlil design.il"
        watched = watched or {}
        keep = "".join(f"; {_keep(path)}" for path, _ in watched.values())
        run_yosys(folder, f"{read}{keep}; {_FLATTEN}; write_rtlil flat.il")
        text = _watch((folder / "flat.il").read_text(), watched)
        for tied in resets:
            text = _tie(text, tied)
        for group in groups:
            text = _hold(text, group)
        (folder / "held.il").write_text(text)
        # Resets and their choices go away.
        run_yosys(folder, f"read_rtlil held.il; {_FREE}; write_rtlil free.il")
        (folder / "gated.il").write_text(_gate((folder / "free.il").read_text()))
        write = "write_verilog -norename -noattr top.v"
        run_yosys(folder, f"read_rtlil gated.il; {_FINISH}; {write}")
        return (folder / "top.v").read_text()


def _rename(text: str, name: str, new: str) -> str:
    """A wire of another name."""
    return re.sub(rf"\\{re.escape(name)}(?=[\s\]}}]|$)", lambda _: f"\\{new}", text)


def _insert(text: str, wires: Iterable[str], rest: Iterable[str]) -> str:
    """Add to the only module."""
    begin = text.index("\n", re.search(r"^module ", text, re.MULTILINE).start()) + 1
    end = text.rindex("\nend") + 1
    return text[:begin] + "".join(wires) + text[begin:end] + "".join(rest) + text[end:]


def _ports(text: str) -> list[tuple[int, str, int, str]]:
    return [
        (int(width or 1), way, int(place), name) for width, way, place, name in _PORT.findall(text)
    ]


def _own_reset(text: str, module: str) -> str:
    """Give a submodule of the top an input in the place of the reset that all others have."""
    top = re.search(rf"^module \\{TOP}\n.*?^end\n", text, re.MULTILINE | re.DOTALL)
    cell = re.search(rf"^  cell \S+ \\{module}\n.*?^  end\n", top[0], re.MULTILINE | re.DOTALL)
    wire = f"reset__{module}"
    own = re.sub(r"^(    connect \\rst) .*$", rf"\1 \\{wire}", cell[0], flags=re.MULTILINE)
    ports = re.findall(r"^  wire .*?(?:in|out)put (\d+) ", top[0], re.MULTILINE)
    port = f"  wire input {max(map(int, ports)) + 1} \\{wire}\n"
    new = _insert(top[0].replace(cell[0], own), [port], [])
    return text.replace(top[0], new)


def _keep(path: str) -> str:
    """Yosys' command to let a signal have its name."""
    *modules, signal = path.split(".")
    return f"setattr -set keep 1 {'.'.join((TOP, *modules))}/{signal}"


def _watch(text: str, watched: Mapping[str, tuple[str, int]]) -> str:
    """Make outputs of signals inside."""
    wires, connections = [], []
    for number, (name, (path, bits)) in enumerate(watched.items(), len(_ports(text)) + 1):
        if not re.search(rf"^  wire .*\\{re.escape(path)}$", text, re.MULTILINE):
            raise ValueError(f"The design has no signal {path}")
        wires.append(f"  wire width {bits} output {number} \\watch__{name}\n")
        connections.append(f"  connect \\watch__{name} \\{path} [{bits - 1}:0]\n")
    return _insert(text, wires, connections)


def _tie(text: str, reset: str) -> str:
    inside = f"{reset}$tied"
    declaration = next(m[0] for m in _PORT.finditer(text) if m[4] == reset)
    text = _rename(text, reset, inside)
    text = text.replace(_rename(declaration, reset, inside), f"{declaration}\n  wire \\{inside}")
    return _insert(text, [], [f"  connect \\{inside} 1'0\n"])


def _hold(text: str, group: str) -> str:
    ports = _ports(text)
    if not any(way == "input" and name.startswith(f"{group}__") for _, way, _, name in ports):
        return text
    clock = f"clk_in_{group}"
    wires = [f"  wire input {len(ports) + 1} \\{clock}\n"]
    cells = []
    for width, way, _, name in ports:
        if way != "input" or not name.startswith(f"{group}__"):
            continue
        inside = f"{name}$held"
        declaration = next(m[0] for m in _PORT.finditer(text) if m[4] == name)
        text = _rename(text, name, inside)
        text = text.replace(_rename(declaration, name, inside), declaration)
        wires.append(f"  wire width {width} \\{inside}\n")
        pins = {"CLK": f"\\{clock}", "D": f"\\{name}", "Q": f"\\{inside}"}
        cells.append(_cell("$dff", f"$hold${name}", {"CLK_POLARITY": 1, "WIDTH": width}, pins))
    return _insert(text, wires, cells)


def _cell(kind: str, name: str, parameters: dict[str, int], pins: dict[str, str]) -> str:
    lines = [f"  cell {kind} {name}\n"]
    lines += [f"    parameter \\{key} {value}\n" for key, value in parameters.items()]
    lines += [f"    connect \\{key} {value}\n" for key, value in pins.items()]
    return "".join([*lines, "  end\n"])


def _gate(text: str) -> str:
    """Give each part its clock and its output."""
    cells = [match for match in _CELL.finditer(text) if _clocked(match)]
    parts = _parts(_path(match[2]) for match in cells)
    changes: dict[str, list[str]] = defaultdict(list)
    wires, added, pieces, at = [], [], [], 0
    for number, match in enumerate(cells):
        part = _part(_path(match[2]), parts)
        block = match[0]
        change = f"$change${number}"
        wires.append(f"  wire {change}\n")
        pins = dict(re.findall(r"^    connect \\(\S+) (.*)$", block, re.MULTILINE))
        if match[1] == "$dff":
            a, b = pins["D"], pins["Q"]
            added.append(_compare(change, int(_parameter(block, "WIDTH")), a, b))
        else:
            bits = int(_parameter(block, "WIDTH")) * int(_parameter(block, "WR_PORTS"))
            shape = {"A_SIGNED": 0, "A_WIDTH": bits, "Y_WIDTH": 1}
            ways = {"A": pins["WR_EN"], "Y": change}
            added.append(_cell("$reduce_or", f"{change}$or", shape, ways))
        pieces += [text[at : match.start()], _reclock(block, f"clk__{part}")]
        at = match.end()
        changes[part].append(change)
    text = "".join([*pieces, text[at:]])
    place = len(_ports(text))
    for part, found in sorted(changes.items()):
        wires.append(f"  wire input {place + 1} \\clk__{part}\n")
        wires.append(f"  wire output {place + 2} \\active__{part}\n")
        place += 2
        before = found[0]
        for number, change in enumerate(found[1:]):
            result = f"$any${part}${number}"
            wires.append(f"  wire {result}\n")
            added.append(_either(result, before, change))
            before = result
        added.append(f"  connect \\active__{part} {before}\n")
    return _insert(text, wires, added)


def _clocked(match: re.Match) -> bool:
    """A register or a written memory of the main clock."""
    if match[1] == "$dff":
        return "    connect \\CLK \\clk\n" in match[3]
    if match[1] != "$mem_v2":
        return False
    clocks = re.search(r"^    connect \\WR_CLK (.*)$", match[3], re.MULTILINE)[1]
    return set(clocks.strip("{} ").split()) == {"\\clk"}


def _reclock(block: str, clock: str) -> str:
    return re.sub(
        r"^    connect \\(?:WR_)?CLK .*$",
        lambda line: re.sub(r"\\clk(?=[\s}]|$)", lambda _: f"\\{clock}", line[0]),
        block,
        flags=re.MULTILINE,
    )


def _parameter(block: str, name: str) -> str:
    return re.search(rf"^    parameter (?:signed )?\\{name} (\S+)$", block, re.MULTILINE)[1]


def _path(cell: str) -> tuple[str, ...]:
    r"""Where a cell was before everything became flat: ``$flatten\a.\b.$1``, ``\a.b.name``."""
    if cell.startswith("$flatten"):
        return tuple(re.findall(r"\\([^.\s]+)\.", cell))
    return tuple(cell.lstrip("\\").split(".")[:-1])


def _parts(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Modules that have registers enough, alone or with what is too small below them."""
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for path in paths:
        counts[path[:_DEPTH]] += 1
    for path in sorted(counts, key=len, reverse=True):
        if len(path) > 1 and counts[path] < _LEAST_REGISTERS:
            counts[path[:-1]] += counts.pop(path)
    return {path for path in counts if path}


def _part(path: tuple[str, ...], parts: set[tuple[str, ...]]) -> str:
    """Name of the part that a register is in; what is in no module is one of its own."""
    found = path[:_DEPTH]
    while found and found not in parts:
        found = found[:-1]
    return re.sub(r"\W", "_", "__".join(found)) or "rest"


def _compare(result: str, width: int, a: str, b: str) -> str:
    shape = {"A_SIGNED": 0, "A_WIDTH": width, "B_SIGNED": 0, "B_WIDTH": width, "Y_WIDTH": 1}
    return _cell("$ne", f"{result}$ne", shape, {"A": a, "B": b, "Y": result})


def _either(result: str, a: str, b: str) -> str:
    shape = {"A_SIGNED": 0, "A_WIDTH": 1, "B_SIGNED": 0, "B_WIDTH": 1, "Y_WIDTH": 1}
    return _cell("$or", f"{result}$or", shape, {"A": a, "B": b, "Y": result})

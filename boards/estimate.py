"""Which paths will be slow, before anything is placed: ``python -m boards.estimate FOLDER``.

Takes the netlist that a build or a report has left in its folder, gives every cell and every net
a delay, and lists the longest paths, one for each signal that one ends in. That takes seconds where
placing takes minutes. Cells have the delays of nextpnr's model, speed 8; a net has one that grows
with the number of its pins, as if nobody had placed it well. Placed paths are shorter, by a third
or so, and in another order: what stands ahead of all others here is worth a register, and what
stands behind them is no promise.

With ``--placed`` it reads what nextpnr has placed, ``<router>-<seed>.placed`` of a build, and a net
has a delay that grows with its length.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from .crossings import oscillates
from .places import place_of
from .synthesis import readable

__all__ = ["LongPath", "longest_paths", "main"]

#: From a clock to an output, in ns.
_CLOCKED = {"TRELLIS_FF": 0.31, "DP16KD": 3.7, "PDPW16KD": 3.7}
#: Pins that paths end in.
_ENDS = {
    "TRELLIS_FF": r"DI|M|CE|LSR",
    "TRELLIS_DPR16X4": r"DI|WAD|WRE",
    "DP16KD": r"(?:AD|DI|WE|CE|OCE|CS|RST)[AB]\d*",
    "PDPW16KD": r"(?:ADW|ADR|DI|BE|CSW|CSR)\d*|CEW|CER|OCER|RST",
    "TRELLIS_COMB": r"WRE|WD|WAD\d",
}
_LOGIC, _CARRY, _SUM, _INTO_CARRY = 0.14, 0.06, 0.28, 0.28
#: Of a net: to the only pin, and more for each doubling of their number.
_WIRE, _DOUBLING = 0.75, 0.11
#: Of a net between placed cells: for each tile, and for how many more than there are.
_TILE, _ALWAYS = 0.054, 6
#: Pins that are reached without wires of their own: within a slice, and of the clock network.
_DEDICATED = {("CCU2C", "CIN"), ("PFUMX", "ALUT"), ("PFUMX", "BLUT")}
_DEDICATED |= {("L6MUX21", "D0"), ("L6MUX21", "D1")}
_DEDICATED |= {("TRELLIS_COMB", pin) for pin in ("FCI", "FXA", "FXB", "F1")}


@dataclass(frozen=True)
class LongPath:
    """A path.

    Parameters
    ----------
    ns
        How long it may be.
    signals
        From where it ends to where it begins.
    """

    ns: float
    signals: tuple[str, ...]


def longest_paths(module: Mapping, count: int) -> list[LongPath]:
    """The longest paths of a flattened netlist, as Yosys writes it, or nextpnr with places.

    Raises
    ------
    ValueError
        Logic runs in a circle.
    """
    return _Timing(module).longest(count)


class _Timing:
    def __init__(self, module: Mapping):
        self._cells = {
            name: cell for name, cell in module["cells"].items() if "connections" in cell
        }
        self._drivers: dict[int, tuple[str, str]] = {}
        self._pins: Counter[int] = Counter()
        for name, cell in self._cells.items():
            for pin, bits in cell["connections"].items():
                if cell["port_directions"][pin] == "input":
                    self._pins.update(bit for bit in bits if isinstance(bit, int))
                else:
                    self._drivers |= {bit: (name, pin) for bit in bits}
        # Of a bit's names the one with the least that tools have added.
        self._names: dict[int, str] = {}
        for name in sorted(module["netnames"], key=lambda each: (each.count("_"), each)):
            for bit in module["netnames"][name]["bits"]:
                self._names.setdefault(bit, readable(name))
        #: Of each bit that was asked for: when it stands, and the bit that it waited for.
        self._known: dict[int, tuple[float, int | None]] = {}

    def longest(self, count: int) -> list[LongPath]:
        ends: dict[str, tuple[float, int]] = {}
        for name, cell in self._cells.items():
            for pin, bits in cell["connections"].items():
                if not re.fullmatch(_ENDS.get(cell["type"], r"(?!)"), pin):
                    continue
                for bit in bits:
                    if bit in self._drivers:
                        at = self._arrival(bit) + self._wire(bit, cell, pin)
                        end = readable(name)
                        ends[end] = max(ends.get(end, (0.0, 0)), (at, bit))
        chosen = sorted(ends.items(), key=lambda each: -each[1][0])[:count]
        return [LongPath(at, (end, *self._trace(bit))) for end, (at, bit) in chosen]

    def _trace(self, bit: int | None) -> Iterator[str]:
        last = ""
        while bit is not None:
            name = self._names.get(bit, "")
            if name not in ("", last):
                yield name
                last = name
            bit = self._known[bit][1]

    def _wire(self, bit: int, cell: Mapping, pin: str) -> float:
        if (cell["type"], pin) in _DEDICATED:
            return 0.0
        driver = self._cells[self._drivers[bit][0]]
        here, there = place_of(cell), place_of(driver)
        if here and there:
            # What nextpnr has left at this pin comes from the same slice; and the clock network is
            # everywhere.
            if (cell["type"], pin) == ("TRELLIS_FF", "DI") or driver["type"] == "DCCA":
                return 0.0
            return _TILE * (_ALWAYS + abs(here[0] - there[0]) + abs(here[1] - there[1]))
        return _WIRE + _DOUBLING * math.log2(max(self._pins[bit], 1))

    def _arrival(self, bit: int) -> float:
        """When a bit stands, in ns after the clock."""
        todo, waiting = [bit], set()
        while todo:
            this = todo[-1]
            if this in self._known:
                todo.pop()
                continue
            cell, arcs = self._behind(this)
            missing = [before for before, _, _ in arcs if before not in self._known]
            if missing:
                if not waiting.isdisjoint(missing):
                    raise ValueError(f"Logic runs in a circle through {self._names.get(this)}")
                waiting.add(this)
                todo += missing
                continue
            start = _CLOCKED.get(cell["type"], 0.0) if cell else 0.0
            self._known[this] = max(
                (
                    (self._known[before][0] + self._wire(before, cell, pin) + delay, before)
                    for before, pin, delay in arcs
                ),
                default=(start, None),
            )
            waiting.discard(this)
            todo.pop()
        return self._known[bit][0]

    def _behind(self, bit: int) -> tuple[Mapping | None, list[tuple[int, str, float]]]:
        """The cell that makes a bit, and the bits that it is made from: pins and delays."""
        name, output = self._drivers.get(bit, ("", ""))
        cell = self._cells.get(name)
        if cell is None or oscillates(cell):
            return None, []
        return cell, [
            (before, pin, delay)
            for pin, delay in _arcs(cell["type"], output)
            for before in cell["connections"].get(pin, ())
            if isinstance(before, int)
        ]


def _arcs(kind: str, output: str) -> list[tuple[str, float]]:
    """The input pins that an output depends on at once, with their delays."""
    match kind, output:
        case "LUT4", _:
            return [(pin, _LOGIC) for pin in "ABCD"]
        case "PFUMX", _:
            return [(pin, _LOGIC) for pin in ("ALUT", "BLUT", "C0")]
        case "L6MUX21", _:
            return [(pin, _LOGIC) for pin in ("D0", "D1", "SD")]
        case "TRELLIS_COMB", "F":
            return [("FCI", _SUM), *((pin, _LOGIC) for pin in "ABCD")]
        case "TRELLIS_COMB", "OFX":
            return [(pin, _LOGIC) for pin in ("A", "B", "C", "D", "F1", "M", "FXA", "FXB")]
        case "TRELLIS_COMB", "FCO":
            return [("FCI", _CARRY / 2), *((pin, _INTO_CARRY) for pin in "ABCD")]
        case "TRELLIS_DPR16X4", _:
            return [("RAD", _LOGIC)]
        case "DCCA", _:
            return [("CLKI", _LOGIC)]
        case "CCU2C", "COUT":
            return [("CIN", _CARRY), *((a + n, _INTO_CARRY) for a in "ABCD" for n in "01")]
        case "CCU2C", "S0":
            return [("CIN", _SUM), *((a + "0", _LOGIC) for a in "ABCD")]
        case "CCU2C", "S1":
            lower = ((a + "0", _LOGIC + _SUM) for a in "ABCD")
            return [("CIN", _SUM), *lower, *((a + "1", _LOGIC) for a in "ABCD")]
    return []


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=20, show_default=True, help="Paths that are listed.")
@click.option(
    "--placed",
    "file",
    default="netlist.json",
    help="Of FOLDER, a design that is placed, as router2-1.placed.",
)
def main(folder: Path, count: int, file: str) -> None:
    """List the longest paths of the netlist in FOLDER, as build/versa-network, by an estimate."""
    modules = json.loads((folder / file).read_text())["modules"]
    for path in longest_paths(modules["top"], count):
        click.echo(f"{path.ns:6.2f} ns  {' <- '.join(path.signals)}")


if __name__ == "__main__":
    main()

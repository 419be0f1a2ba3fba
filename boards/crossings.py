"""What passes between clocks, found in a netlist for ECP5: each is known, or a defect.

Walks back from every input of every cell that has a clock to the outputs that it depends on.
Where one of these belongs to another clock, or to none, the path must be one of these:

- into the first flip-flop of a synchroniser of ``amaranth.lib.cdc``, straight from one output:
  logic before it could show the other clock a glitch;
- from the storage of ``amaranth.lib.fifo``'s asynchronous queues, which holds still while its
  pointers cross;
- one that is named in ``HELD``.

It does not see whether bits that cross by themselves are put together again behind it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["HELD", "Crossing", "Netlist", "oscillates"]

#: Signals that hold still for as long as another clock looks at them: patterns of the cells that
#: look and of those that are looked at.
HELD = (
    # A pause's quanta stand until its strobe has crossed, and longer than a pause frame takes.
    (r".*mac_\d+\.transmitter\.quanta_.*", r".*mac_\d+\.(transmitter\.)?pause_.*"),
    # The flash moves its data when its clock falls, and they are looked at two cycles later.
    (r"card\.soc\..*", r"flash\.cipo\..*"),
)

_ASYNC = "no clock"
#: For each cell with a clock: the clock's pin and the pins that go with it.
_CLOCKED = {
    "TRELLIS_FF": [("CLK", r"DI|M|CE|LSR", r"Q")],
    "TRELLIS_DPR16X4": [("WCK", r"DI|WAD|WRE", r"")],
    "DP16KD": [(f"CLK{s}", rf"(?:AD|DI|WE|CE|OCE|CS|RST){s}\d*", rf"DO{s}\d*") for s in "AB"],
    "PDPW16KD": [
        ("CLKW", r"(?:ADW|DI|BE|CSW)\d*|CEW|RST", r""),
        ("CLKR", r"(?:ADR|CSR)\d*|CER|OCER", r"DO\d*"),
    ],
    # Of 36 bits, one port writes and the other reads, through the data pins of both.
    "DP16KD of 36 bits": [
        ("CLKA", r"(?:ADA|DIA|DIB|WEA|CEA|CSA|RSTA)\d*", r""),
        ("CLKB", r"(?:ADB|CEB|OCEB|CSB|RSTB)\d*", r"DO[AB]\d*"),
    ],
    "IDDRX1F": [("SCLK", r"RST", r"Q[01]")],
    "ODDRX1F": [("SCLK", r"D[01]|RST", r"")],
    "DCUA": [
        ("CH0_FF_TXI_CLK", r"CH0_FF_TX_D_\d+", r""),
        ("CH0_FF_RXI_CLK", r"", r"CH0_FF_RX_D_\d+"),
    ],
}
#: Logic and wire: outputs depend on all inputs, at once.
_LOGIC = {"LUT4", "CCU2C", "PFUMX", "L6MUX21", "DELAYG", "DCCA", "MULT18X18D", "ALU54B"}
#: Neither tell nor are told anything by a clock.
_CLOCKLESS = {"TRELLIS_IO", "EHXPLLL", "EXTREFB", "USRMCLK", "JTAGG", "DCUA", "IDDRX1F", "ODDRX1F"}


@dataclass(frozen=True)
class Crossing:
    """A path from one clock to another.

    Parameters
    ----------
    sink
        Cell and pin that look.
    clock
        Theirs.
    sources
        Cells that are looked at, each with its clock.
    """

    sink: str
    clock: str
    sources: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        seen = ", ".join(f"{cell} ({clock})" for cell, clock in self.sources[:4])
        more = f" and {len(self.sources) - 4} more" if len(self.sources) > 4 else ""
        return f"{self.sink} ({self.clock}) sees {seen}{more}"


class Netlist:
    """A flattened netlist as Yosys writes it.

    Parameters
    ----------
    module
        The top-level module of the JSON.
    """

    def __init__(self, module: Mapping):
        cells = module["cells"]
        self._netnames = module["netnames"]
        self._names = self._name_bits(module["netnames"])
        self._scopes = {
            name: cell["attributes"].get("module_src", "")
            for name, cell in cells.items()
            if cell["type"] == "$scopeinfo"
        }
        self._cells = {
            name: cell
            for name, cell in cells.items()
            if cell["type"] != "$scopeinfo" and "connections" in cell
        }
        unknown = {cell["type"] for cell in self._cells.values()} - {
            *_CLOCKED,
            *_LOGIC,
            *_CLOCKLESS,
        }
        if unknown:
            raise ValueError(f"Nothing is known of {', '.join(sorted(unknown))}")
        self._drivers = {
            bit: (name, pin)
            for name, cell in self._cells.items()
            for pin, bits in cell["connections"].items()
            if cell["port_directions"][pin] != "input"
            for bit in bits
        }
        self._reached: dict[int, frozenset] = {}

    @staticmethod
    def _name_bits(netnames: Mapping) -> dict[int, str]:
        """For each bit the signal that is nearest to the top, and if there are several, the first.

        A clock's own name is one that says so: Amaranth also makes a wire for each domain.
        """
        names: dict[int, str] = {}

        def rank(name):
            return (name.count("."), not name.startswith("clk_"), name)

        for name in sorted(netnames, key=rank):
            for bit in netnames[name]["bits"]:
                names.setdefault(bit, name)
        return names

    def aliases(self, name: str) -> list[str]:
        """All names of the one-bit signal of that name."""
        (wanted,) = self._netnames[name]["bits"]
        return [each for each, net in self._netnames.items() if net["bits"] == [wanted]]

    def clocks(self) -> dict[str, int]:
        """Signals that clock a cell, and how many cells each."""
        count: dict[str, int] = {}
        for cell in self._cells.values():
            for pin, _, _ in _clocked(cell):
                for bit in cell["connections"].get(pin, ()):
                    if isinstance(bit, int):
                        name = self._names[bit]
                        count[name] = count.get(name, 0) + 1
        return count

    def unconstrained(self, constrained: Iterable[str]) -> list[str]:
        """Signals that clock a cell and are not among those with a constraint."""
        return sorted(set(self.clocks()) - set(constrained))

    def crossings(self) -> list[Crossing]:
        """Every path between clocks that nothing here accounts for."""
        found = []
        for name, cell in self._cells.items():
            for clock_pin, sinks, _ in _clocked(cell):
                clock = self._clock(cell, clock_pin)
                if clock is None:
                    continue
                for pin, bits in cell["connections"].items():
                    if re.fullmatch(sinks, pin):
                        for bit in bits:
                            crossing = self._look(name, cell, pin, bit, clock)
                            if crossing:
                                found.append(crossing)
        return found

    def _clock(self, cell: Mapping, pin: str) -> str | None:
        bits = cell["connections"].get(pin, ())
        return self._names[bits[0]] if bits and isinstance(bits[0], int) else None

    def _look(self, name, cell, pin, bit, clock) -> Crossing | None:
        sources = self._sources(bit)
        foreign = tuple(sorted(s for s in sources if s[1] != clock))
        if not foreign:
            return None
        if cell["type"] == "TRELLIS_FF" and "/amaranth/lib/cdc.py" in cell["attributes"]["src"]:
            reset = pin == "LSR" and cell["parameters"].get("SRMODE") == "ASYNC"
            # A reset may be asserted at any time, by whatever glitch; it is released in order.
            if reset or (pin in ("DI", "M") and len(sources) == 1 and self._straight(bit)):
                return None
        foreign = tuple(
            each for each in foreign if not self._queue(each[0]) and not _held(name, each[0])
        )
        return Crossing(f"{name}.{pin}", clock, foreign) if foreign else None

    def _straight(self, bit) -> bool:
        """Nothing but an inverter may stand before a synchroniser."""
        name, _ = self._drivers.get(bit, (None, None))
        while name is not None and _is_logic(self._cells[name]):
            inputs = {
                b
                for pin, bits in self._cells[name]["connections"].items()
                if self._cells[name]["port_directions"][pin] == "input"
                for b in bits
                if isinstance(b, int)
            }
            if len(inputs) != 1:
                return False
            name, _ = self._drivers.get(inputs.pop(), (None, None))
        return True

    def _queue(self, name: str) -> bool:
        """The cell is the storage of an asynchronous queue."""
        if self._cells.get(name, {}).get("type") not in ("TRELLIS_DPR16X4", "DP16KD", "PDPW16KD"):
            return False
        parts = name.split(".")
        scopes = (self._scopes.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
        nearest = next((scope for scope in scopes if scope), "")
        return "/amaranth/lib/fifo.py" in nearest

    def _sources(self, bit) -> frozenset[tuple[str, str]]:
        """Outputs that a bit depends on, each a cell and its clock."""
        if not isinstance(bit, int):
            return frozenset()
        todo, under_way = [bit], set()
        while todo:
            this = todo[-1]
            if this in self._reached:
                todo.pop()
                continue
            start, inputs = self._behind(this)
            missing = [each for each in inputs if each not in self._reached]
            if missing:
                under_way.add(this)
                if not under_way.isdisjoint(missing):
                    raise ValueError(f"Logic runs in a circle through {self._names[this]}")
                todo += missing
                continue
            self._reached[this] = start.union(*(self._reached[each] for each in inputs))
            under_way.discard(this)
            todo.pop()
        return self._reached[bit]

    def _behind(self, bit: int) -> tuple[frozenset, list[int]]:
        """Where a bit starts, or the bits that it is made from."""
        if bit not in self._drivers:
            return frozenset({(self._names[bit], _ASYNC)}), []
        name, pin = self._drivers[bit]
        cell = self._cells[name]
        kind = cell["type"]
        for clock_pin, _, outputs in _clocked(cell):
            if re.fullmatch(outputs, pin):
                return frozenset({(name, self._clock(cell, clock_pin) or _ASYNC)}), []
        if _is_logic(cell):
            ins = (
                bits
                for p, bits in cell["connections"].items()
                if cell["port_directions"][p] == "input"
            )
            return frozenset(), [b for bits in ins for b in bits if isinstance(b, int)]
        if kind == "TRELLIS_DPR16X4":
            written = frozenset({(name, self._clock(cell, "WCK") or _ASYNC)})
            return written, [b for b in cell["connections"]["RAD"] if isinstance(b, int)]
        return frozenset({(name, _ASYNC)}), []


def _clocked(cell: Mapping) -> list[tuple[str, str, str]]:
    """The clocks of a cell and what goes with them; a block memory's depend on its width."""
    kind = cell["type"]
    if kind == "DP16KD" and int(cell["parameters"]["DATA_WIDTH_A"], 2) == 36:
        kind = "DP16KD of 36 bits"
    return _CLOCKED.get(kind, [])


def oscillates(cell: Mapping) -> bool:
    """The cell is a gate of a ring, which nothing but its ``keep`` tells from others."""
    kept = cell.get("attributes", {}).get("keep", "0")
    return cell["type"] in ("LUT4", "TRELLIS_COMB") and bool(int(kept, 2))


def _is_logic(cell: Mapping) -> bool:
    """The cell's outputs follow its inputs."""
    return cell["type"] in _LOGIC and not oscillates(cell)


def _held(sink: str, source: str) -> bool:
    return any(re.fullmatch(a, sink) and re.fullmatch(b, source) for a, b in HELD)

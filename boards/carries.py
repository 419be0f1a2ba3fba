"""Makes the carry chains of a netlist shorter: what nextpnr puts around them, and what goes in.

nextpnr gives a chain a cell of its own for the constant that comes in, and another one for the
carry that comes out, also where nobody looks at it: with small sums and comparisons that is half
of what they cost. What an operand is chosen by takes a LUT for each bit, where the chain's own LUT
has inputs left.
"""

from collections import Counter
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from itertools import permutations, product

__all__ = ["tighten_carries"]

_PINS = "ABCD"
_NOWHERE = "x"


@dataclass
class _Bit:
    """Half a CCU2C. Its sum is a LUT of four inputs, exclusive or the carry; that goes on where the
    LUT is high, and else is made from A and B, by the LUT's own bits for low C and D."""

    pins: list
    init: int
    sums: list

    def propagates(self, values: dict) -> int:
        """Whether the carry goes on."""
        return self.init >> self._index(values) & 1

    def makes(self, values: dict) -> int:
        """The carry, where it does not."""
        return self.init >> (self._index(values) & 3) & 1

    def _index(self, values: dict) -> int:
        return sum(_value(pin, values) << n for n, pin in enumerate(self.pins))


def tighten_carries(module: MutableMapping) -> None:
    """Shorten the carry chains of a module; what it computes stays the same.

    Parameters
    ----------
    module
        The top-level module of a flattened netlist, as Yosys writes it; is changed.
    """
    cells = module["cells"]
    users = _users(module)
    for chain in list(_chains(cells)):
        carries = [cells[name]["connections"]["COUT"][0] for name in chain]
        # A carry that is looked at on the way keeps its place.
        if all(users[net] == (net != carries[-1]) for net in carries):
            _tighten(cells, chain, users)
    # Sums of first bits have come beside their chains.
    users = _users(module)
    makers = {}
    for name, cell in cells.items():
        if cell["type"] == "LUT4" and users[net := cell["connections"]["Z"][0]] == 1:
            makers[net] = name
    for cell in [cell for cell in cells.values() if cell["type"] == "CCU2C"]:
        for half in "01":
            bit = _bit(cell, half)
            for pin in bit.pins[:2]:
                if pin in makers and (taken := _absorbed(bit, pin, cells[makers[pin]])):
                    _put(cell, half, taken)
                    del cells[makers.pop(pin)]
                    break


def _tighten(cells: MutableMapping, chain: list[str], users: Counter) -> None:
    """Give a chain nothing in front of it if it begins with a constant, and nothing behind it."""
    head = cells[chain[0]]
    bits = [_bit(cells[name], half) for name in chain for half in "01"]
    while len(bits) > 1 and not any(users[net] for net in bits[-1].sums):
        bits.pop()
    constant = head["connections"]["CIN"][0]
    if constant in ("0", "1"):
        # The first bit makes its carry from A and B. Its sum takes a LUT, unless a bit in front of
        # it fits in a cell that is there.
        first = bits[0]
        begun = _Bit([*first.pins[:2], "1", "1"], _first_carries(first, int(constant)), [])
        if not any(users[net] for net in first.sums):
            bits[0] = begun
        elif len(bits) % 2:
            bits.insert(0, _Bit(["1"] * 4, 0x000F * int(constant), []))
        else:
            bits[0] = begun
            init = first.init ^ 0xFFFF * int(constant)
            cells[f"{chain[0]}_first"] = _lut(head, first.pins, init, first.sums)
        head["connections"]["CIN"] = [_NOWHERE]
    bits += [_Bit(["0", "0", "1", "1"], 0, [])] * (len(bits) % 2)
    for name in chain[len(bits) // 2 :]:
        del cells[name]
    for n, bit in enumerate(bits):
        _put(cells[chain[n // 2]], str(n % 2), bit)
    cells[chain[len(bits) // 2 - 1]]["connections"]["COUT"] = [_NOWHERE]


def _first_carries(bit: _Bit, constant: int) -> int:
    """Which carry a bit makes from its A and B with a constant one, the other pins being known."""
    high = sum(_value(pin, {}) << n for n, pin in enumerate(bit.pins[2:])) << 2
    carries = 0
    for place in range(4):
        goes_on = bit.init >> (high | place) & 1
        carries |= (constant if goes_on else bit.init >> place & 1) << place
    return carries


def _absorbed(bit: _Bit, pin: int, lut: MutableMapping) -> _Bit | None:
    """The bit with the LUT that makes one of its operands inside, if that fits."""
    (other,) = [net for net in bit.pins[:2] if net != pin] or [pin]
    inputs = [lut["connections"][name][0] for name in _PINS]
    table = int(lut["parameters"]["INIT"], 2)
    nets = sorted({net for net in inputs if isinstance(net, int)} - {other})
    if len(nets) > 3 or other == pin or any(isinstance(net, int) for net in bit.pins[2:]):
        return None
    for order in permutations([*nets, *["1"] * (3 - len(nets))]):
        made = _Bit([other, *order], 0, bit.sums)
        wanted: dict[int, int] = {}
        fits = True
        # With low C and D the LUT's bits also say which carry is made: those come first.
        ways = []
        for levels in product((0, 1), repeat=len(nets) + isinstance(other, int)):
            values = dict(zip([*nets, *([other] * isinstance(other, int))], levels, strict=True))
            chosen = sum(_value(net, values) << n for n, net in enumerate(inputs))
            values[pin] = table >> chosen & 1
            index = made._index(values)
            ways.append((values, index))
            wanted[index] = bit.propagates(values)
        for values, index in ways:
            if not bit.propagates(values):
                carry = bit.makes(values)
                fits &= wanted.setdefault(index & 3, carry) == carry
        if fits:
            made.init = sum(level << index for index, level in wanted.items())
            return made
    return None


def _users(module: MutableMapping) -> Counter:
    """How often each net is looked at, by cells and through ports."""
    users: Counter = Counter()
    for cell in module["cells"].values():
        for port, nets in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                users.update(nets)
    for port in module["ports"].values():
        if port["direction"] != "input":
            users.update(port["bits"])
    return users


def _chains(cells: MutableMapping) -> Iterator[list[str]]:
    """Names of the cells of each chain, from its first bit on."""
    links = {
        name: (cell["connections"]["CIN"][0], cell["connections"]["COUT"][0])
        for name, cell in cells.items()
        if cell["type"] == "CCU2C"
    }
    behind = {before: name for name, (before, _) in links.items()}
    carries = {after for _, after in links.values()}
    for name, (before, _) in links.items():
        if before not in carries:
            chain = [name]
            while (after := links[chain[-1]][1]) in behind:
                chain.append(behind[after])
            yield chain


def _bit(cell: MutableMapping, half: str) -> _Bit:
    pins = [cell["connections"][pin + half][0] for pin in _PINS]
    return _Bit(pins, int(cell["parameters"][f"INIT{half}"], 2), cell["connections"][f"S{half}"])


def _put(cell: MutableMapping, half: str, bit: _Bit) -> None:
    cell["connections"].update(
        (pin + half, [net]) for pin, net in zip(_PINS, bit.pins, strict=True)
    )
    cell["connections"][f"S{half}"] = bit.sums or [_NOWHERE]
    cell["parameters"][f"INIT{half}"] = f"{bit.init:016b}"


def _lut(beside: MutableMapping, pins: list, init: int, output: list) -> dict:
    """A LUT that stands where another cell does in the sources."""
    return {
        "hide_name": beside.get("hide_name", 0),
        "type": "LUT4",
        "parameters": {"INIT": f"{init:016b}"},
        "attributes": {k: v for k, v in beside.get("attributes", {}).items() if k == "src"},
        "port_directions": {**dict.fromkeys(_PINS, "input"), "Z": "output"},
        "connections": {**{pin: [net] for pin, net in zip(_PINS, pins, strict=True)}, "Z": output},
    }


def _value(net, values: dict) -> int:
    """A constant is what it is called."""
    return values[net] if isinstance(net, int) else int(net == "1")

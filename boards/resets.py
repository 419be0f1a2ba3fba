"""Puts wide resets on the clock network of a netlist: nextpnr does so for clocks alone.

A reset of ten thousand flip-flops takes wires in every tile from what has to be routed there. The
clock network reaches the same pins with wires of its own, and with little delay between the first
and the last.
"""

from collections import defaultdict
from collections.abc import Mapping, MutableMapping

__all__ = ["promote_resets"]

#: Flip-flops that make a reset worth one of the eight networks that reach such pins.
WIDE = 500

_LUT_INPUTS = "ABCD"
#: Of a LUT: A, or B and not C, whatever D is.
_NEXT = f"{0xAEAE:016b}"


def promote_resets(module: MutableMapping, wide: int = WIDE) -> list[str]:
    """Drive the reset pins of flip-flops through a clock buffer, where one flip-flop resets many.

    Logic that looks at the reset goes on doing so in front of the buffer. A reset that is one of
    two flip-flops', the one of which resets the other, gets a flip-flop of its own. What else is
    computed is left alone: it comes late in a cycle, and has a long way to the device's edge and
    back. Few buffers can be reached from inside of the device: of three, nextpnr put one where no
    wire led.

    Parameters
    ----------
    module
        The top-level module of a flattened netlist, as Yosys writes it; is changed.
    wide
        Flip-flops of a net from which on it is done.

    Returns
    -------
    list
        Names of the buffers.
    """
    users, drivers = defaultdict(list), {}
    for cell in module["cells"].values():
        for pin in {"TRELLIS_FF": "Q", "LUT4": "Z"}.get(cell["type"], ""):
            drivers.update((bit, cell) for bit in cell["connections"].get(pin, ()))
        if cell["type"] == "TRELLIS_FF":
            for bit in cell["connections"].get("LSR", ()):
                if isinstance(bit, int):
                    users[bit].append(cell)
    found = [(bit, cells) for bit, cells in users.items() if len(cells) >= wide and bit in drivers]
    # Those that are computed first: what they are computed of is found by its reset.
    found.sort(key=lambda item: drivers[item[0]]["type"])
    made = []
    for bit, cells in found:
        name = f"reset_buffer_{len(made)}"
        source = bit
        if drivers[bit]["type"] == "LUT4":
            source = _registered(module, drivers, bit, f"{name}_in")
        if source is None:
            continue
        behind = _net(module, name)
        module["cells"][name] = {
            "hide_name": 0,
            "type": "DCCA",
            "parameters": {},
            "attributes": {},
            "port_directions": {"CLKI": "input", "CLKO": "output"},
            "connections": {"CLKI": [source], "CLKO": [behind]},
        }
        for cell in cells:
            cell["connections"]["LSR"] = [behind]
        made.append(name)
    return made


def _registered(
    module: MutableMapping, drivers: Mapping[int, MutableMapping], bit: int, name: str
) -> int | None:
    """Give the reset of a LUT a flip-flop that is high in the same cycles.

    Parameters
    ----------
    drivers
        Flip-flops and LUTs by the net that they drive.
    bit
        Net of the LUT.
    name
        Of the flip-flop.

    Returns
    -------
    int or None
        Its net; or the LUT says something else than that one of two flip-flops is high, or they are
        not alike enough for that to be known a cycle before.
    """
    lut = drivers[bit]
    pins = [lut["connections"][pin][0] for pin in _LUT_INPUTS]
    inputs = [pin for pin in pins if isinstance(pin, int)]
    if len(inputs) != 2 or not all(drivers.get(pin, lut)["type"] == "TRELLIS_FF" for pin in inputs):
        return None
    table = int(lut["parameters"]["INIT"], 2)
    for index in range(1 << len(pins)):
        values = [index >> n & 1 for n in range(len(pins))]
        fits = all(
            {"0": 0, "1": 1}.get(pin, value) == value
            for pin, value in zip(pins, values, strict=True)
        )
        high = any(value for pin, value in zip(pins, values, strict=True) if pin in inputs)
        if fits and table >> index & 1 != high:
            return None
    for first, second in (inputs, reversed(inputs)):
        of_all, other = drivers[first], drivers[second]
        mode = other["parameters"]
        if (
            other["connections"].get("LSR") == [first]
            and other["connections"]["CLK"] == of_all["connections"]["CLK"]
            and (mode["REGSET"], mode["SRMODE"]) == ("RESET", "LSR_OVER_CE")
            and not (of_all["connections"].keys() | other["connections"].keys()) & {"CE"}
        ):
            following, made = _net(module, f"{name}_next"), _net(module, name)
            now = (of_all["connections"]["DI"], other["connections"]["DI"], [first], ["0"])
            module["cells"][f"{name}_next"] = {
                **lut,
                "parameters": {"INIT": _NEXT},
                "connections": {**dict(zip(_LUT_INPUTS, now, strict=True)), "Z": [following]},
            }
            connections = {**of_all["connections"], "DI": [following], "Q": [made]}
            module["cells"][name] = {**of_all, "connections": connections}
            return made
    return None


def _net(module: MutableMapping, name: str) -> int:
    """A new net; returns its number."""
    named = module["netnames"]
    free = 1 + max(
        (bit for net in named.values() for bit in net["bits"] if isinstance(bit, int)), default=1
    )
    named[name] = {"hide_name": 0, "bits": [free], "attributes": {}}
    return free

"""Puts wide resets on the clock network of a netlist: nextpnr does so for clocks alone.

A reset of ten thousand flip-flops takes wires in every tile from what has to be routed there. The
clock network reaches the same pins with wires of its own, and with little delay between the first
and the last.
"""

from collections import defaultdict
from collections.abc import MutableMapping

__all__ = ["promote_resets"]

#: Flip-flops that make a reset worth one of the eight networks that reach such pins.
WIDE = 500


def promote_resets(module: MutableMapping, wide: int = WIDE) -> list[str]:
    """Drive the reset pins of flip-flops through a clock buffer, where one flip-flop resets many.

    Logic that looks at the reset goes on doing so in front of the buffer. What is computed is
    left alone: it comes late in a cycle, and has a long way to the device's edge and back. Few
    buffers can be reached from inside of the device: of three, nextpnr put one where no wire led.

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
    users, kept = defaultdict(list), set()
    for cell in module["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            kept.update(cell["connections"].get("Q", ()))
            for bit in cell["connections"].get("LSR", ()):
                if isinstance(bit, int):
                    users[bit].append(cell)
    free = 1 + max(
        (bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int)),
        default=1,
    )
    made = []
    for bit, cells in users.items():
        if len(cells) < wide or bit not in kept:
            continue
        name = f"reset_buffer_{len(made)}"
        module["netnames"][name] = {"hide_name": 0, "bits": [free], "attributes": {}}
        module["cells"][name] = {
            "hide_name": 0,
            "type": "DCCA",
            "parameters": {},
            "attributes": {},
            "port_directions": {"CLKI": "input", "CLKO": "output"},
            "connections": {"CLKI": [bit], "CLKO": [free]},
        }
        for cell in cells:
            cell["connections"]["LSR"] = [free]
        made.append(name)
        free += 1
    return made

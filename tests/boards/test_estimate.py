"""Long paths, estimated from a netlist."""

import json

import pytest
from click.testing import CliRunner

from boards.estimate import longest_paths, main

#: Of a net with one pin.
WIRE = 0.75


def cell(kind, outputs, **pins):
    return {
        "type": kind,
        "port_directions": {pin: "output" if pin in outputs else "input" for pin in pins},
        "connections": {pin: [bit] for pin, bit in pins.items()},
    }


def row(*between, **names):
    """A flip-flop of ``start``, cells, a flip-flop of ``end``, which takes bit 9."""
    cells = {
        "start_TRELLIS_FF_Q": cell("TRELLIS_FF", "Q", CLK=2, DI="0", Q=3),
        **{f"between_{n}": each for n, each in enumerate(between)},
        "end_TRELLIS_FF_Q": cell("TRELLIS_FF", "Q", CLK=2, DI=9, Q=10),
    }
    nets = {"clk": 2, "start": 3, "end": 10, **names}
    return {"cells": cells, "netnames": {name: {"bits": [bit]} for name, bit in nets.items()}}


def test_logic_and_wires():
    lut = cell("LUT4", "Z", A=3, B="0", C="x", D="1", Z=9)
    (path,) = longest_paths(row(lut, sum_LUT4_Z=9), 5)
    assert path.ns == pytest.approx(0.31 + WIRE + 0.14 + WIRE)
    assert path.signals == ("end", "sum", "start")


def test_more_pins_take_longer():
    luts = [cell("LUT4", "Z", A=3, Z=bit) for bit in (9, 11, 12, 13)]
    (path,) = longest_paths(row(*luts), 5)
    assert path.ns == pytest.approx(0.31 + WIRE + 2 * 0.11 + 0.14 + WIRE)


def test_carry_has_its_own_wires():
    pair = [
        cell("CCU2C", ("COUT", "S0", "S1"), A0=3, COUT=4, S0=11, S1=12),
        cell("CCU2C", ("COUT", "S0", "S1"), CIN=4, COUT=5, S0=13, S1=9),
    ]
    (path,) = longest_paths(row(*pair), 5)
    assert path.ns == pytest.approx(0.31 + WIRE + 0.28 + 0.28 + WIRE)


def test_the_longest_comes_first():
    module = row(cell("LUT4", "Z", A=3, Z=9))
    module["cells"]["other_TRELLIS_FF_Q"] = cell("TRELLIS_FF", "Q", CLK=2, CE=3, Q=20)
    assert [path.signals[0] for path in longest_paths(module, 5)] == ["end", "other"]
    assert [path.signals[0] for path in longest_paths(module, 1)] == ["end"]


def test_circle():
    with pytest.raises(ValueError, match="in a circle"):
        longest_paths(row(cell("LUT4", "Z", A=8, Z=9), cell("LUT4", "Z", A=9, Z=8)), 1)


def test_a_ring_that_is_kept_begins_a_path():
    ring = {**cell("LUT4", "Z", A=8, Z=8), "attributes": {"keep": "1"}}
    (path,) = longest_paths(row(ring, cell("LUT4", "Z", A=8, Z=9)), 1)
    assert path.ns < 3


def placed(kind, outputs, bel, **pins):
    return {**cell(kind, outputs, **pins), "attributes": {"NEXTPNR_BEL": bel}}


def test_places_give_distances():
    # From column 10 to column 2 are eight tiles.
    module = row(placed("TRELLIS_COMB", "F", "X2/Y4/SLICEA.LUT0", A=3, F=9))
    for name, place in (("start", "X10/Y4/SLICEA.FF0"), ("end", "X2/Y4/SLICEA.FF0")):
        module["cells"][f"{name}_TRELLIS_FF_Q"]["attributes"] = {"NEXTPNR_BEL": place}
    (path,) = longest_paths(module, 5)
    # The flip-flop behind a LUT stands in its slice.
    assert path.ns == pytest.approx(0.31 + 0.054 * (6 + 8) + 0.14)


def test_placed_carry_has_its_own_wires():
    pair = [
        placed("TRELLIS_COMB", ("F", "FCO"), f"X{at}/Y4/SLICEA.LUT0", **pins)
        for at, pins in ((2, {"A": 3, "FCO": 4, "F": 11}), (60, {"FCI": 4, "F": 9, "FCO": 12}))
    ]
    module = row(*pair)
    for name in ("start", "end"):
        place = {"NEXTPNR_BEL": "X2/Y4/SLICEA.FF0"}
        module["cells"][f"{name}_TRELLIS_FF_Q"]["attributes"] = place
    (path,) = longest_paths(module, 5)
    assert path.ns == pytest.approx(0.31 + 0.054 * 6 + 0.28 + 0.28)


def test_the_clock_network_is_everywhere():
    module = row(placed("DCCA", "CLKO", "X40/Y0/TDCC1", CLKI=3, CLKO=9))
    for name in ("start", "end"):
        place = {"NEXTPNR_BEL": "X40/Y0/SLICEA.FF0"}
        module["cells"][f"{name}_TRELLIS_FF_Q"]["attributes"] = place
    (path,) = longest_paths(module, 5)
    assert path.ns == pytest.approx(0.31 + 0.054 * 6 + 0.14)


def test_command(tmp_path):
    module = row(cell("LUT4", "Z", A=3, Z=9))
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {"top": module}}))
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.output == "  1.95 ns  end <- start\n"
    (tmp_path / "seed.placed").write_text(json.dumps({"modules": {"top": module}}))
    assert CliRunner().invoke(main, [str(tmp_path), "--placed", "seed.placed"]).output

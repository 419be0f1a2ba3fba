"""Wide resets on the clock network."""

from boards.resets import promote_resets


def flip_flop(reset, output=9):
    return {
        "type": "TRELLIS_FF",
        "port_directions": {"CLK": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [2], "LSR": [reset], "Q": [output]},
    }


def netlist():
    """Three flip-flops that reset 5 resets, two that 6 does, one with none, logic behind 5.

    Resets 5 and 6 are flip-flops themselves.
    """
    cells = {f"wide_{n}": flip_flop(5) for n in range(3)}
    cells |= {f"narrow_{n}": flip_flop(6) for n in range(2)}
    cells |= {f"reset_{n}": flip_flop("0", n) for n in (5, 6)}
    cells["never"] = flip_flop("0")
    cells["logic"] = {
        "type": "LUT4",
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [5], "Z": [9]},
    }
    return {"cells": cells, "netnames": {"a": {"bits": [2, 5, "x"]}, "b": {"bits": [6, 9]}}}


def test_wide_resets_go_through_a_buffer():
    module = netlist()
    assert promote_resets(module, 3) == ["reset_buffer_0"]
    cells = module["cells"]
    assert cells["reset_buffer_0"]["type"] == "DCCA"
    (behind,) = cells["reset_buffer_0"]["connections"]["CLKO"]
    # A net of its own, which nothing else is on.
    assert behind > 9 and module["netnames"]["reset_buffer_0"]["bits"] == [behind]
    assert cells["reset_buffer_0"]["connections"]["CLKI"] == [5]
    assert all(cells[f"wide_{n}"]["connections"]["LSR"] == [behind] for n in range(3))
    assert cells["logic"]["connections"]["A"] == [5]
    assert cells["narrow_0"]["connections"]["LSR"] == [6]
    assert cells["never"]["connections"]["LSR"] == ["0"]


def test_narrow_resets_stay():
    module = netlist()
    assert promote_resets(module, 4) == [] and module == netlist()


def test_computed_resets_stay():
    """What logic makes comes late, and its way to a buffer may not exist."""
    module = netlist()
    module["cells"]["logic"]["connections"] = {"A": [6], "Z": [5]}
    del module["cells"]["reset_5"]
    assert promote_resets(module, 2) == ["reset_buffer_0"]
    cells = module["cells"]
    assert cells["reset_buffer_0"]["connections"]["CLKI"] == [6]
    assert all(cells[f"wide_{n}"]["connections"]["LSR"] == [5] for n in range(3))

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
        "connections": {"A": [5], "B": ["0"], "C": ["0"], "D": ["0"], "Z": [9]},
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
    module["cells"]["logic"]["connections"] |= {"A": [6], "Z": [5]}
    del module["cells"]["reset_5"]
    assert promote_resets(module, 2) == ["reset_buffer_0"]
    cells = module["cells"]
    assert cells["reset_buffer_0"]["connections"]["CLKI"] == [6]
    assert all(cells[f"wide_{n}"]["connections"]["LSR"] == [5] for n in range(3))


def synchronous(reset, output, **changed):
    """A flip-flop as Yosys writes it, with a reset that comes with the clock."""
    cell = flip_flop(reset, output)
    cell["parameters"] = {"REGSET": "RESET", "SRMODE": "LSR_OVER_CE", **changed}
    cell["connections"]["DI"] = [output + 10]
    return cell


def joined(table=0xFFF0, **changed):
    """Resets 5, of all, and 6, of a part; a LUT makes 7 of both, which resets four."""
    netlist = {"cells": {f"part_{n}": flip_flop(7, 20 + n) for n in range(4)}}
    netlist["cells"] |= {
        "all": synchronous("0", 5, REGSET="SET", SRMODE="ASYNC"),
        "part": synchronous(5, 6, **changed),
        "either": {
            "type": "LUT4",
            "parameters": {"INIT": f"{table:016b}"},
            "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
            "connections": {"A": ["0"], "B": ["0"], "C": [5], "D": [6], "Z": [7]},
        },
    }
    netlist["netnames"] = {"nets": {"bits": list(range(2, 30))}}
    return netlist


def test_a_reset_of_two_flip_flops_gets_one_of_its_own():
    module = joined()
    assert promote_resets(module, 3) == ["reset_buffer_0"]
    cells = module["cells"]
    (source,) = cells["reset_buffer_0"]["connections"]["CLKI"]
    (behind,) = cells["reset_buffer_0"]["connections"]["CLKO"]
    assert all(cells[f"part_{n}"]["connections"]["LSR"] == [behind] for n in range(4))
    made, following = cells["reset_buffer_0_in"], cells["reset_buffer_0_in_next"]
    assert made["connections"]["Q"] == [source] and made["parameters"]["REGSET"] == "SET"
    assert made["connections"]["DI"] == following["connections"]["Z"]
    # In the next cycle either is high: the first one's input, or the other's unless it is reset.
    table = int(following["parameters"]["INIT"], 2)
    pins = [following["connections"][pin] for pin in "ABCD"]
    assert pins == [[15], [16], [5], ["0"]]
    for index in range(8):
        first, second, reset = (index >> n & 1 for n in range(3))
        assert table >> index & 1 == first | second & ~reset


def test_other_logic_of_two_flip_flops_stays():
    for module in (
        # Both are high; or the second begins with one, or is reset at any time.
        joined(0xF000),
        joined(REGSET="SET"),
        joined(SRMODE="ASYNC"),
    ):
        assert promote_resets(module, 3) == []
        assert all(module["cells"][f"part_{n}"]["connections"]["LSR"] == [7] for n in range(4))

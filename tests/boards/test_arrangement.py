"""Block RAMs change places for less wire."""

import pytest

from boards.arrangement import FREE, arrange, keep_free


def cell(kind, site, **connections):
    return {
        "type": kind,
        "attributes": {"NEXTPNR_BEL": site},
        "connections": {pin: [bit] for pin, bit in connections.items()},
    }


def row(*users):
    """Four block RAMs side by side, the bits 1 to 4 on them, and who else is on these bits."""
    cells = {f"ram_{n}": cell("DP16KD", f"X{10 * n}/Y22/EBR{n}", DOA0=n + 1) for n in range(4)}
    for bit, column in users:
        cells[f"user_{bit}"] = cell("TRELLIS_COMB", f"X{column}/Y20/SLICEA.K0", A=bit)
    return {"cells": cells}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_goes_to_who_reads_it(seed):
    sites = arrange(row((1, 30), (2, 0), (3, 11), (4, 19)), seed)
    assert sites == {
        "ram_0": "X30/Y22/EBR3",
        "ram_1": "X0/Y22/EBR0",
        "ram_2": "X10/Y22/EBR1",
        "ram_3": "X20/Y22/EBR2",
    }


def test_clocks_and_what_is_everywhere_say_nothing():
    placed = row((1, 0), (2, 10), (3, 20), (4, 30))
    # The clock's other end would have the first stand where the last one does.
    placed["cells"]["ram_0"]["connections"]["CLKA"] = [5]
    placed["cells"]["clock"] = cell("TRELLIS_FF", "X90/Y22/SLICEA.FF0", CLK=5)
    # Without a place: it is a constant.
    placed["cells"]["ground"] = {"type": "GND", "attributes": {}, "connections": {"G": [1]}}
    assert arrange(placed, 1) == {f"ram_{n}": f"X{10 * n}/Y22/EBR{n}" for n in range(4)}


def test_rows_are_kept_free_of_luts():
    module = {"cells": {"lut": {"type": "LUT4"}}}
    keep_free(module, (21, 23), range(3, 6))
    assert module["cells"].pop("lut")
    sites = {each["attributes"]["BEL"] for each in module["cells"].values()}
    # Eight in a tile.
    assert len(sites) == len(module["cells"]) == 2 * 3 * 8
    assert {"X3/Y21/SLICEA.K0", "X5/Y23/SLICED.K1"} <= sites
    assert all(name.startswith(FREE) for name in module["cells"])

"""When a router is given up: lines as nextpnr 0.11.1 writes them."""

from pathlib import Path

import pytest

from boards.convergence import Convergence
from boards.synthesis import ToolError, run_tool


def rounds(*overuse):
    return [
        f"Info:     iter={n} wires=409127 overused={left} overuse={left} archfail=NA\n"
        for n, left in enumerate(overuse, 1)
    ]


def thousands(*left):
    return [
        f"Info: {n * 1000:10d} | {n * 93:8d} {n * 907:10d} | {93:4d} {907:5d} | {each:9d}| "
        f"{0.12:10.2f} {0.12 * n:10.2f}|\n"
        for n, each in enumerate(left, 1)
    ]


def verdict(lines):
    """What is said, and after how many lines."""
    watch = Convergence()
    for number, line in enumerate(lines, 1):
        if why := watch.hopeless(line):
            return number, why
    return None


def test_what_falls_is_waited_for():
    # One that has ended: two wires took it from round 38 to round 61.
    tail = [2, 3, 2, 2, 3, *[1] * 12, 2, 1, 2, 1, 1, 0]
    assert verdict(rounds(31952, 9182, 2271, 552, 140, 51, 16, 17, 8, *tail)) is None
    assert verdict(thousands(*range(90_000, 0, -1000))) is None
    # Routing by delay begins anew.
    assert verdict([*rounds(*range(900, 0, -100)), *rounds(*range(2000, 0, -100))]) is None


def test_what_grows_is_given_up():
    number, why = verdict(rounds(*range(5000, 700, -250), *range(800, 9000, 150)))
    assert 12 < number < 40
    assert "there were 750 after 18" in why
    number, why = verdict(rounds(9000, 300, *[7] * 200))
    assert 100 < number < 110 and "7 wires used twice, and there were 7 after 3" in why
    number, why = verdict(thousands(*range(90_000, 20_000, -1000), *[21_000] * 300))
    assert 200 < number < 240 and "21000 connections to make" in why


def test_other_lines_say_nothing():
    assert verdict(["Info: Routing globals...\n", "Info: 0.31 ns logic, 0.65 ns routing\n"]) is None


def test_a_tool_that_is_given_up_ends(tmp_path: Path):
    """It would go on for an hour."""

    def give_up(line):
        raise ToolError("no hope")

    with pytest.raises(ToolError, match="no hope"):
        run_tool(tmp_path, "loop", "sh", "-c", "echo round; exec sleep 3600", progress=give_up)

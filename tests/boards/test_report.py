"""The area report counts what is there, and fails where a constraint is not met."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amaranth.back import rtlil
from click.testing import CliRunner

from boards import report, rooms
from boards.rooms import Room, SideBySide
from boards.shell import Shell
from boards.synthesis import Area, ToolError, place, synthesise, usage

from .toy import Counter, Toy


@pytest.fixture(scope="module")
def shell():
    return Shell(Toy(), {})


@pytest.fixture(scope="module")
def text(shell):
    return rtlil.convert(shell, name="top")


def test_area(shell, text, tmp_path):
    area = synthesise(text, tmp_path, "top")
    # 16 inputs, 32 outputs and the reset are registered by the shell.
    assert shell.registers == 49
    assert area.ff == 49 + 16
    assert area.lutram == 4 and area.ebr == 1 and area.dsp == 0
    # The sum; the read address counts in LUTs.
    assert area.carry == 16 / 2
    assert area.comb == area.lut + 2 * 8 + 6 * 4


def test_usage(text, tmp_path):
    rows = {row.path: row for row in usage(text, tmp_path, "top")}
    assert set(rows) == {"top", "dut", "dut.counter", "dut.large"}
    assert rows["dut.counter"].own == Area(carry=8, ff=16)
    # What synthesis knows of a Ram keeps its EBR free of anything beside it.
    assert rows["dut.large"].total == Area(ebr=1)
    assert rows["dut"].own.lutram == 4
    below = rows["dut.counter"].total + rows["dut.large"].total
    assert rows["dut"].total == rows["dut"].own + below
    assert rows["top"].own == Area(ff=49)


def test_unused_constraint(text, tmp_path):
    synthesise(text, tmp_path, "top")
    with pytest.raises(ToolError, match="clk_rx"):
        place(tmp_path, {"clk": 100, "clk_rx": 125}, seed=1)


def test_tool_failure(tmp_path):
    with pytest.raises(ToolError, match="flat ended with status 1"):
        synthesise("nonsense", tmp_path, "top")


@pytest.mark.parametrize("mhz, status", [(100, 0), (5000, 1)])
def test_one_room(mhz, status, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "_BUILD", tmp_path)
    monkeypatch.setitem(rooms.ROOMS, "toy", Room(Toy, 100, 1, mhz))
    result = CliRunner().invoke(report.main, ["toy", "--no-tree"])
    assert result.exit_code == status, result.output
    figures = json.loads((tmp_path / "toy" / "report.json").read_text())
    assert figures["area"]["ff"] == 16
    # Nextpnr also enters and leaves the carry chain through cells of its own.
    estimate = Area(**figures["area"]).comb
    assert 0 <= figures["comb"] - estimate <= 2 * 5
    assert figures["wanted_mhz"] == {"clk": mhz}
    assert figures["path"][0]["kind"] == "clk-to-q"


def test_all_rooms(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "_BUILD", tmp_path)
    for name in list(rooms.ROOMS):
        monkeypatch.delitem(rooms.ROOMS, name)
    monkeypatch.setitem(rooms.ROOMS, "toy", Room(Toy, 100, 1))
    for name in list(rooms.CARDS):
        monkeypatch.delitem(rooms.CARDS, name)
    monkeypatch.setitem(rooms.CARDS, "pair", ("toy", "toy"))
    result = CliRunner().invoke(report.main, [])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "toy" / "report.json").read_text())
    room, card = (
        re.search(rf"{name} .*", result.output)[0].split("│")[-4:-1] for name in ("toy", "pair")
    )
    # EBR's limit, COMB, and its limit.
    assert [int(each.strip()) for each in room] == [1, figures["comb_estimate"], 100]
    assert [int(each.strip()) for each in card] == [2, 2 * figures["comb_estimate"], 200]


def test_cards_are_made_of_rooms():
    assert {name for names in rooms.CARDS.values() for name in names} <= set(rooms.ROOMS)


def test_terminated_with_its_tools(tmp_path):
    """What nobody waits for any more does not go on for hours."""
    program = (
        "from pathlib import Path; from boards.synthesis import end_with_tools, run_tool;"
        "end_with_tools();"
        f"run_tool(Path({str(tmp_path)!r}), 'tool', 'sh', '-c', 'echo $$; exec sleep 100')"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        log = tmp_path / "tool.log"
        while not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.05)
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    tool = Path("/proc", log.read_text().strip())
    end = time.monotonic() + 10
    while _lives(tool):
        assert time.monotonic() < end, "the tool goes on"
        time.sleep(0.05)


def _lives(process: Path) -> bool:
    """Neither gone nor dead: that it was killed shows a moment later, to its new parent first."""
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_unknown_room():
    result = CliRunner().invoke(report.main, ["nowhere"])
    assert result.exit_code == 1
    assert "No room is called 'nowhere'" in result.output


def test_side_by_side(tmp_path):
    shell = Shell(SideBySide(left=Counter(), right=Counter()), {})
    area = synthesise(rtlil.convert(shell, name="top"), tmp_path, "top")
    # The first bit of each sum is a LUT, and needs no carry in front of it.
    assert area == Area(lut=2, carry=16, ff=32 + shell.registers)

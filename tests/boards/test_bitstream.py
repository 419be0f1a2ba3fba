"""The way to a bitstream, on a card of no rooms: what it leaves, and what makes it fail."""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from boards import bitstream, costs, flash
from boards.arrangement import FREE
from boards.bitstream import Attempt, Build
from boards.board import find_board
from boards.synthesis import ToolError, run_tool

from .loop import Loop

#: What the boot ROM is to hold.
ROM = [0x9E3779B1 * n & 0xFFFFFFFF for n in range(512)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build that has gone its way, what it told, its netlist and its best attempt."""
    told = []
    folder = tmp_path_factory.mktemp("versa-loop")
    build = Build(find_board("versa"), "loop", Loop, folder, tell=told.append)
    netlist = build.synthesise(*build.elaborate())
    build.check(netlist)
    best = build.place(netlist, [1])
    assert build.finish(netlist, best, ROM)
    return build, told, netlist, best


def test_leaves_what_it_should(built):
    build, told, _, _ = built
    assert (build.folder / "niter.bit").stat().st_size > 100_000
    assert "SDR" in (build.folder / "niter.svf").read_text()[:5000]
    # The reset has gone onto the clock network, and the tools have found a way for it.
    assert "net reset_buffer_0 using global" in (build.folder / "router2-1.log").read_text()
    figures = json.loads((build.folder / "report.json").read_text())
    assert set(figures) == {"device", "config", "seed", "total", "rooms", "clocks", "paths"}
    assert figures["device"] == "LFE5UM5G-45F-8" and figures["config"] == "loop"
    assert figures["seed"] == 1
    for cells in (figures["total"], *figures["rooms"].values()):
        assert set(cells) == {"comb", "lut4", "ff", "ebr", "dsp"}
    for kind, number in figures["total"].items():
        assert number == sum(room[kind] for room in figures["rooms"].values())
    assert figures["rooms"]["pcie"]["ff"] > 300 and figures["rooms"]["mac"]["ff"] > 10
    assert figures["clocks"]["clk_sync"]["constraint_mhz"] == 80
    assert figures["clocks"]["clk_wire"]["constraint_mhz"] == 125
    assert all(each["hops"] for each in figures["paths"])
    report = (build.folder / "report.md").read_text()
    assert "| clk_sync | 80 |" in report and "bitstream from flash" in report
    slowest = re.search(r"paths of the core end.*\n\n- ([\d.]+) `\w", report)
    core = next(each for each in figures["paths"] if each["clock"] == "clk_sync")["hops"]
    # The first is the end of the path that is shown hop by hop.
    assert float(slowest[1]) == pytest.approx(sum(hop["delay_ns"] for hop in core), abs=0.5)
    # Of what has no name, little is left; it may have no place of its own.
    drawn = (build.folder / "floorplan.svg").read_text().count("<path")
    assert len(figures["rooms"].keys() - {"nameless"}) <= drawn <= len(figures["rooms"])
    assert any("router2-1: Rout" in line for line in told)


def test_boot_rom_is_in_the_bitstream(built):
    """Unpacked again, the bitstream has one block memory, and in it what was given."""
    build, *_ = built
    tool = str(Path(sys.executable).with_name("yowasp-ecpunpack"))
    run_tool(build.folder, "ecpunpack", tool, "--input", "niter.bit", "--textcfg", "again.config")
    text = (build.folder / "again.config").read_text()
    (content,) = re.findall(r"\.bram_init \d+\n((?:[0-9a-f ]+\n)+)", text)
    # Of nine bits each, four to a word.
    parts = [int(each, 16) for each in content.split()]
    words = [
        sum(part << 9 * at for at, part in enumerate(parts[n : n + 4])) & 0xFFFFFFFF
        for n in range(0, len(parts), 4)
    ]
    assert words == ROM


def test_all_clocks_are_there(built):
    build, _, netlist, best = built
    # Ethernet's transmit clock is one, and independent of what is received.
    assert set(netlist.clocks()) == {
        *("clk_sync", "clk_wire", "clk_gmii0_rx", "clk_lane_tx", "clk_lane_rx"),
    }
    assert set(build.clocks(netlist, best)) == set(netlist.clocks())


def test_rows_are_kept_free(built, tmp_path):
    """It is placed twice; what keeps sites free is no cell of the card's."""
    build, _, netlist, _ = built
    rows, told = (33, 35), []
    again = Build(find_board("versa"), "loop", Loop, tmp_path, tell=told.append, free_rows=rows)
    again.synthesise(*again.elaborate())
    found = again.place(netlist, [1])
    assert again.finish(netlist, found)
    assert any("placing again" in line for line in told)
    placed = json.loads((tmp_path / f"{found.name}.placed").read_text())
    there = {
        name
        for name, cell in placed["modules"]["top"]["cells"].items()
        if re.match(rf"X\d+/Y({'|'.join(map(str, rows))})/.*K\d", cell["attributes"]["NEXTPNR_BEL"])
    }
    assert there and all(name.startswith(FREE) for name in there)
    totals = [
        json.loads((each.folder / "report.json").read_text())["total"] for each in (build, again)
    ]
    assert totals[0] == totals[1]


def with_clock(best, netlist, clock, **figures):
    """An attempt as it would be if nextpnr had said something else of a clock."""
    report = copy.deepcopy(best.report)
    names = {*netlist.aliases(clock), *(f"$glbnet${name}" for name in netlist.aliases(clock))}
    (net,) = names & set(report["fmax"])
    if figures:
        report["fmax"][net] |= figures
    else:
        del report["fmax"][net]
    return Attempt(best.seed, best.router, report)


def test_dropped_constraint(built):
    """nextpnr falls back to 12 MHz when it does not find what a constraint names."""
    build, _, netlist, best = built
    with pytest.raises(ToolError, match=r"held clk_lane_rx to 12\.00 MHz, not 125"):
        build.clocks(netlist, with_clock(best, netlist, "clk_lane_rx", constraint=12.0))
    with pytest.raises(ToolError, match="no figure for clk_wire"):
        build.clocks(netlist, with_clock(best, netlist, "clk_wire"))


def test_missed_constraint(built):
    build, _, netlist, best = built
    slow = with_clock(best, netlist, "clk_sync", achieved=79.9)
    assert build.finish(netlist, slow) is False
    # The better of two is taken, whatever their order.
    assert build._merit(netlist, best) > build._merit(netlist, slow)


def test_several_seeds(built, monkeypatch):
    """Both routers try each; one that is given up does not end the others, and the best is kept."""
    build, told, netlist, best = built
    reached = {
        ("router1", 1): None,
        ("router2", 1): 81.0,
        ("router1", 2): 90.0,
        ("router2", 2): 79.0,
    }

    def attempt(seed, router):
        mhz = reached.pop((router, seed))
        if mhz is None:
            raise ToolError(f"{router}-{seed}: does not converge")
        found = with_clock(best, netlist, "clk_sync", achieved=mhz)
        return Attempt(seed, router, found.report)

    monkeypatch.setattr(build, "_attempt", attempt)
    assert build.place(netlist, [1, 2]).name == "router1-2"
    assert not reached and any("router1-1: does not converge" in line for line in told)
    reached |= {
        ("router1", 1): None,
        ("router2", 1): None,
        ("router1", 2): None,
        ("router2", 2): None,
    }
    with pytest.raises(ToolError, match="does not converge"):
        build.place(netlist, [1, 2])


def test_what_is_done_again(built, monkeypatch, tmp_path):
    """Another boot ROM is put into what was placed; nothing at all happens when nothing changed."""
    _, _, netlist, best = built
    rom, done = [1], []
    build = Build(find_board("versa"), "loop", Loop, tmp_path, lambda folder: rom, done.append)
    monkeypatch.setattr(build, "elaborate", lambda: ("text", "lpf"))
    monkeypatch.setattr(build, "synthesise", lambda *_: netlist)
    clocks = {"clk_sync": {"constraint_mhz": 80, "fmax_mhz": 81}}

    def place(netlist, seeds):
        done.append("placed")
        (tmp_path / f"{best.name}.json").write_text(json.dumps(best.report))
        return best

    def finish(netlist, attempt, words):
        assert attempt == best
        done.append(f"packed {words}")
        (tmp_path / "report.json").write_text(json.dumps({"clocks": clocks}))
        return True

    monkeypatch.setattr(build, "place", place)
    monkeypatch.setattr(build, "finish", finish)

    def runs(wanted):
        done.clear()
        assert build.run([1])
        assert [each for each in done if each.startswith("p")] == wanted

    for words, wanted in ([1], ["placed", "packed [1]"]), ([2], ["packed [2]"]), ([2], []):
        rom[:] = words
        runs(wanted)
    # So it is when only what is made of a placed design has changed.
    monkeypatch.setattr(bitstream, "_FLOW", bitstream._FLOW[1:])
    runs(["packed [2]"])
    runs([])


def test_unconstrained_clock(built, monkeypatch):
    build, _, netlist, _ = built
    wanted = {k: v for k, v in build._top.wanted_mhz.items() if k != "clk_lane_tx"}
    monkeypatch.setattr(build._top, "wanted_mhz", wanted)
    with pytest.raises(ToolError, match="No constraint is on clk_lane_tx"):
        build.check(netlist)


def test_unknown_names():
    run = CliRunner().invoke
    assert "No board is called 'toaster'" in run(bitstream.main, ["--board", "toaster"]).output
    assert "No configuration is called" in run(bitstream.main, ["--config", "none"]).output


def test_flash_names_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(flash, "_BUILD", tmp_path)
    result = CliRunner().invoke(flash.main, [])
    assert result.exit_code == 1 and "make bitstream BOARD=versa CONFIG=network" in result.output
    result = CliRunner().invoke(flash.main, ["--config", "full"])
    assert "make bitstream BOARD=versa85 CONFIG=full" in result.output
    folder = tmp_path / "versa-network"
    folder.mkdir()
    (folder / "niter.svf").touch()
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(flash.main, [])
    assert result.exit_code == 1 and "apt-get install" in result.output


def test_costs(built):
    build, *_ = built
    report = json.loads((build.folder / "report.json").read_text()) | {"config": "network"}
    report["rooms"]["virtio"] = dict.fromkeys(report["total"], 6000)
    text = costs.costs_markdown({"versa-network": report})
    # What is over its limit is bold.
    assert "| virtio | **6,000** | 5,000 | 6,000 | **6,000** | 14 |" in text
    assert "| `clk_sync` | 80 |" in text and "(versa-network.svg)" in text
    # What was not built here stays; what there is no more goes.
    other = {"versa85-full": report | {"config": "full"}}
    both = costs.costs_markdown(other, text + "\n## versa-former\n\nfigures\n")
    assert both.count("\n## versa-network\n") == both.count("\n## versa85-full\n") == 1
    assert text.split("\n## ")[1].strip() in both and "former" not in both
    assert costs.costs_markdown({"versa-network": report}, both) == costs.costs_markdown({}, both)

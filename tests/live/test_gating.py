"""A component with clocks for its parts does what it does without, cycle by cycle."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sim.harness.build import TOP, VERILATOR_FLAGS, to_verilog, tool_environment
from sim.live.gating import gated_verilog
from sim.live.triggers import Triggers, TriggersError

_HERE = Path(__file__).parent
#: A counter of the design's, and what is watched of it.
_WATCHED = 3
_WATCH = {"low": (f"counter{_WATCHED}.count", 8)}
#: Way, name and width of each.
Ports = list[tuple[str, str, int]]


class Counter(wiring.Component):
    """A register of its own beside a module that has too few for a clock."""

    go: In(1)
    step: In(8)
    count: Out(16)

    def elaborate(self, platform):
        m = Module()
        with m.If(self.go):
            m.d.sync += self.count.eq(self.count + self.step)
        return m


class Store(wiring.Component):
    """A memory with bytes that are written apart, and a read that waits for an enable."""

    address: In(4)
    data: In(32)
    enable: In(4)
    read: In(1)
    value: Out(32)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=16, init=range(16))
        write, read = memory.write_port(granularity=8), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.address),
            write.data.eq(self.data),
            write.en.eq(self.enable),
            read.addr.eq(self.address ^ 1),
            read.en.eq(self.read),
            self.value.eq(read.data),
        ]
        return m


class Design(wiring.Component):
    """Modules in modules, which read each other without a register between.

    With ``shown`` it has for an output what is watched otherwise.
    """

    def __init__(self, *, shown: bool = False):
        self._shown = shown
        super().__init__(
            {
                "bus__address": In(4),
                "bus__data": In(32),
                "bus__enable": In(4),
                "bus__wide": In(100),
                "free__go": In(1),
                "sum": Out(33),
                "wide": Out(100),
                "direct": Out(32),
                **({"watch__low": Out(8)} if shown else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = Store()
        for n in range(8):
            m.submodules[f"counter{n}"] = counter = Counter()
            m.d.comb += counter.go.eq(self.free__go & (store.value[n] == self.bus__data[n]))
            m.d.comb += counter.step.eq(self.bus__data[8:16] + n)
            m.d.sync += self.sum.eq(self.sum + counter.count)
            if self._shown and n == _WATCHED:
                m.d.comb += self.watch__low.eq(counter.count)
        m.d.comb += [
            store.address.eq(self.bus__address),
            store.data.eq(self.bus__data),
            store.enable.eq(self.bus__enable),
            store.read.eq(self.free__go | self.sum[0]),
            self.direct.eq(store.value ^ self.bus__data),
        ]
        with m.If(self.sum[0]):
            m.d.sync += self.wide.eq(self.bus__wide ^ (self.wide << 1) ^ Const(5, 100))
        return m


def _ports(text: str) -> Ports:
    """Of the top."""
    top = re.search(rf"^module {TOP}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)[0]
    found = re.findall(r"^  (input|output) (?:reg )?(?:\[(\d+):0\] )?(\w+) ?;", top, re.MULTILINE)
    return [(way, name, int(high or 0) + 1) for way, high, name in found]


def _verilate(text: str, prefix: str, folder: Path) -> None:
    tool_environment()
    source = folder / f"{prefix}.v"
    source.write_text(text)
    command = ["verilator", "--cc", "--top-module", TOP, "--prefix", prefix, "--no-timing"]
    _run([*command, *VERILATOR_FLAGS, "--Mdir", folder / prefix, source])


def _build(folder: Path) -> Path:
    """Build both models, and the program that compares them."""
    gated = gated_verilog(Design(), ("bus", "free"), ("rst",), watched=_WATCH)
    texts = {"Plain": to_verilog(Design(shown=True)), "Gated": gated}
    for prefix, text in texts.items():
        _verilate(text, prefix, folder)
        if prefix == "Gated":
            triggers = Triggers(folder / prefix, prefix)
            triggers.shorten()
        # The library that every model needs comes with the first.
        target = "libPlain" if prefix == "Plain" else "libGated.a"
        make_model = ["make", "-s", "-C", folder / prefix, "-f", f"{prefix}.mk", target]
        _run([*make_model, "OPT_FAST=-O1", "OPT_SLOW=-O0", "CFG_CXXFLAGS_PCH_I=-include"])
    (folder / "ports.hpp").write_text(_lists(_ports(texts["Plain"]), triggers.index))
    include = Path(os.environ["VERILATOR_ROOT"]) / "include"
    kinds = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")
    system = [f"-isystem{path}" for path in (include, folder / "Plain", folder / "Gated")]
    libraries = [folder / name / f"lib{name}.a" for name in texts]
    libraries += [folder / "Plain" / "libverilated.a", "-lpthread"]
    program = folder / "lockstep"
    flags = ["-std=c++17", "-O1", f"-I{folder}", *(f"-DVM_{kind}=0" for kind in kinds)]
    _run(["g++", *flags, *system, _HERE / "lockstep.cpp", *libraries, "-o", program])
    return program


def _lists(plain: Ports, clocks: dict[str, int]) -> str:
    """The pins, by Verilator's names for them, and clocks, as the C++ wants to have them."""

    def mangled(name: str) -> str:
        return name.replace("__", "___05F")

    own = {name for _, name, _ in plain} - {"clk", "rst"}
    parts = {name.removeprefix("clk__"): clocks[name] for name in clocks if "clk__" in name}
    lists = {
        "INPUTS": [(mangled(n), str(w)) for way, n, w in plain if way == "input" and n in own],
        "OUTPUTS": [(mangled(n),) for way, n, _ in plain if way == "output"],
        "GROUPS": [(str(clocks[n]),) for n in clocks if n.startswith("clk_in_")],
        "PARTS": [(str(clock), mangled(f"active__{n}")) for n, clock in parts.items()],
    }
    return "".join(
        f"#define {name}(F) {' '.join(f'F({chr(44).join(entry)})' for entry in entries)}\n"
        for name, entries in lists.items()
    )


def _run(command: list) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr


def _compare(program: Path, cycles: int, seed: int) -> tuple[int, int]:
    """How often parts had a clock, and how often none."""
    done = subprocess.run([program, str(cycles), str(seed)], capture_output=True, text=True)
    assert not done.returncode, done.stdout
    moved, rested = map(int, done.stdout.split())
    return moved, rested


def test_design(tmp_path):
    program = _build(tmp_path)
    for seed in range(3):
        moved, rested = _compare(program, 100_000, seed)
        assert moved > 10_000 and rested > 10_000


def test_an_input_without_a_register(tmp_path):
    _verilate(gated_verilog(Design(), ("bus",), ("rst",)), "Gated", tmp_path)
    with pytest.raises(TriggersError, match="an input reaches logic without a register"):
        Triggers(tmp_path / "Gated", "Gated")


def test_nothing_to_watch():
    with pytest.raises(ValueError, match=r"no signal counter9\.count"):
        gated_verilog(Design(), (), (), watched={"none": ("counter9.count", 8)})


def test_two_words_that_are_asked_for_at_once(tmp_path):
    """Triggers of the same place in two words are written so."""
    word = "vlSelfRef.__VnbaTriggered[{}U]"
    first, second = word.format(0), word.format(1)
    index = """VL_DBG_MSGS("  '" + tag + "' region trigger index 0 is active: @(posedge clk)");"""
    source = tmp_path / "Gated.cpp"
    source.write_text(
        f"void Gated___dump_triggers__act() {{ {index} }}\n"
        "void Gated___eval_nba(Gated* vlSelf) {\n    // Body\n"
        f"    if ((0x0000000000000010ULL & ({second} \n        | {first}))) {{\n"
        "        one();\n    }\n"
        f"    if ((1ULL & {second})) {{\n        two();\n    }}\n"
        "}\n"
    )
    Triggers(tmp_path, "Gated").shorten()
    text = source.read_text()
    assert "if ((0x10ULL & t0) | (0x11ULL & t1)) {" in text
    assert "if (((0x0000000000000010ULL & t1) | (0x0000000000000010ULL & t0))) {" in text

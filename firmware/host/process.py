"""The firmware as a running process, with a flash and a control bus that a test can look into."""

import mmap
import struct
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType

from firmware.boot.layout import FLASH
from niter.card import Card, CardConfig
from niterctl.policy import Policy

from .build import CONFIG, build

__all__ = ["CUT", "FLASH_BYTES", "RESET", "HostCard"]

FLASH_BYTES = 8 << 20
#: Exit status of a card that was reset, or whose power failed.
RESET, CUT = 3, 4


@cache
def _resources(config: CardConfig) -> dict[str, object]:
    resources = Card(config).csr.memory_map.all_resources()
    return {".".join(info.path): info for info in resources}


class HostCard:
    """A card whose firmware runs on this machine.

    Parameters
    ----------
    folder
        Where flash and control bus are kept; what is there is used as it is.
    policy
        Written to flash when that is new.
    config
        What card it is.
    options
        Arguments of the process, such as ``seed=1``.
    """

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        *,
        config: CardConfig = CONFIG,
        **options: object,
    ):
        self.folder = folder
        self.config = config
        self._options = options
        self._flash_file, self._bus_file = folder / "flash", folder / "registers"
        if not self._flash_file.exists():
            flash = bytearray(b"\xff" * FLASH_BYTES)
            if policy is not None:
                copy = policy.flash()
                flash[FLASH.policy : FLASH.policy + len(copy)] = copy
            self._flash_file.write_bytes(flash)
        self._process: subprocess.Popen | None = None

    def _arguments(self, options: dict[str, object]) -> list[str]:
        arguments = [str(build(self.config)), "--flash", str(self._flash_file)]
        arguments += ["--registers", str(self._bus_file)]
        for name, value in {**self._options, **options}.items():
            name = f"--{name.replace('_', '-')}"
            arguments += [name] if value is True else [name, str(value)]
        return arguments

    def enrol(self) -> bytes:
        """The public half of the device key, as a card gives it at manufacture."""
        arguments = self._arguments({"enrol": True})
        made = subprocess.run(arguments, capture_output=True, text=True, check=True)
        return bytes.fromhex(made.stdout.splitlines()[-1])

    def write_flash(self, address: int, data: bytes) -> None:
        """Change flash, as a programmer does while the card is off."""
        with open(self._flash_file, "r+b") as file:
            file.seek(address)
            file.write(data)

    def start(self, **options: object) -> "HostCard":
        """Start the process; it listens when this returns."""
        arguments = self._arguments(options)
        self._errors = open(self.folder / "errors", "w+b")  # noqa: SIM115
        # In a group of its own: a terminal's interrupt is for whoever started it, who ends it.
        self._process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=self._errors, text=True, process_group=0
        )
        line = self._process.stdout.readline().split()
        if len(line) != 4:
            raise RuntimeError(f"The firmware did not start: {self.errors()}")
        self.port, self.frames = int(line[1]), int(line[3])
        return self

    def errors(self) -> str:
        """What sanitizers have said."""
        self._errors.flush()
        text = (self.folder / "errors").read_text(encoding="utf-8", errors="replace")
        return "\n".join(line for line in text.splitlines() if "makecontext" not in line)

    def wait(self, timeout: float = 10.0) -> int:
        """Wait until the process ends by itself; returns its exit status."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End the process, which must still be there, and have nothing to complain about."""
        if self._process is None:
            return
        running = self._process.poll() is None
        if running:
            self._process.terminate()
        status = self._process.wait(10)
        self._process.stdout.close()
        complaints = self.errors()
        self._errors.close()
        self._process = None
        if complaints or (running and status != 0) or status not in (0, RESET, CUT):
            raise AssertionError(f"The firmware ended with {status}: {complaints}")

    def __enter__(self) -> "HostCard":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _bus(self) -> mmap.mmap:
        with open(self._bus_file, "r+b") as file:
            return mmap.mmap(file.fileno(), 0)

    def words(self, path: str, first: int = 0, count: int = 1) -> list[int]:
        """What was written last to words of the control bus, by the name of their resource."""
        at = 4 * (_resources(self.config)[path].start + first)
        with self._bus() as bus:
            return list(struct.unpack(f"<{count}I", bus[at : at + 4 * count]))

    def set_word(self, path: str, word: int, value: int) -> None:
        """Make a word of the control bus read as ``value``."""
        at = 4 * (_resources(self.config)[path].start + word)
        with self._bus() as bus:
            bus[at : at + 4] = struct.pack("<I", value)

    def flash(self) -> bytes:
        """All that is in flash."""
        return self._flash_file.read_bytes()

"""A card whose real images run on a model of the soft core: ``machine.c``."""

import hashlib
import os
import struct
import subprocess
import threading
from itertools import count
from pathlib import Path

from firmware.packages import BEARSSL, fetch
from niter.csr import MemoryMap
from niterctl.protocol import PORT
from sim.models.flash_pins import flash_image
from sim.soc.gateway import Gateway
from sim.soc.identity import MAC, VTEP, provisioned
from sim.soc.rig import CONFIG, flash_content, images

__all__ = ["CUT", "Machine"]

_HERE = Path(__file__).parent


def _program() -> Path:
    """The model, built when its text or the card's headers have changed."""
    found = images()
    include, bearssl = found.folder / "include", fetch(BEARSSL)
    source = _HERE / "machine.c"
    headers = sorted(include.glob("*_[rl]*.h"))
    text = b"".join(path.read_bytes() for path in (source, *headers))
    program = found.folder / f"machine-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{include}"]
        flags += [f"-isystem{bearssl}/{each}" for each in ("inc", "src")]
        files = [bearssl / "src" / each for each in ("hash/sha2big.c", "codec/enc64be.c")]
        files += [bearssl / "src" / each for each in ("codec/dec64be.c", "codec/ccopy.c")]
        partial = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", *flags, source, *files, "-o", partial], check=True)
        partial.rename(program)
    return program


#: Exit statuses of the model.
_RESET, CUT = 3, 5


class Machine:
    """A running card; one that resets itself starts again, from the flash that it has by then.

    Parameters
    ----------
    folder
        Where its flash and its registers are kept.
    flash
        Further pieces of the flash's content, by address. None: the flash of a card before is used.
    cut
        Number of the flash operation in the middle of which power fails for good; 0 is none.
    """

    def __init__(self, folder: Path, flash: dict[int, bytes] | None = {}, *, cut: int = 0):  # noqa: B006
        self._folder, self._cut = folder, cut
        found = images()
        self.images = found
        #: Why it ended, once it has: the model's exit status.
        self.ended: int | None = None
        if flash is None:
            return
        pieces = flash_content(found, a=found.image) | provisioned() | flash
        (folder / "flash").write_bytes(flash_image(pieces))
        (folder / "rom").write_bytes(found.rom)

    def _start(self, resets: int) -> None:
        names = [self._folder / name for name in ("rom", "flash", "registers")]
        numbers = map(str, (CONFIG.soc.ram_bytes, self._cut, resets))
        self._process = subprocess.Popen(
            [_program(), *names, *numbers], stdout=subprocess.PIPE, stderr=self._errors
        )
        # Nothing is said by one that has been ended before it began.
        if port := self._process.stdout.readline():
            self._gateway.card = "127.0.0.1", int(port)

    def __enter__(self) -> "Machine":
        self._errors = open(self._folder / "console", "w+b")
        self._gateway, self._stopped = Gateway(MAC, VTEP, PORT), threading.Event()
        self._start(0)
        self._thread = threading.Thread(target=self._restart)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            self._process.kill()
            self._thread.join(0.1)
        self._gateway.close()
        self._errors.close()

    def _restart(self) -> None:
        for resets in count(1):
            status = self._process.wait()
            self._process.stdout.close()
            if self._stopped.is_set() or status != _RESET:
                self.ended = status
                return
            self._start(resets)

    @property
    def port(self) -> int:
        """Where a client finds the card on loopback."""
        return self._gateway.port

    def console(self) -> list[str]:
        """What the card has said, and when."""
        return (self._folder / "console").read_text().splitlines()

    def numbers(self, what: str) -> list[int]:
        """Numbers that stand behind a word on the console: "released", "answered", "stack"."""
        return [int(line.split()[1]) for line in self.console() if line.startswith(f"{what} ")]

    def letters(self) -> str:
        """What the boot code has said, in all boots."""
        return "".join(line[0] for line in self.console() if line[1:2] == " ")

    def flash(self, address: int, length: int) -> bytes:
        """What stands in its flash."""
        with open(self._folder / "flash", "rb") as file:
            file.seek(address)
            return file.read(length)

    def words(self, memory_map: MemoryMap, path: str, first: int, count: int) -> list[int]:
        """What was written last to words of the control bus."""
        resources = {".".join(info.path): info for info in memory_map.all_resources()}
        with open(self._folder / "registers", "rb") as file:
            file.seek(4 * (resources[path].start + first))
            return list(struct.unpack(f"<{count}I", file.read(4 * count)))

"""The admin firmware as a running process, whose register accesses its owner serves."""

import struct
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType

from niter.csr import MemoryMap
from niter.nvme.config import NvmeConfig

from .build import build

__all__ = ["Access", "Admin", "Identity", "Namespace"]


class _Command(IntEnum):
    OPEN = 0
    TURN = 1
    ATTACH = 2
    DETACH = 3
    TEMPERATURE = 4


class _Kind(IntEnum):
    READ = 0
    WRITE = 1
    END = 2


#: ``struct request`` and ``struct access_message`` of main.c.
_REQUEST = struct.Struct("<IIQIIH6x??BB4xQ16s")
_ACCESS = struct.Struct("<III")


@dataclass(frozen=True)
class Access:
    """One access to the control bus, by word address; ``value`` is None for a read."""

    address: int
    value: int | None = None


@dataclass(frozen=True)
class Identity:
    """What identifies the card."""

    serial: str = "NITER-0001"
    model: str = "Niter storage"
    firmware: str = "0.1.0"
    name: str = "nqn.2026-11.org.niter:card:0001:"

    def pack(self) -> bytes:
        """``struct nvme_identity``."""
        padded = (self.serial.ljust(20), self.model.ljust(40), self.firmware.ljust(8))
        texts = b"".join(text.encode("ascii") for text in padded)
        return texts + self.name.encode().ljust(64, b"\0")


@dataclass(frozen=True)
class Namespace:
    """What a namespace is: ``blocks`` of ``block_bytes``, on a volume of the card."""

    volume: int
    blocks: int
    id: bytes
    block_bytes: int = 512
    read_only: bool = False


class Admin:
    """The firmware of one card.

    Everything that makes the firmware work is a generator of its accesses to the control bus:
    whoever iterates it does them, and sends what was read. ``run`` does so at once, ``serve``
    by way of a bus that takes its time.

    Parameters
    ----------
    memory_map, config
        Of the card; see ``build``.
    hz
        Clock of the card's timer.
    """

    def __init__(self, memory_map: MemoryMap, config: NvmeConfig, *, hz: int) -> None:
        self.config = config
        self.hz = hz
        #: The card's timer, in cycles.
        self.now = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(build(memory_map, config))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def open(self, identity: Identity | None = None) -> Generator[Access, int, int]:
        """Begin."""
        yield from self._do(_Command.OPEN, more=(identity or Identity()).pack())

    def turn(self) -> Generator[Access, int, int]:
        """One turn of its loop; returns whether it is idle then."""
        return (yield from self._do(_Command.TURN))

    def attach(
        self, controller: int, nsid: int, namespace: Namespace
    ) -> Generator[Access, int, int]:
        """Attach a namespace, or change it; returns whether that is possible."""
        return (yield from self._do(_Command.ATTACH, controller, nsid, namespace=namespace))

    def detach(self, controller: int, nsid: int) -> Generator[Access, int, int]:
        """Detach a namespace."""
        return (yield from self._do(_Command.DETACH, controller, nsid))

    def temperature(self, kelvin: int) -> Generator[Access, int, int]:
        """Tell what was measured."""
        yield from self._do(_Command.TEMPERATURE, kelvin=kelvin)

    def run(self, work: Generator[Access, int, int], access: Callable[[Access], int | None]) -> int:
        """Do what a generator asks for."""
        answer = None
        while True:
            try:
                answer = access(work.send(answer))
            except StopIteration as end:
                return end.value

    async def serve(
        self,
        work: Generator[Access, int, int],
        access: Callable[[Access], Awaitable[int | None]],
    ) -> int:
        """The same, on a bus that takes its time."""
        answer = None
        while True:
            try:
                wanted = work.send(answer)
            except StopIteration as end:
                return end.value
            answer = await access(wanted)

    def _do(
        self,
        command: _Command,
        controller: int = 0,
        nsid: int = 0,
        *,
        kelvin: int = 0,
        namespace: Namespace | None = None,
        more: bytes = b"",
    ) -> Generator[Access, int, int]:
        is_ = namespace or Namespace(0, 0, bytes(16))
        shift = is_.block_bytes.bit_length() - 1
        request = _REQUEST.pack(
            *(command, self.hz, self.now, controller, nsid, kelvin),
            *(True, is_.read_only, is_.volume, shift, is_.blocks, is_.id),
        )
        self._give(request + more)
        while True:
            content = self._process.stdout.read(_ACCESS.size)
            if len(content) != _ACCESS.size:
                raise RuntimeError(f"The firmware has ended: {self.errors()}")
            kind, address, value = _ACCESS.unpack(content)
            if kind == _Kind.END:
                return value
            if kind == _Kind.WRITE:
                yield Access(address // 4, value)
            else:
                self._give(struct.pack("<I", (yield Access(address // 4))))

    def _give(self, content: bytes) -> None:
        self._process.stdin.write(content)
        self._process.stdin.flush()

    def errors(self) -> str:
        """What sanitizers have said."""
        self._process.wait(10)
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close(self) -> None:
        """End the process, which must have nothing to complain about."""
        self._process.stdin.close()
        complaints = self.errors()
        self._process.stdout.close()
        self._errors.close()
        if complaints or self._process.returncode:
            raise AssertionError(
                f"The firmware ended with {self._process.returncode}: {complaints}"
            )

    def __enter__(self) -> "Admin":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""The client's side of vfio-user (QEMU docs/interop/vfio-user.rst), as plain as can be."""

import array
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CONFIG", "Client", "Memory"]

CONFIG = 7
_HEADER = struct.Struct("<HHIII")
_REGION = struct.Struct("<QII")
_MAP = struct.Struct("<IIQQQ")
_VERSION = struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0'


class Memory:
    """Anonymous memory that a card can be given."""

    def __init__(self, size: int):
        self.size = size
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self._bytes = mmap.mmap(self.fd, size)

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes there."""
        self._bytes[offset : offset + len(data)] = data

    def read(self, offset: int, length: int) -> bytes:
        """What is there."""
        return self._bytes[offset : offset + length]

    def close(self) -> None:
        """Give it back."""
        self._bytes.close()
        os.close(self.fd)


class Client:
    """A connection; with ``greet`` the version is agreed on at once."""

    VERSION, MAP, UNMAP, INFO, REGION_INFO, IRQ_INFO, IRQS, READ, WRITE, RESET = (
        *range(1, 6),
        *range(7, 11),
        13,
    )

    def __init__(self, path: Path, greet: bool = True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self._id = 0
        if greet:
            error, payload = self.ask(self.VERSION, _VERSION)
            assert not error and payload[:4] == bytes(4)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, command: int, payload: bytes, fds: tuple[int, ...] = (), flags: int = 0) -> int:
        """Send a message; returns its number."""
        self._id = self._id % 0xFFFF + 1
        message = _HEADER.pack(self._id, command, 16 + len(payload), flags, 0) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([message], rights)
        return self._id

    def answer(self) -> tuple[int, int, bytes]:
        """Message number, error, payload."""
        number, _, size, flags, error = _HEADER.unpack(self._exactly(16))
        assert flags & 0xF == 1
        return number, error, self._exactly(size - 16)

    def ask(self, command: int, payload: bytes = b"", fds: tuple[int, ...] = ()):
        """Send a message and wait for its answer: error, payload."""
        sent = self.send(command, payload, fds)
        number, error, data = self.answer()
        assert number == sent
        return error, data

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def closed(self) -> bool:
        """The server has hung up."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def read(self, region: int, offset: int, length: int) -> int:
        """Read a register of a region."""
        error, data = self.ask(self.READ, _REGION.pack(offset, region, length))
        assert not error
        return int.from_bytes(data[16:], "little")

    def write(self, region: int, offset: int, length: int, value: int) -> None:
        """Write a register of a region."""
        payload = _REGION.pack(offset, region, length) + value.to_bytes(length, "little")
        assert not self.ask(self.WRITE, payload)[0]

    def capabilities(self) -> Iterator[tuple[int, int]]:
        """Number and place in configuration space of each capability (PCIe 4.0, 7.5.1.1.11)."""
        at = self.read(CONFIG, 0x34, 1)
        while at:
            yield self.read(CONFIG, at, 1), at
            at = self.read(CONFIG, at + 1, 1)

    def map(self, address: int, size: int, fd: int | None, offset: int = 0) -> int:
        """Let the device reach memory; returns the error."""
        payload = _MAP.pack(32, 3, offset, address, size)
        return self.ask(self.MAP, payload, () if fd is None else (fd,))[0]

    def unmap(self, address: int, size: int) -> int:
        """Take memory back; returns the error."""
        return self.ask(self.UNMAP, struct.pack("<IIQQ", 24, 0, address, size))[0]

    def events(self, start: int, fds: tuple[int, ...]) -> int:
        """Give vectors their eventfds; returns the error."""
        payload = struct.pack("<IIIII", 20, 0x24, 2, start, len(fds))
        return self.ask(self.IRQS, payload, fds)[0]

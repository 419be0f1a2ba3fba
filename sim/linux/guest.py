"""A guest: QEMU with a function of the card in a slot, and a shell on a serial port."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ARGUMENTS", "Command", "Guest", "GuestError", "Machine", "Result"]

#: What every kernel is told; on a busy machine it is its processor that stands still, and no fault.
ARGUMENTS = "console=ttyS0 panic=-1 no_timer_check nosoftlockup"


class GuestError(Exception):
    """The guest does not answer, or a command failed that must not."""


@dataclass(frozen=True)
class Machine:
    """What every guest is made from.

    Parameters
    ----------
    qemu
        The command that starts QEMU, with where its firmware is.
    kernel, image
        What boots; without them the BIOS looks for a disk.
    """

    qemu: Sequence[str]
    kernel: Path | None = None
    image: Path | None = None


@dataclass(frozen=True)
class Result:
    """What a command in the guest came to."""

    status: int
    output: str


@dataclass(frozen=True)
class Command:
    """A line that was begun."""

    number: int
    line: str


class Guest:
    """A running guest. Starts at once; ``wait`` returns when its shell answers.

    Parameters
    ----------
    machine
        What boots.
    name
        Of its files in ``folder``: ``<name>.console``, ``<name>.qemu``.
    folder
        For files and sockets.
    function
        The vfio-user socket of its function, or None.
    arguments
        Further ones of QEMU.
    megabytes
        Of memory.
    """

    def __init__(
        self,
        machine: Machine,
        name: str,
        folder: Path,
        *,
        function: Path | None = None,
        arguments: Sequence[str] = (),
        megabytes: int = 512,
    ):
        self.name = name
        self.console = folder / f"{name}.console"
        self.qemu_log = folder / f"{name}.qemu"
        shell = folder / f"{name}.shell"
        shell.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(shell))
        self._listener.listen(1)
        self._listener.settimeout(30)
        memory = f"memory-backend-memfd,id=memory,size={megabytes}M,share=on"
        command = [
            *machine.qemu,
            *("-machine", "q35,memory-backend=memory", "-accel", "tcg", "-cpu", "max"),
            *("-smp", "1", "-m", f"{megabytes}M", "-object", memory),
            *("-display", "none", "-no-reboot", "-monitor", "none", "-nodefaults"),
            *("-serial", f"file:{self.console}", "-serial", f"unix:{shell}"),
        ]
        if machine.kernel is not None:
            command += ["-kernel", str(machine.kernel), "-initrd", str(machine.image)]
            command += ["-append", ARGUMENTS]
        if function is not None:
            device = {
                "driver": "vfio-user-pci",
                "bus": "port0",
                "x-msg-timeout": 600000,
                "socket": {"path": str(function), "type": "unix"},
            }
            command += ["-device", "pcie-root-port,id=port0", "-device", json.dumps(device)]
        with self.qemu_log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._shell: socket.socket | None = None
        self._received = ""
        self._number = 0

    def wait(self, timeout: float = 300) -> None:
        """Wait until the guest has booted."""
        self._shell, _ = self._listener.accept()
        self._answer(0, timeout)

    def run(self, command: str, timeout: float = 120, check: bool = True) -> Result:
        """Run a line of shell in the guest.

        Raises
        ------
        GuestError
            When it fails though it must not, or has not ended in time.
        """
        return self.finish(self.begin(command), timeout, check)

    def begin(self, command: str) -> Command:
        """Start a line of shell; ``finish`` waits for it."""
        assert self._shell is not None and "\n" not in command
        self._number += 1
        self._shell.sendall(f"{self._number} {command}\n".encode())
        return Command(self._number, command)

    def finish(self, command: Command, timeout: float = 120, check: bool = True) -> Result:
        """Wait for what was begun; answers to what was begun before are forgotten."""
        result = self._answer(command.number, timeout)
        if check and result.status:
            raise GuestError(
                f"{self.name}: {command.line}: status {result.status}\n{result.output}"
            )
        return result

    def _answer(self, number: int, timeout: float) -> Result:
        assert self._shell is not None
        end = time.monotonic() + timeout
        pattern = re.compile(r"^@done (\d+) (\d+)$\n?", re.MULTILINE)
        while True:
            while found := pattern.search(self._received):
                output = self._received[: found.start()]
                self._received = self._received[found.end() :]
                if int(found[1]) == number:
                    return Result(int(found[2]), output)
            left = end - time.monotonic()
            if left <= 0:
                raise GuestError(f"{self.name}: no end after {timeout:g} s:\n{self._received}")
            self._shell.settimeout(min(left, 1))
            try:
                got = self._shell.recv(65536)
            except TimeoutError:
                got = b""
                if self.process.poll() is None:
                    continue
            if not got:
                raise GuestError(f"{self.name}: QEMU has ended:\n{self.qemu_log.read_text()}")
            self._received += got.decode(errors="replace").replace("\r", "")

    def stop(self) -> None:
        """End QEMU."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._shell is not None:
            self._shell.close()
        self._listener.close()

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

"""A running card seen from its launcher: the process, and its control socket."""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from niter.card import Card, CardConfig
from sim.live.config import LiveConfig
from sim.live.management import Manager
from sim.live.storage import Processor, places, virtio_disks
from sim.models.control import Registers
from sim.models.opening import open_card
from sim.models.storage import attach_disk, open_storage

__all__ = ["CardError", "ControlSocket", "RunningCard"]


#: So few that neither side's buffers are ever full.
_MOST_POSTED = 256

#: Cycles in which a card's processor has started its firmware, or will not: the first boot of an
#: image makes a certificate.
_LONGEST_BOOT = 250_000_000


class CardError(Exception):
    """The process has ended, or refuses a command."""


class ControlSocket(Registers):
    """The control bus of a running card, and what else its socket offers.

    Parameters
    ----------
    path
        Of the socket.
    config
        Of the card behind it.
    timeout_s
        For each answer.
    """

    def __init__(self, path: Path, config: CardConfig, timeout_s: float = 60.0):
        super().__init__(Card(config).csr.memory_map)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")
        self._posted: list[str] = []

    def command(self, line: str) -> str:
        """Send a command; returns its answer without ``ok``."""
        self._file.write(line + "\n")
        self._settle()
        return self._answer(line)

    def post(self, line: str) -> None:
        """Send a command whose answer is looked at with that of a later one."""
        self._file.write(line + "\n")
        self._posted.append(line)
        if len(self._posted) >= _MOST_POSTED:
            self._settle()

    def _settle(self) -> None:
        self._file.flush()
        posted, self._posted = self._posted, []
        for line in posted:
            self._answer(line)

    def _answer(self, line: str) -> str:
        answer = self._file.readline().strip()
        if not answer or answer.startswith("error"):
            raise CardError(f"{line}: {answer or 'the card has gone'}")
        return answer.removeprefix("ok").strip()

    def status(self) -> dict:
        """The process' own counters."""
        return json.loads(self.command("status"))

    async def write_word(self, address: int, value: int) -> None:
        """Write the word at ``address``."""
        self.command(f"write {address:x} {value:x}")

    async def read_word(self, address: int) -> int:
        """Read the word at ``address``."""
        return int(self.command(f"read {address:x}"), 16)

    def close(self) -> None:
        """Let go of the socket."""
        self._file.close()
        self._socket.close()


class RunningCard:
    """A process with a card that is open and waits for hosts.

    A storage card with NVMe controllers has its processor beside it; see ``sim.live.storage``, and
    ``sim.live.management`` if it is managed.

    Parameters
    ----------
    program
        From ``sim.live.model.build_card``.
    config
        What the card is opened with.
    folder
        Gets sockets, captures (``port<n>.pcapng``) and ``card.log``.
    arguments
        Further ones of the program.
    prefix
        Put in front of the command: ``ip netns exec NAME``.
    capture
        Keep what passes the ports.
    managed
        A storage card's volumes are attached with ``niterctl``.
    flash
        Content of the flash of a card with a processor, 16 MiB, which changes with it. The
        processor boots from it and releases the functions; to open the card is up to clients.

    Members
    -------
    manager : Manager or None
        Of a managed card.
    """

    def __init__(
        self,
        program: Path,
        config: LiveConfig,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        capture: bool = True,
        managed: bool = False,
        flash: Path | None = None,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = config
        self.sockets = [folder / f"function{n}.sock" for n in range(config.functions)]
        self.log = folder / "card.log"
        host = config.host
        control = folder / "control.sock"
        command = [*prefix, str(program), "--control", str(control)]
        for name in ("seed", "stall", "latency", "spread", "split"):
            command += [f"--{name}", str(getattr(host, name))]
        for path in self.sockets:
            command += ["--function", str(path)]
        for number, wire in enumerate(config.wires):
            command += ["--wire", wire]
            if capture:
                command += ["--capture", str(folder / f"port{number}.pcapng")]
        if flash is not None:
            soc = config.card.soc
            command += ["--flash", str(flash), "--console", str(soc.clock_hz // soc.baud)]
        control.unlink(missing_ok=True)
        with self.log.open("w") as log:
            # In a group of its own: a terminal's interrupt is for the launcher, which ends it.
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=log, stderr=log, process_group=0
            )
        self._processor: Processor | None = None
        self.manager: Manager | None = None
        try:
            self.control = self._connect(control)
            if managed:
                self.manager = Manager(folder / "firmware", control, config)
            elif flash is not None:
                self._wait_for_release()
            elif config.card.storage:
                self._open_storage(control)
            else:
                asyncio.run(
                    open_card(
                        self.control,
                        config.card,
                        endpoint=config.endpoint,
                        tenants=config.tenants,
                        peers=config.peers,
                    )
                )
            self.control.command("listen")
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._stop_processor()
            raise

    def _wait_for_release(self) -> None:
        while not asyncio.run(self.control.read("card.release")):
            if self.control.status()["cycles"] > _LONGEST_BOOT:
                raise CardError(f"no function is released:\n{self.log.read_text()}")
            time.sleep(0.1)

    def _open_storage(self, control: Path) -> None:
        config = self.config
        if config.card.storage.blk:
            for function, disk in virtio_disks(config.disks):
                attach = attach_disk(self.control, function, disk, path="storage.blk.")
                asyncio.run(attach)
        else:
            self._processor = Processor(
                self._connect(control),
                Card(config.card).csr.memory_map,
                config.card.storage.nvme,
                config.disks,
            )
        asyncio.run(
            open_storage(
                self.control, config.card, mac=config.endpoint.mac, places=places(config.disks)
            )
        )

    def _connect(self, path: Path) -> ControlSocket:
        for _ in range(600):
            if self.process.poll() is not None:
                raise CardError(f"The card does not start:\n{self.log.read_text()}")
            try:
                return ControlSocket(path, self.config.card)
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        raise CardError("The card does not start within 30 s")

    def _stop_processor(self) -> None:
        processors, self._processor, self.manager = (self._processor, self.manager), None, None
        for processor in processors:
            if processor is not None:
                processor.stop()

    def counters(self, path: str) -> dict[str, int]:
        """The counters of a bank that are not zero."""
        values = asyncio.run(self.control.counters(path))
        return {name: value for name, value in values.items() if value}

    def processor_seconds(self) -> float:
        """Processor time that the process has taken so far, to a hundredth."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        # Behind the name, which may have anything in it: utime and stime are fields 14 and 15.
        return sum(map(int, stat.rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """End the process; returns its status."""
        self._stop_processor()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.control.close()
        return self.process.returncode

    def __enter__(self) -> "RunningCard":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

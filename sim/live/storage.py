"""The storage half of a running card: its disks, and the processor that carries out admin commands.

The firmware of ``firmware/nvme`` runs as a process beside the card, as the benches have it
(``sim.models.nvme.processor``); here each of its register accesses goes through the control socket.
"""

import hashlib
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from firmware.host.nvme import Admin, Namespace
from firmware.host.nvme.process import Access
from niter.card import StorageConfig
from niter.csr import MemoryMap
from niter.nvme.config import NvmeConfig
from sim.models.storage import Disk as VirtioDisk
from sim.models.storage import Place

__all__ = ["Disk", "Processor", "identifier", "places", "virtio_disks"]

#: What the firmware's timer is said to count with. It follows the wall clock, as the host does that
#: sends keep-alives, and not the simulated one.
_HZ = StorageConfig.clock_hz
#: Between two looks into an empty mailbox: longer each time, up to so much.
_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.016


@dataclass(frozen=True)
class Disk:
    """A namespace or a virtio disk, and the sectors of an AoE target that it is.

    Parameters
    ----------
    mac, shelf, slot
        Of the target.
    length
        Sectors of the namespace.
    first
        Where they begin at the target.
    sectors, buffers
        That the target takes in a frame, and frames that it takes at once.
    read_only
        It may not be written.
    function, nsid
        Whose it is, and by what number if it is a namespace.
    """

    mac: str
    shelf: int
    slot: int
    length: int
    first: int = 0
    sectors: int = 2
    buffers: int = 16
    read_only: bool = False
    function: int = 0
    nsid: int = 1


def places(disks: Sequence[Disk]) -> list[Place]:
    """Where the card's volumes lie: one for each disk, each with a target of its own."""
    return [
        Place.at(number, disk, first=disk.first, length=disk.length, read_only=disk.read_only)
        for number, disk in enumerate(disks)
    ]


def identifier(disk: Disk) -> bytes:
    """What tells a disk from others, 16 bytes."""
    place = f"{disk.mac} {disk.shelf}.{disk.slot} {disk.first}"
    return hashlib.sha256(place.encode()).digest()[:16]


def virtio_disks(disks: Sequence[Disk]) -> list[tuple[int, VirtioDisk]]:
    """Functions and their disks: one for each volume; see ``places``."""
    return [
        (
            disk.function,
            VirtioDisk(number, disk.length, identifier(disk).hex()[:20].encode(), disk.read_only),
        )
        for number, disk in enumerate(disks)
    ]


class Control(Protocol):
    """What a control socket offers: ``sim.live.card.ControlSocket``."""

    def command(self, line: str) -> str:
        """Send a command; returns its answer."""

    def post(self, line: str) -> None:
        """Send a command without waiting for its answer."""

    def close(self) -> None:
        """Let go of the socket."""


class Processor:
    """A thread that serves the card's mailbox with the admin firmware.

    Parameters
    ----------
    control
        A control socket that nobody else uses, and that is closed with this.
    memory_map, config
        Of the card; see ``firmware.host.nvme.build``.
    disks
        Attached before anything is served; see ``places``.

    Raises
    ------
    ValueError
        The card cannot have one of the disks.
    """

    def __init__(
        self, control: Control, memory_map: MemoryMap, config: NvmeConfig, disks: Sequence[Disk]
    ):
        self._control = control
        self._begin = time.monotonic_ns()
        self._admin = Admin(memory_map, config, hz=_HZ)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._do(self._admin.open())
        for number, disk in enumerate(disks):
            space = Namespace(number, disk.length, identifier(disk), read_only=disk.read_only)
            if not self._do(self._admin.attach(disk.function, disk.nsid, space)):
                self.stop()
                raise ValueError(f"function {disk.function} can have no namespace {disk.nsid}")
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Commands are served."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the firmware; sanitizers must have found nothing, and nothing have failed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._control.close()
        self._admin.close()
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        pause = _PAUSE_S
        try:
            while not self._stop.is_set():
                if self._do(self._admin.turn()):
                    self._stop.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
                else:
                    pause = _PAUSE_S
        except Exception as failure:
            self._failure = failure

    def _do(self, work: Generator[Access, int, int]) -> int:
        self._admin.now = (time.monotonic_ns() - self._begin) * _HZ // 1_000_000_000
        return self._admin.run(work, self._access)

    def _access(self, wanted: Access) -> int | None:
        if wanted.value is None:
            return int(self._control.command(f"read {wanted.address:x}"), 16)
        self._control.post(f"write {wanted.address:x} {wanted.value:x}")
        return None

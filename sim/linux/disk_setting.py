"""What the cases of a storage card have at hand, and what several of them do."""

import hashlib
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sim.live.card import RunningCard
from sim.live.config import LiveConfig
from sim.models.aoe import SECTOR

from .cases import Case, clean_log
from .guest import Guest, Machine
from .packages import Root
from .target import Blade, Model

__all__ = [
    "CASES",
    "DEVICE",
    "PCI",
    "TREE",
    "DiskSetting",
    "case",
    "clean_disk_log",
    "digest",
    "guest_digest",
    "source_tree",
    "wait_for_device",
]

DEVICE = "/dev/nvme0n1"
PCI = "0000:01:00.0"
#: Where a guest has a source tree, which it can copy: our firmware's.
TREE = "/usr/src/firmware"
_SOURCES = Path(__file__).parents[2] / "firmware"
#: In the order in which they run.
CASES: list[Case] = []


def case(function=None, *, long: bool = False):
    """Put a function on the list."""
    if function is None:
        return partial(case, long=long)
    CASES.append(Case(function.__name__, function, long))
    return function


@dataclass
class DiskSetting:
    """The running parts.

    Parameters
    ----------
    card, guest, target
        Running; the guest has function 0.
    bios
        A machine that boots from what it has in its slot, for cases that need one.
    stack
        Ends what cases start.
    folder
        For what cases leave.
    programs
        Packages unpacked on this machine, of which the guest's are.
    device
        Of the disk, in the guest.
    notes
        Figures for the summary, by case.
    """

    card: RunningCard
    guest: Guest
    target: Blade | Model
    bios: Machine | None
    stack: ExitStack
    folder: Path
    programs: Root
    device: str = DEVICE
    notes: dict[str, str] = field(default_factory=dict)
    _second: Guest | None = None

    @property
    def config(self) -> LiveConfig:
        """Of the card."""
        return self.card.config

    def disk(self, lba: int, sectors: int, number: int = 0) -> bytes:
        """What sectors of a namespace are at the target."""
        return self.target.read(self.config.disks[number].first + lba, sectors)

    def files(self) -> dict[str, bytes]:
        """What the file system on the first disk holds at the target, by path.

        It is looked at there, on this machine, and must be whole.
        """
        image, found = self.folder / "filesystem", self.folder / "files"
        image.write_bytes(self.disk(0, self.config.disks[0].length))
        check = [*self.programs.command("usr/sbin/e2fsck"), "-f", "-n", str(image)]
        subprocess.run(check, check=True, capture_output=True)
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        # It wants to give the files their owners, too, and says so where it may not.
        dump = [*self.programs.command("usr/sbin/debugfs"), "-R", f"rdump / {found}", str(image)]
        subprocess.run(dump, check=True, capture_output=True)
        return {
            str(path.relative_to(found)): path.read_bytes()
            for path in found.rglob("*")
            if path.is_file()
        }

    def second(self) -> Guest:
        """The guest that has booted from function 1; boots it if that has not been done."""
        if self._second is None:
            guest = Guest(self.bios, "second", self.folder, function=self.card.sockets[1])
            self.stack.enter_context(guest)
            guest.wait(timeout=600)
            self._second = guest
        return self._second


def source_tree() -> dict[str, Path]:
    """The tree's files, by their place in the guest."""
    return {
        f"{TREE.lstrip('/')}/{path.relative_to(_SOURCES)}": path
        for path in sorted(_SOURCES.rglob("*.[ch]"))
    }


def clean_disk_log(guest: Guest) -> None:
    """Nobody warns: neither device nor driver nor file system."""
    clean_log(guest, rf"nvme|virtio|{PCI}|I/O error|EXT4")


def wait_for_device(guest: Guest) -> None:
    """The namespace is there; the driver is given time, for what it waits for is simulated."""
    guest.run(f"for n in $(seq 120); do test -b {DEVICE} && break; sleep 0.5; done")
    guest.run(f"test -b {DEVICE}")
    guest.run("echo 240000 >/sys/block/nvme0n1/queue/io_timeout")


def digest(content: bytes) -> str:
    """As ``sha256sum`` prints it."""
    return hashlib.sha256(content).hexdigest()


def guest_digest(guest: Guest, lba: int, sectors: int, device: str = DEVICE) -> str:
    """Of sectors that the guest reads past its cache, in requests of 64 KiB at most."""
    unit = 64 << 10
    assert not lba * SECTOR % unit and not sectors * SECTOR % unit
    where = f"bs=64k skip={lba * SECTOR // unit} count={sectors * SECTOR // unit}"
    read = f"dd if={device} iflag=direct {where} 2>/dev/null"
    return guest.run(f"{read} | sha256sum").output.split()[0]

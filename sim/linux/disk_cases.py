"""What stock Linux' nvme driver does with a storage card; each case fails by an exception."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from niter.nvme.front import declare
from sim.live.card import RunningCard
from sim.live.config import LiveConfig
from sim.models.aoe import SECTOR

from .cases import Case, clean_log
from .guest import Guest
from .target import Blade, Model

__all__ = ["CASES", "DiskSetting"]

_DEVICE = "/dev/nvme0n1"
_PCI = "0000:01:00.0"
CASES: list[Case] = []


def case(function):
    """Put a function on the list."""
    CASES.append(Case(function.__name__, function))
    return function


@dataclass
class DiskSetting:
    """The running parts.

    Parameters
    ----------
    card, guest, target
        Running.
    folder
        For what cases leave.
    notes
        Figures for the summary, by case.
    """

    card: RunningCard
    guest: Guest
    target: Blade | Model
    folder: Path
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> LiveConfig:
        """Of the card."""
        return self.card.config

    def disk(self, lba: int, sectors: int) -> bytes:
        """What the namespace's sectors are at the target."""
        return self.target.read(self.config.disks[0].first + lba, sectors)


def clean_disk_log(guest: Guest) -> None:
    """Nobody warns: neither device nor driver nor file system."""
    clean_log(guest, rf"nvme|{_PCI}|I/O error|EXT4")


def wait_for_device(guest: Guest) -> None:
    """The namespace is there; the driver is given time, for what it waits for is simulated."""
    guest.run(f"for n in $(seq 120); do test -b {_DEVICE} && break; sleep 0.5; done")
    guest.run(f"test -b {_DEVICE}")
    guest.run("echo 240000 >/sys/block/nvme0n1/queue/io_timeout")


def digest(content: bytes) -> str:
    """As ``sha256sum`` prints it."""
    return hashlib.sha256(content).hexdigest()


def guest_digest(guest: Guest, lba: int, sectors: int) -> str:
    """Of sectors that the guest reads past its cache, in requests of 64 KiB at most."""
    unit = 64 << 10
    assert not lba * SECTOR % unit and not sectors * SECTOR % unit
    where = f"bs=64k skip={lba * SECTOR // unit} count={sectors * SECTOR // unit}"
    read = f"dd if={_DEVICE} iflag=direct {where} 2>/dev/null"
    return guest.run(f"{read} | sha256sum").output.split()[0]


@case
def probe(setting: DiskSetting) -> None:
    """The driver takes the function, and the namespace has its size."""
    guest = setting.guest
    wait_for_device(guest)
    nvme = setting.config.card.storage.nvme
    declared = declare(
        nvme.queues,
        vendor=nvme.vendor,
        device=nvme.device,
        subsystem_vendor=nvme.subsystem_vendor,
        subsystem=nvme.subsystem,
    )
    seen = guest.run("lspci -vvv -nn -s 01:00.0").output
    (setting.folder / "lspci.txt").write_text(seen)
    wanted = [
        f"[{declared.vendor:04x}:{declared.device:04x}]",
        "Non-Volatile memory controller [0108]",
        "(prog-if 02 [NVM Express])",
        f"MSI-X: Enable+ Count={declared.msix.vectors} Masked-",
        "Kernel driver in use: nvme",
    ]
    missing = [text for text in wanted if text not in seen]
    assert not missing, f"not in lspci: {missing}\n{seen}"
    size = int(guest.run(f"blockdev --getsize64 {_DEVICE}").output)
    assert size == setting.config.disks[0].length * SECTOR, size
    assert guest.run("cat /sys/class/nvme/nvme0/state").output.strip() == "live"
    vectors = [
        line for line in guest.run("cat /proc/interrupts").output.splitlines() if "nvme0q" in line
    ]
    setting.notes["probe"] = f"{size:,} bytes, {len(vectors) - 1} pairs of I/O queues"
    clean_disk_log(guest)


@case
def read(setting: DiskSetting) -> None:
    """What the target had is what the guest reads, at both ends of the disk."""
    sectors, end = 1024, setting.config.disks[0].length
    for lba in (0, end - sectors):
        assert guest_digest(setting.guest, lba, sectors) == digest(setting.disk(lba, sectors)), lba
    clean_disk_log(setting.guest)


@case
def write(setting: DiskSetting) -> None:
    """What dd writes is at the target, nothing else is changed, and it reads back."""
    guest, lba, sectors = setting.guest, 8192, 4096
    before = setting.disk(0, setting.config.disks[0].length)
    guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null")
    wanted = guest.run("sha256sum </tmp/data").output.split()[0]
    begin = time.monotonic()
    guest.run(f"dd if=/tmp/data of={_DEVICE} oflag=direct bs=64k seek=64 conv=fsync 2>/dev/null")
    between = time.monotonic()
    assert guest_digest(guest, lba, sectors) == wanted
    end = time.monotonic()
    after = setting.disk(0, len(before) // SECTOR)
    first, last = lba * SECTOR, (lba + sectors) * SECTOR
    assert digest(after[first:last]) == wanted
    assert after[:first] == before[:first] and after[last:] == before[last:]
    rates = [sectors * SECTOR / seconds / 1e6 for seconds in (between - begin, end - between)]
    setting.notes["write"] = f"{rates[0]:.2f} MB/s written, {rates[1]:.2f} read, wall clock"
    clean_disk_log(guest)


@case
def odd_sizes(setting: DiskSetting) -> None:
    """Requests of a sector, of an odd number, and of more than a PRP page, at odd places."""
    guest = setting.guest
    for lba, sectors in ((1, 1), (12289, 7), (12345, 33), (20001, 255)):
        guest.run(f"dd if=/dev/urandom of=/tmp/odd bs=512 count={sectors} 2>/dev/null")
        size, place = sectors * SECTOR, f"{lba * SECTOR}"
        wanted = guest.run("sha256sum </tmp/odd").output.split()[0]
        flags = f"bs={size} oflag=direct,seek_bytes seek={place}"
        before = setting.disk(lba - 1, 1), setting.disk(lba + sectors, 1)
        guest.run(f"dd if=/tmp/odd of={_DEVICE} {flags} 2>/dev/null")
        assert digest(setting.disk(lba, sectors)) == wanted, (lba, sectors)
        assert (setting.disk(lba - 1, 1), setting.disk(lba + sectors, 1)) == before
        flags = f"bs={size} iflag=direct,skip_bytes skip={place} count=1"
        seen = guest.run(f"dd if={_DEVICE} {flags} 2>/dev/null | sha256sum").output.split()[0]
        assert seen == wanted, (lba, sectors)
    clean_disk_log(guest)


@case
def nvme_cli(setting: DiskSetting) -> None:
    """The tool of the trade lists and identifies the controller, and gets its health."""
    guest = setting.guest

    def ask(command: str) -> dict:
        return json.loads(guest.run(f"/usr/sbin/nvme {command} -o json").output)

    controller = ask("id-ctrl /dev/nvme0")
    assert controller["mn"].strip() == "Niter storage", controller["mn"]
    assert controller["cntlid"] == 0 and controller["oncs"] >= 0
    space = ask(f"id-ns {_DEVICE}")
    assert space["nsze"] == setting.config.disks[0].length
    health = ask("smart-log /dev/nvme0")
    assert not health["critical_warning"], health
    assert "nvme0n1" in guest.run("/usr/sbin/nvme list").output
    setting.notes["nvme_cli"] = f"model {controller['mn'].strip()}, firmware {controller['fr']}"
    clean_disk_log(guest)


@case
def filesystem(setting: DiskSetting) -> None:
    """An ext4 is made, filled, unmounted, found whole by e2fsck, and has what was copied."""
    guest = setting.guest
    guest.run(f"/usr/sbin/mke2fs -q -F -t ext4 -J size=1 -N 256 {_DEVICE}", timeout=300)
    guest.run(f"mkdir -p /mnt; mount -t ext4 {_DEVICE} /mnt")
    guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null")
    guest.run("cp /tmp/data /mnt && cp -r /usr/sbin /mnt")
    guest.run("umount /mnt", timeout=300)
    guest.run(f"/usr/sbin/e2fsck -f -n {_DEVICE}", timeout=300)
    guest.run(f"echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 -o ro {_DEVICE} /mnt")
    try:
        guest.run("cmp /tmp/data /mnt/data", timeout=300)
        guest.run("for f in /usr/sbin/*; do cmp $f /mnt/sbin/${f##*/} || break; done", timeout=300)
    finally:
        guest.run("umount /mnt")
    clean_disk_log(guest)


@case
def controller_reset(setting: DiskSetting) -> None:
    """The driver resets the controller while writes are under way; it tries them again."""
    guest = setting.guest
    for _ in range(3):
        _begin_load(guest)
        guest.run("echo 1 > /sys/class/nvme/nvme0/reset_controller", timeout=60)
        _finish_load(setting)


@case
def nvme_unbind_bind(setting: DiskSetting) -> None:
    """The driver lets go of the function while writes are under way, and takes it again."""
    guest, driver = setting.guest, "/sys/bus/pci/drivers/nvme"
    for _ in range(2):
        _begin_load(guest)
        guest.run(f"echo {_PCI} > {driver}/unbind; echo {_PCI} > {driver}/bind", timeout=120)
        guest.run("wait; true", timeout=120)
        wait_for_device(guest)
        _begin_load(guest)
        _finish_load(setting)


@case
def nvme_function_level_reset(setting: DiskSetting) -> None:
    """A function level reset while writes are under way: the driver prepares, and comes back."""
    guest, device = setting.guest, f"/sys/bus/pci/devices/{_PCI}"
    for _ in range(2):
        _begin_load(guest)
        guest.run(f"echo flr > {device}/reset_method; echo 1 > {device}/reset", timeout=120)
        _finish_load(setting)


@case
def nvme_quiet(setting: DiskSetting) -> None:
    """Nothing went wrong on the link, and a card with nothing to do costs little."""
    status = setting.card.control.status()
    for name in ("violations", "timeouts"):
        assert not status[name], f"{name}: {status}"
    assert not any(port["bad"] or port["lost"] for port in status["ports"]), status
    cycles, seconds = status["cycles"], status["seconds"]
    time.sleep(3)
    after = setting.card.control.status()
    spent = after["seconds"] - seconds
    setting.notes["nvme_quiet"] = (
        f"{cycles:,} cycles, {cycles / seconds / 1000:.0f}k a second while busy; "
        f"{spent:.2f} s of clocking in 3 s at rest"
    )
    assert spent < 0.5, setting.notes["nvme_quiet"]


_LOAD_LBA, _LOAD_SECTORS = 32768, 2048


def _begin_load(guest: Guest) -> None:
    """Writes of 16 KiB in the background, each of them carried out when the next begins."""
    guest.run("dd if=/dev/urandom of=/tmp/load bs=64k count=16 2>/dev/null")
    where = f"bs=16k seek={_LOAD_LBA * SECTOR >> 14}"
    guest.run(
        f"(dd if=/tmp/load of={_DEVICE} oflag=direct {where} 2>/tmp/load.log; "
        "echo $? >/tmp/load.status) & true"
    )
    guest.run("sleep 0.3")


def _finish_load(setting: DiskSetting) -> None:
    """The writes have ended well, and are at the target."""
    guest = setting.guest
    guest.run("wait", timeout=120)
    assert guest.run("cat /tmp/load.status").output.strip() == "0", guest.run(
        "cat /tmp/load.log; dmesg | tail -20"
    ).output
    wanted = guest.run("sha256sum </tmp/load").output.split()[0]
    assert digest(setting.disk(_LOAD_LBA, _LOAD_SECTORS)) == wanted
    assert guest_digest(guest, _LOAD_LBA, _LOAD_SECTORS) == wanted

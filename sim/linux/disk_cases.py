"""What stock Linux' nvme driver does with a storage card; each case fails by an exception."""

import json
import time

from niter.nvme.front import declare
from sim.models.aoe import SECTOR

from .disk_setting import (
    DEVICE,
    TREE,
    DiskSetting,
    case,
    clean_disk_log,
    digest,
    guest_digest,
    source_tree,
    wait_for_device,
)


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
    size = int(guest.run(f"blockdev --getsize64 {DEVICE}").output)
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
        seen = guest_digest(setting.guest, lba, sectors, setting.device)
        assert seen == digest(setting.disk(lba, sectors)), lba
    clean_disk_log(setting.guest)


@case
def write(setting: DiskSetting) -> None:
    """What dd writes is at the target, nothing else is changed, and it reads back."""
    guest, lba, sectors = setting.guest, 8192, 4096
    before = setting.disk(0, setting.config.disks[0].length)
    guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null")
    wanted = guest.run("sha256sum </tmp/data").output.split()[0]
    begin = time.monotonic()
    flags = "oflag=direct bs=64k seek=64 conv=fsync"
    guest.run(f"dd if=/tmp/data of={setting.device} {flags} 2>/dev/null")
    between = time.monotonic()
    assert guest_digest(guest, lba, sectors, setting.device) == wanted
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
        guest.run(f"dd if=/tmp/odd of={setting.device} {flags} 2>/dev/null")
        assert digest(setting.disk(lba, sectors)) == wanted, (lba, sectors)
        assert (setting.disk(lba - 1, 1), setting.disk(lba + sectors, 1)) == before
        flags = f"bs={size} iflag=direct,skip_bytes skip={place} count=1"
        read = f"dd if={setting.device} {flags} 2>/dev/null"
        seen = guest.run(f"{read} | sha256sum").output.split()[0]
        assert seen == wanted, (lba, sectors)
    clean_disk_log(guest)


@case
def nvme_cli(setting: DiskSetting) -> None:
    """The tool of the trade lists and identifies the controller, gets its logs, and resets it."""
    guest = setting.guest

    def ask(command: str) -> dict:
        return json.loads(guest.run(f"/usr/sbin/nvme {command} -o json").output)

    controller = ask("id-ctrl /dev/nvme0")
    assert controller["mn"].strip() == "Niter storage", controller["mn"]
    assert controller["cntlid"] == 0 and controller["oncs"] >= 0
    space = ask(f"id-ns {DEVICE}")
    assert space["nsze"] == setting.config.disks[0].length
    health = ask("smart-log /dev/nvme0")
    assert not health["critical_warning"], health
    slots = ask("fw-log /dev/nvme0")
    assert controller["fr"].strip() in json.dumps(slots), slots
    assert "nvme0n1" in guest.run("/usr/sbin/nvme list").output
    # What is refused is in the log of errors, the newest first.
    nothing = "/usr/sbin/nvme get-log /dev/nvme0 --log-id=0xc0 --log-len=512"
    assert guest.run(nothing, check=False).status
    newest = ask("error-log /dev/nvme0")["errors"][0]
    assert newest["error_count"] >= 1 and newest["sqid"] == 0 and newest["status_field"], newest
    guest.run("/usr/sbin/nvme reset /dev/nvme0")
    wait_for_device(guest)
    assert guest.run("cat /sys/class/nvme/nvme0/state").output.strip() == "live"
    sectors = 128
    assert guest_digest(guest, 0, sectors) == digest(setting.disk(0, sectors))
    setting.notes["nvme_cli"] = f"model {controller['mn'].strip()}, firmware {controller['fr']}"
    # The kernel has its doubts about such a tool, and says them.
    guest.run("dmesg -c >/dev/null")


@case
def filesystem(setting: DiskSetting) -> None:
    """An ext4 is made and a source tree copied to it; e2fsck finds it whole, also at the target,
    which has each file as it is here."""
    guest = setting.guest
    guest.run(f"/usr/sbin/mke2fs -q -F -t ext4 -J size=1 -N 256 {setting.device}", timeout=300)
    guest.run(f"mkdir -p /mnt; mount -t ext4 {setting.device} /mnt")
    guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null")
    guest.run(f"cp /tmp/data /mnt && cp -r {TREE} /mnt")
    guest.run("umount /mnt", timeout=300)
    guest.run(f"/usr/sbin/e2fsck -f -n {setting.device}", timeout=300)
    guest.run(f"echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 -o ro {setting.device} /mnt")
    try:
        guest.run(f"diff -r {TREE} /mnt/{TREE.rsplit('/', 1)[1]}", timeout=300)
        wanted = guest.run("cmp /tmp/data /mnt/data && sha256sum </mnt/data", timeout=300).output
    finally:
        guest.run("umount /mnt")
    there = setting.files()
    assert digest(there.pop("data")) == wanted.split()[0]
    parent = TREE.strip("/").rsplit("/", 1)[0]
    tree = {name.removeprefix(f"{parent}/"): path for name, path in source_tree().items()}
    assert there == {name: path.read_bytes() for name, path in tree.items()}
    setting.notes["filesystem"] = f"{len(tree)} files of a source tree"
    clean_disk_log(guest)


@case
def fio(setting: DiskSetting) -> None:
    """Random reads and writes of 512 bytes to 1 MiB, checked block by block, four jobs at once."""
    guest, seen = setting.guest, []
    for block, size in (("512", "64k"), ("4k", "256k"), ("64k", "512k"), ("1m", "2m")):
        job = (
            f"--name=verify --filename={setting.device} --direct=1 --ioengine=libaio --iodepth=32 "
            f"--rw=randrw --bs={block} --size={size} --offset_increment=4m --numjobs=4 "
            "--verify=crc32c --verify_fatal=1 --group_reporting --output-format=json"
        )
        output = guest.run(f"fio {job}", timeout=600).output
        [done] = json.loads(output[output.index("{") :])["jobs"]
        assert not done["error"], done
        assert done["write"]["total_ios"] and done["read"]["total_ios"], done
        seen.append(f"{block}: {done['write']['total_ios']}+{done['read']['total_ios']}")
    setting.notes["fio"] = "writes and reads with blocks of " + ", ".join(seen)
    clean_disk_log(guest)

"""What stock Linux' virtio_blk does with a card of disks; each case fails by an exception."""

from collections.abc import Callable

from niter.virtio.blk import MAX_SEGMENTS, blk_device
from sim.live.storage import virtio_disks
from sim.models.aoe import SECTOR

from .cases import Case
from .disk_cases import filesystem, fio, odd_sizes, read, write
from .disk_setting import DiskSetting, clean_disk_log

__all__ = ["CASES", "DEVICE"]

DEVICE = "/dev/vda"
_SYS = "/sys/block/vda"


def probe(setting: DiskSetting) -> None:
    """The driver takes the function; the disk has its size, identity, queues and limits."""
    guest = setting.guest
    guest.run(f"for n in $(seq 120); do test -b {DEVICE} && break; sleep 0.5; done")
    guest.run(f"test -b {DEVICE}")
    blk = setting.config.card.storage.blk
    declared = blk_device(blk.queues, blk.queue_size).function()
    seen = guest.run("lspci -vvv -nn -s 01:00.0").output
    (setting.folder / "lspci.txt").write_text(seen)
    wanted = [
        f"[{declared.vendor:04x}:{declared.device:04x}]",
        f"MSI-X: Enable+ Count={declared.msix.vectors} Masked-",
        "Kernel driver in use: virtio-pci",
    ]
    missing = [text for text in wanted if text not in seen]
    assert not missing, f"not in lspci: {missing}\n{seen}"
    [(_, disk), *_] = virtio_disks(setting.config.disks)

    def shown(name: str) -> str:
        # Not all of these files end a line.
        return guest.run(f"echo $(cat {_SYS}/{name})").output.strip()

    assert int(shown("size")) == disk.sectors
    assert shown("serial") == disk.identity.decode()
    assert int(shown("ro")) == 0
    assert int(shown("queue/max_segments")) == MAX_SEGMENTS
    assert int(shown("queue/discard_max_bytes")) > 0
    assert int(shown("queue/write_zeroes_max_bytes")) > 0
    assert shown("queue/write_cache") == "write back"
    queues = guest.run(f"ls {_SYS}/mq").output.split()
    assert len(queues) == min(blk.queues, 2), queues
    setting.notes["probe"] = f"{disk.sectors * SECTOR:,} bytes, {len(queues)} queues"
    clean_disk_log(guest)


def _case(run: Callable[[DiskSetting], None]) -> Case:
    """A case of this card by a name of its own, under which its note stands, too."""
    name = f"virtio_{run.__name__}"

    def named(setting: DiskSetting) -> None:
        run(setting)
        if run.__name__ in setting.notes:
            setting.notes[name] = setting.notes.pop(run.__name__)

    return Case(name, named)


#: In the order in which they run; most are the NVMe card's, which do not care what the disk is.
CASES = [_case(run) for run in (probe, read, write, odd_sizes, filesystem, fio)]

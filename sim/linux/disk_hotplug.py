"""Volumes that come and go while a guest is at work: ``niterctl`` and its namespaces."""

import time

from sim.live.storage import Disk
from sim.models.aoe import SECTOR

from .cases import Skip
from .disk_setting import DEVICE, DiskSetting, case, clean_disk_log, digest, guest_digest
from .target import MAC, TUNNEL_ADDRESS, TUNNEL_MAC, TUNNEL_SLOT, TUNNEL_VNI, Blade

__all__ = ["SECTORS", "tunnel", "volume"]

#: Of the volume that this is about: behind all others at the target.
SECTORS = 16384
_NUMBER, _NSID = 2, 2
_DEVICE = "/dev/nvme0n2"
#: Sectors of it that a case writes.
_USED = 2048


@case
def volume(setting: DiskSetting) -> None:
    """A volume that is attached appears in the guest, works, and disappears when it is detached."""
    last = setting.config.disks[-1]
    begin = time.monotonic()
    setting.card.manager.attach(_NUMBER, _extra(setting, last.mac, last.slot))
    _wait(setting, there=True)
    appeared = time.monotonic() - begin
    listed = [each["number"] for each in setting.card.manager.niterctl("volume", "list")]
    assert listed == [*range(len(setting.config.disks)), _NUMBER], listed
    _use(setting)
    begin = time.monotonic()
    _detach(setting, _NUMBER)
    gone = time.monotonic() - begin
    setting.notes["volume"] = f"appeared {appeared:.1f} s after niterctl, gone {gone:.1f} s after"


@case
def tunnel(setting: DiskSetting) -> None:
    """The same through VXLAN: the target is behind Linux' own vxlan netdev."""
    target, manager = setting.target, setting.card.manager
    if not isinstance(target, Blade):
        raise Skip("a vxlan netdev needs root")
    target.start_tunnel(setting.config.endpoint)
    peer = ("--via", TUNNEL_ADDRESS, "--next-hop", MAC)
    manager.niterctl("volume", "tunnel", "--vni", TUNNEL_VNI, *peer)
    manager.attach(_NUMBER + 1, _extra(setting, TUNNEL_MAC, TUNNEL_SLOT), wire=1)
    _wait(setting, there=True)
    _use(setting)
    frames = target.through_tunnel()
    # A frame for each two sectors, written and read.
    assert frames >= 2 * _USED // 2, frames
    _detach(setting, _NUMBER + 1)
    setting.notes["tunnel"] = f"{frames} frames through the tunnel"


def _extra(setting: DiskSetting, mac: str, slot: int) -> Disk:
    """The volume, by one of the ways to where it lies."""
    last = setting.config.disks[-1]
    first = last.first + last.length
    return Disk(mac, last.shelf, slot, SECTORS, first, function=0, nsid=_NSID)


def _wait(setting: DiskSetting, *, there: bool) -> None:
    guest, end = setting.guest, "&&" if there else "||"
    guest.run(f"for n in $(seq 120); do test -e {_DEVICE} {end} break; sleep 0.25; done")
    assert bool(guest.run(f"test -b {_DEVICE}", check=False).status) != there


def _use(setting: DiskSetting) -> None:
    """Write and read some of it, which is at the target then."""
    guest = setting.guest
    assert int(guest.run(f"blockdev --getsize64 {_DEVICE}").output) == SECTORS * SECTOR
    guest.run(f"dd if=/dev/urandom of=/tmp/new bs=64k count={_USED * SECTOR >> 16} 2>/dev/null")
    guest.run(f"dd if=/tmp/new of={_DEVICE} bs=64k oflag=direct 2>/dev/null")
    wanted = guest.run("sha256sum </tmp/new").output.split()[0]
    last = setting.config.disks[-1]
    assert digest(setting.target.read(last.first + last.length, _USED)) == wanted
    assert guest_digest(guest, 0, _USED, _DEVICE) == wanted
    clean_disk_log(guest)


def _detach(setting: DiskSetting, number: int) -> None:
    """Take it away; the other namespace notices nothing."""
    setting.card.manager.detach(number)
    _wait(setting, there=False)
    assert guest_digest(setting.guest, 0, _USED, DEVICE) == digest(setting.disk(0, _USED))
    clean_disk_log(setting.guest)

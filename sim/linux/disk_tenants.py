"""Two guests on a storage card: one that boots from it, and each with a volume of its own."""

import time

from sim.models.aoe import SECTOR

from .disk_setting import (
    DEVICE,
    DiskSetting,
    case,
    clean_disk_log,
    digest,
    guest_digest,
    wait_for_device,
)

#: Of processor time, in 3 s.
_MOST_AT_REST_S = 0.3


@case(long=True)
def bios_boot(setting: DiskSetting) -> None:
    """A guest boots from its volume: SeaBIOS reads GRUB, GRUB by SeaBIOS a kernel, which runs."""
    begin = time.monotonic()
    guest = setting.second()
    seconds = time.monotonic() - begin
    wait_for_device(guest)
    sectors = 4096
    assert guest_digest(guest, 0, sectors) == digest(setting.disk(0, sectors, 1))
    setting.notes["bios_boot"] = f"{seconds:.0f} s from power-on to a shell, wall clock"
    clean_disk_log(guest)


@case(long=True)
def two_volumes(setting: DiskSetting) -> None:
    """Two guests write at once, each to its volume: neither changes or reaches the other's."""
    guests = setting.guest, setting.second()
    lba, sectors = 49152, 2048
    ends = [disk.length for disk in setting.config.disks]
    before = [setting.disk(0, end, number) for number, end in enumerate(ends)]
    wanted, commands = [], []
    for guest in guests:
        wait_for_device(guest)
        guest.run("dd if=/dev/urandom of=/tmp/own bs=64k count=16 2>/dev/null")
        wanted.append(guest.run("sha256sum </tmp/own").output.split()[0])
    for guest in guests:
        where = f"bs=64k seek={lba * SECTOR >> 16}"
        commands.append(guest.begin(f"dd if=/tmp/own of={DEVICE} oflag=direct {where}"))
    for guest, command in zip(guests, commands, strict=True):
        guest.finish(command, timeout=300)
    first, last = lba * SECTOR, (lba + sectors) * SECTOR
    for number, guest in enumerate(guests):
        after = setting.disk(0, ends[number], number)
        assert digest(after[first:last]) == wanted[number]
        assert after[:first] == before[number][:first] and after[last:] == before[number][last:]
        assert guest_digest(guest, lba, sectors) == wanted[number]
    # Past the kernel, which knows the size: behind its end is the other's volume, and the card
    # refuses that.
    beyond = f"/usr/sbin/nvme read {DEVICE} -s {ends[0]} -c 0 -z 512 -d /tmp/other"
    refused = setting.guest.run(beyond, check=False)
    assert refused.status and "lba" in refused.output.lower(), refused.output
    setting.guest.run("dmesg -c >/dev/null")


@case
def nvme_quiet(setting: DiskSetting) -> None:
    """Nothing went wrong on the link; a card whose processor only looks for work costs little."""
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
    assert spent < _MOST_AT_REST_S, setting.notes["nvme_quiet"]

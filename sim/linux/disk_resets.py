"""What takes a storage card away from its driver while it is in use, and gives it back."""

from sim.models.aoe import SECTOR

from .disk_setting import DEVICE, PCI, DiskSetting, case, digest, guest_digest, wait_for_device
from .guest import Guest

_LOAD_LBA, _LOAD_SECTORS = 32768, 2048


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
        guest.run(f"echo {PCI} > {driver}/unbind; echo {PCI} > {driver}/bind", timeout=120)
        guest.run("wait; true", timeout=120)
        wait_for_device(guest)
        _begin_load(guest)
        _finish_load(setting)


@case
def nvme_function_level_reset(setting: DiskSetting) -> None:
    """A function level reset while writes are under way: the driver prepares, and comes back."""
    guest, device = setting.guest, f"/sys/bus/pci/devices/{PCI}"
    for _ in range(2):
        _begin_load(guest)
        guest.run(f"echo flr > {device}/reset_method; echo 1 > {device}/reset", timeout=120)
        _finish_load(setting)


def _begin_load(guest: Guest) -> None:
    """Writes of 16 KiB in the background, each of them carried out when the next begins."""
    guest.run("dd if=/dev/urandom of=/tmp/load bs=64k count=16 2>/dev/null")
    where = f"bs=16k seek={_LOAD_LBA * SECTOR >> 14}"
    guest.run(
        f"(dd if=/tmp/load of={DEVICE} oflag=direct {where} 2>/tmp/load.log; "
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

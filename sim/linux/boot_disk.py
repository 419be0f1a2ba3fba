"""A disk that a PC's BIOS boots Linux from: GRUB, and behind it kernel and initial file system.

There is no partition and no file system: GRUB reads what it loads from where it stands.
"""

import subprocess
from pathlib import Path

from sim.models.aoe import SECTOR

from .guest import ARGUMENTS
from .packages import Root, fetch

__all__ = ["boot_disk"]

_MODULES = ("biosdisk", "linux", "serial", "terminal")
#: Behind the sectors of GRUB itself.
_KERNEL_LBA = 4096


def boot_disk(kernel: Path, image: Path, folder: Path) -> bytes:
    """The first sectors of a disk that boots a kernel.

    Parameters
    ----------
    kernel, image
        What is booted.
    folder
        For packages and what is made on the way.
    """
    root = fetch(folder, "grub", ["grub-pc-bin", "grub-common"])
    kernel_bytes, image_bytes = _padded(kernel.read_bytes()), _padded(image.read_bytes())
    kernel_sectors, image_sectors = len(kernel_bytes) // SECTOR, len(image_bytes) // SECTOR
    loader = _loader(
        root,
        folder,
        "serial --unit=0 --speed=115200\n"
        "terminal_output serial\n"
        f"linux (hd0){_KERNEL_LBA}+{kernel_sectors} {ARGUMENTS}\n"
        f"initrd (hd0){_KERNEL_LBA + kernel_sectors}+{image_sectors}\n"
        "boot\n",
    )
    return loader.ljust(_KERNEL_LBA * SECTOR, b"\0") + kernel_bytes + image_bytes


def _loader(root: Root, folder: Path, script: str) -> bytes:
    """GRUB's first sector, which reads what stands behind it."""
    platform = root.path / "usr/lib/grub/i386-pc"
    early, core = folder / "grub.cfg", folder / "grub.core"
    early.write_text(script)
    options = ("-O", "i386-pc", "-d", platform, "-p", "/", "-c", early, "-o", core)
    command = [*root.command("usr/bin/grub-mkimage"), *map(str, options), *_MODULES]
    subprocess.run(command, check=True, capture_output=True)
    loader = _padded((platform / "boot.img").read_bytes() + core.read_bytes())
    if len(loader) > _KERNEL_LBA * SECTOR:
        raise ValueError(f"GRUB has {len(loader)} bytes, too many for its place")
    return loader


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % SECTOR)

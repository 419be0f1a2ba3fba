"""A QEMU that knows vfio-user: the system's own, or Debian's in a folder of its own."""

import shutil
import subprocess
from pathlib import Path

from .packages import fetch

__all__ = ["find_qemu"]

_NAME = "qemu-system-x86_64"


def find_qemu(folder: Path) -> list[str]:
    """The command that starts it; fetches packages into ``folder`` when the system has none."""
    path = shutil.which(_NAME)
    if path is not None:
        known = subprocess.run([path, "-device", "help"], capture_output=True, text=True)
        if "vfio-user-pci" in known.stdout:
            return [path]
    root = fetch(folder, "host", ["qemu-system-x86"], backports=True)
    share = root.path / "usr/share"
    firmware = [flag for name in ("seabios", "qemu") for flag in ("-L", str(share / name))]
    return [*root.command(f"usr/bin/{_NAME}"), *firmware]

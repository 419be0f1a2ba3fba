"""The guest's initial file system: Debian's kernel modules and programs, and one script.

The archive is cpio's "newc" format (Linux, Documentation/driver-api/early-userspace).
"""

import lzma
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .packages import PackageError, Root

__all__ = ["NETWORK", "SMALL", "STORAGE", "Contents", "kernel", "make_image"]


@dataclass(frozen=True)
class Contents:
    """What a guest is made of.

    Parameters
    ----------
    packages
        Where all of it comes from.
    programs, others
        Their paths in there; what programs load is found.
    modules
        Of the kernel, inserted in this order, each behind those that it needs.
    """

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    modules: tuple[str, ...]
    others: tuple[str, ...] = ()


NETWORK = Contents(
    packages=(
        "linux-image-cloud-amd64",
        "busybox-static",
        "iproute2",
        "ethtool",
        "iperf3",
        "pciutils",
        "iputils-ping",
    ),
    programs=(
        "usr/bin/busybox",
        "usr/bin/iperf3",
        "usr/bin/lspci",
        "usr/bin/ping",
        "usr/bin/setpci",
        "usr/sbin/ethtool",
        "usr/sbin/ip",
    ),
    modules=("virtio_pci", "virtio_net", "vxlan"),
    others=("usr/share/misc/pci.ids",),
)
STORAGE = Contents(
    packages=(
        "linux-image-cloud-amd64",
        "busybox-static",
        "e2fsprogs",
        "fio",
        "nvme-cli",
        "pciutils",
    ),
    programs=(
        "usr/bin/busybox",
        "usr/bin/fio",
        "usr/bin/lspci",
        "usr/sbin/e2fsck",
        "usr/sbin/mke2fs",
        "usr/sbin/nvme",
    ),
    modules=("nvme", "crc32c_generic", "ext4"),
    others=("etc/mke2fs.conf", "usr/share/misc/pci.ids"),
)
DISKS = Contents(
    packages=STORAGE.packages,
    programs=(
        "usr/bin/busybox",
        "usr/bin/fio",
        "usr/bin/lspci",
        "usr/sbin/e2fsck",
        "usr/sbin/mke2fs",
    ),
    modules=("virtio_pci", "virtio_blk", "crc32c_generic", "ext4"),
    others=STORAGE.others,
)
#: As little as can be read from a disk that is booted from.
SMALL = Contents(packages=STORAGE.packages, programs=("usr/bin/busybox",), modules=("nvme",))
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
#: Commands come line by line on the second serial port, each with a number; an answer ends with
#: the number and the command's status.
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /bin
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
ip link set lo up
# The shell would take its own for these.
ip() { /usr/sbin/ip "$@"; }
ping() { /usr/bin/ping "$@"; }
stty -F /dev/ttyS1 raw -echo icanon
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo "@done 0 0"
# Not by ``read``: that forgets what it has of a line when a process ends in the background.
while line=$(head -n 1) && [ -n "$line" ]; do
    eval "${line#* }"
    echo "@done ${line%% *} $?"
done
poweroff -f
"""


def kernel(root: Root) -> Path:
    """The kernel among the packages."""
    [found] = (root.path / "boot").glob("vmlinuz-*")
    return found


def make_image(
    root: Root, contents: Contents, to: Path, own: Mapping[str, Path] = MappingProxyType({})
) -> Path:
    """Write the archive; ``own`` are files of ours by their place, programs without libraries."""
    entries: dict[str, tuple[int, bytes]] = {}
    for name in (*contents.programs, *contents.others):
        _add(entries, name, root.path / name)
    for name, path in own.items():
        _add(entries, name, path)
    _add(entries, "bin/busybox", root.path / "usr/bin/busybox")
    # Loaded by name when a thread is cancelled.
    _add(entries, f"{_LIBRARIES}/libgcc_s.so.1", root.path / _LIBRARIES / "libgcc_s.so.1")
    for library in sorted(_libraries(root, [root.path / name for name in contents.programs])):
        _add(entries, str(library.relative_to(root.path)), library)
    loader = next(root.path.glob("usr/lib*/ld-linux-x86-64.so.2"))
    _add(entries, "lib64/ld-linux-x86-64.so.2", loader)
    for number, (name, content) in enumerate(_modules(root, contents.modules).items()):
        entries[f"modules/{number:02}-{name}.ko"] = (0o644, content)
    entries["init"] = (0o755, _INIT.encode())
    to.write_bytes(_archive(entries))
    return to


def _modules(root: Root, names: Sequence[str]) -> dict[str, bytes]:
    """The modules and what they need, as they are inserted."""
    paths = {
        path.name.removesuffix(".ko.xz").replace("-", "_"): path
        for path in root.path.glob("usr/lib/modules/*/kernel/**/*.ko.xz")
    }
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        # What is not there is part of the kernel.
        if name in found or name not in paths:
            return
        content = lzma.decompress(paths[name].read_bytes())
        # A line of the section .modinfo: names with commas between them.
        needed = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in needed[1].decode().split(",") if needed else ():
            add(other.replace("-", "_"))
        found[name] = content

    for name in names:
        add(name)
    return found


def _libraries(root: Root, programs: Sequence[Path]) -> set[Path]:
    """What the programs load, found in the root by the loader that comes with it."""
    found: set[Path] = set()
    for program in programs:
        command = root.command(str(program.relative_to(root.path)))
        listed = subprocess.run(
            [command[0], "--list", *command[1:]], capture_output=True, text=True
        )
        if "cannot open shared object" in listed.stderr:
            raise PackageError(listed.stderr.strip())
        for word in listed.stdout.split():
            if word.startswith(str(root.path)) and Path(word).is_file():
                found.add(Path(word))
    return {path for path in found if not path.name.startswith("ld-linux")}


def _add(entries: dict[str, tuple[int, bytes]], name: str, path: Path) -> None:
    real = path.resolve()
    mode = 0o755 if real.stat().st_mode & stat.S_IXUSR or ".so" in name else 0o644
    entries[name] = (mode, real.read_bytes())


def _archive(entries: dict[str, tuple[int, bytes]]) -> bytes:
    folders = {str(p) for name in entries for p in Path(name).parents if str(p) != "."}
    out = bytearray()
    number = 0
    for name in sorted(folders):
        number += 1
        out += _record(number, name, stat.S_IFDIR | 0o755, b"")
    for name, (mode, content) in sorted(entries.items()):
        number += 1
        out += _record(number, name, stat.S_IFREG | mode, content)
    return bytes(out + _record(0, "TRAILER!!!", 0, b""))


def _record(number: int, name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    numbers = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % value for value in numbers) + encoded
    return _pad(head) + _pad(content)


def _pad(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)

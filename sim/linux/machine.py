"""What a guest is started from, made of packages."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from .guest import Machine
from .image import Contents, kernel, make_image
from .packages import Root, fetch
from .qemu import find_qemu

__all__ = ["make_machine"]


def make_machine(
    folder: Path,
    name: str,
    contents: Contents,
    *,
    image: str = "",
    own: Mapping[str, Path] = MappingProxyType({}),
) -> tuple[Machine, Root]:
    """What boots, and the packages that it is made of.

    Parameters
    ----------
    folder
        Keeps what was fetched.
    name
        Of the packages' folder in it.
    contents
        Of the initial file system.
    image
        Name of that, if it is another.
    own
        Files of ours in it, by their place.
    """
    qemu = find_qemu(folder)
    programs = fetch(folder, name, contents.packages)
    booted = make_image(programs, contents, folder / f"{image or name}.initrd", own)
    return Machine(qemu, kernel(programs), booted), programs

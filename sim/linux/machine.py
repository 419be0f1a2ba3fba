"""What a guest is started from, made of packages."""

from pathlib import Path

from .guest import Machine
from .image import Contents, kernel, make_image
from .packages import Root, fetch
from .qemu import find_qemu

__all__ = ["make_machine"]


def make_machine(
    folder: Path, name: str, contents: Contents, *, image: str = ""
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
    """
    qemu = find_qemu(folder)
    programs = fetch(folder, name, contents.packages)
    booted = make_image(programs, contents, folder / f"{image or name}.initrd")
    return Machine(qemu, kernel(programs), booted), programs

"""The memory map: which register stands at which word address, and what it is called."""

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["MemoryMap", "ResourceInfo", "WindowInfo"]


class ResourceInfo(NamedTuple):
    """Where a resource stands: words ``start`` to ``end``, the latter excluded.

    ``path`` is the name of the resource preceded by those of the windows around it.
    """

    resource: Any
    path: tuple[str, ...]
    start: int
    end: int


class WindowInfo(NamedTuple):
    """Where a nested memory map stands: words ``start`` to ``end``, the latter excluded."""

    window: "MemoryMap"
    name: str
    start: int
    end: int


class MemoryMap:
    """A tree of named resources in an address space of 32-bit words.

    Resources are registers, counters, or anything that the generators can describe; a
    window is another map, aligned to its own size, as a decoder needs it.

    Parameters
    ----------
    addr_width
        Width of a word address in bits; the map spans ``2 ** addr_width`` words.

    Raises
    ------
    ValueError
        From ``add_resource`` and ``add_window``: a name is taken or not an identifier, the
        address is not aligned, the range overlaps another or leaves the address space.
    """

    def __init__(self, *, addr_width: int):
        if not isinstance(addr_width, int) or addr_width < 0:
            raise ValueError(f"Address width must be a non-negative integer, not {addr_width!r}")
        self.addr_width = addr_width
        self._resources: list[ResourceInfo] = []
        self._windows: list[WindowInfo] = []
        self._next = 0

    def add_resource(
        self, resource: Any, *, name: str, size: int = 1, addr: int | None = None
    ) -> tuple[int, int]:
        """Put a resource of ``size`` words at ``addr``, or behind the last one added."""
        start, end = self._place(name, size, 1, addr)
        self._resources.append(ResourceInfo(resource, (name,), start, end))
        return start, end

    def add_window(
        self, window: "MemoryMap", *, name: str, addr: int | None = None
    ) -> tuple[int, int]:
        """Put another map at ``addr``, or at the next address aligned to its size."""
        size = 1 << window.addr_width
        start, end = self._place(name, size, size, addr)
        self._windows.append(WindowInfo(window, name, start, end))
        return start, end

    def resources(self) -> Iterator[ResourceInfo]:
        """Resources of this map itself, by ascending address."""
        return iter(sorted(self._resources, key=lambda info: info.start))

    def windows(self) -> Iterator[WindowInfo]:
        """Windows of this map itself, by ascending address."""
        return iter(sorted(self._windows, key=lambda info: info.start))

    def all_resources(self) -> Iterator[ResourceInfo]:
        """Resources of this map and of all windows, with full paths, by ascending address."""
        found = list(self._resources)
        for window, name, start, _ in self._windows:
            found += [
                ResourceInfo(r.resource, (name, *r.path), start + r.start, start + r.end)
                for r in window.all_resources()
            ]
        return iter(sorted(found, key=lambda info: info.start))

    def find(self, *path: str) -> ResourceInfo:
        """Resource with the given path; ``KeyError`` if there is none."""
        for info in self.all_resources():
            if info.path == path:
                return info
        raise KeyError(".".join(path))

    def _place(self, name: str, size: int, align: int, addr: int | None) -> tuple[int, int]:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"Name must be an identifier, not {name!r}")
        ranges = [(r.path[0], r.start, r.end) for r in self._resources]
        ranges += [(w.name, w.start, w.end) for w in self._windows]
        if any(name == taken for taken, *_ in ranges):
            raise ValueError(f"Name {name!r} is already in use")
        if addr is None:
            addr = (self._next + align - 1) // align * align
        if addr % align:
            raise ValueError(f"Address {addr:#x} of {name!r} is not a multiple of {align:#x}")
        if addr < 0 or addr + size > 1 << self.addr_width:
            raise ValueError(
                f"Range {addr:#x}..{addr + size:#x} of {name!r} does not fit in "
                f"{self.addr_width} address bits"
            )
        for taken, start, end in ranges:
            if addr < end and start < addr + size:
                raise ValueError(
                    f"Range {addr:#x}..{addr + size:#x} of {name!r} overlaps "
                    f"{start:#x}..{end:#x} of {taken!r}"
                )
        self._next = addr + size
        return addr, addr + size

"""Buffers of whole pages or parts of them, and the PRP entries that describe them.

Each page of a buffer is a region of its own, so that nothing can rest on pages being neighbours,
and an access beyond a buffer's first or last byte is a stray one.
"""

from sim.models.memory import HostMemory, Region
from sim.models.nvme.specification import PAGE_BYTES

__all__ = ["Buffer"]

_ENTRY_BYTES = 8
_PAGE_ENTRIES = PAGE_BYTES // _ENTRY_BYTES


class Buffer:
    """Host memory for the data of one command (Base 2.0, 4.1.1).

    Parameters
    ----------
    memory
        Where it is allocated; the device may not touch it before ``grant``.
    size
        Bytes.
    offset
        Of its first byte in its page: a multiple of four.
    list_entries
        Entries from the beginning of its PRP list to the end of that list's page, 1 to 512: a
        list need not begin its page, and one that does not fit goes on in a page of its own.

    Members
    -------
    prp : tuple of int
        PRP1 and PRP2.
    """

    def __init__(
        self,
        memory: HostMemory,
        size: int,
        *,
        offset: int = 0,
        list_entries: int = 512,
    ) -> None:
        assert 0 <= offset < PAGE_BYTES and offset % 4 == 0, offset
        assert 1 <= list_entries <= _PAGE_ENTRIES, list_entries
        self.size = size
        self._memory = memory
        self.pages: list[Region] = []
        left = size
        while left:
            part = min(left, PAGE_BYTES - offset)
            self.pages.append(
                memory.allocate(part, align=PAGE_BYTES, offset=offset, name="data buffer")
            )
            left, offset = left - part, 0
        self.lists: list[Region] = []
        first, rest = self.pages[0].address, [page.address for page in self.pages[1:]]
        match len(rest):
            case 0:
                self.prp = (first, 0)
            case 1:
                self.prp = (first, rest[0])
            case _:
                self.prp = (first, self._list(rest, list_entries))

    def _list(self, entries: list[int], places: int) -> int:
        """Write a PRP list that begins ``places`` entries before the end of its page."""
        chained = len(entries) > places
        here = entries[: places - 1] if chained else entries
        if chained:
            here = [*here, self._list(entries[places - 1 :], _PAGE_ENTRIES)]
        region = self._memory.allocate(
            _ENTRY_BYTES * len(here),
            align=PAGE_BYTES,
            offset=PAGE_BYTES - _ENTRY_BYTES * places,
            name="PRP list",
        )
        for at, entry in enumerate(here):
            region.write_int(_ENTRY_BYTES * at, entry, _ENTRY_BYTES)
        self.lists.append(region)
        return region.address

    def grant(self, *, readable: bool = False, writable: bool = False) -> None:
        """What the device may do with the data; it may read the lists with either."""
        for page in self.pages:
            page.readable, page.writable = readable, writable
        for region in self.lists:
            region.readable = readable or writable

    def read(self) -> bytes:
        """All of it."""
        return b"".join(page.read() for page in self.pages)

    def write(self, content: bytes) -> None:
        """Fill it from its beginning."""
        assert len(content) <= self.size
        for page in self.pages:
            part, content = content[: page.size], content[page.size :]
            page.write(0, part)

    def free(self) -> None:
        """Take it away from the device for good; its guard bytes must be intact."""
        for region in (*self.pages, *self.lists):
            self._memory.free(region)
        self.pages, self.lists = [], []

"""Buffers of whole pages or parts of them, and the PRP entries that describe them.

Each page of a buffer is a region of its own, so that nothing can rest on pages being neighbours,
and an access beyond a buffer's first or last byte is a stray one.
"""

from collections.abc import Sequence

from sim.models.memory import HostMemory, Region
from sim.models.nvme.specification import PAGE_BYTES

__all__ = ["Buffer"]

_ENTRY_BYTES = 8


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
        Places for entries in each page of its PRP list before the list goes on in another one,
        2 to 512; a list need not begin at the beginning of its page.

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
        assert 2 <= list_entries <= PAGE_BYTES // _ENTRY_BYTES, list_entries
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

    def _list(self, entries: Sequence[int], most: int) -> int:
        """Write a PRP list, in pieces of ``most`` entries that end where their page ends."""
        pieces = []
        entries = list(entries)
        while len(entries) > most:
            pieces.append(entries[: most - 1])
            entries = entries[most - 1 :]
        pieces.append(entries)
        address = 0
        for number, piece in reversed(list(enumerate(pieces))):
            chained = number < len(pieces) - 1
            content = [*piece, address] if chained else piece
            size = _ENTRY_BYTES * len(content)
            # The last entry of a page is a pointer exactly when more entries follow.
            region = self._memory.allocate(
                size,
                align=PAGE_BYTES,
                offset=PAGE_BYTES - size if chained else self._place(size),
                name="PRP list",
            )
            for at, entry in enumerate(content):
                region.write_int(_ENTRY_BYTES * at, entry, _ENTRY_BYTES)
            self.lists.append(region)
            address = region.address
        return address

    @staticmethod
    def _place(size: int) -> int:
        """Where the list's last piece stands: it need not fill its page, but must fit into it."""
        return (PAGE_BYTES - size) // 2 // _ENTRY_BYTES * _ENTRY_BYTES

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

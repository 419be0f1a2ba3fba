"""Host memory: regions with guard bytes, and who may touch them when.

A plain Python object without a simulator: driver models allocate from it and fill it, and
what stands between it and the card (the port servers of ``sim.models.hostport``, a root
complex) calls ``device_read`` and ``device_write``. Every access of the device is checked
against what the driver has granted at that moment: an access that crosses a region's end,
reads what is only writable, or comes after the grant was withdrawn is a defect of the card
and fails the test at once. Addresses are never used twice, so that a late access cannot
hit somebody else's buffer unnoticed.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from random import Random

__all__ = ["GUARD_BYTES", "HostMemory", "Region", "StrayAccess"]

#: Bytes before and behind each region that nobody may write.
GUARD_BYTES = 64


class StrayAccess(AssertionError):
    """The device touched memory that nobody had given it."""


@dataclass
class Region:
    """A piece of host memory, in the hands of the driver.

    Parameters
    ----------
    address
        Of its first byte, as the device sees it.
    size
        Bytes.
    name
        Stands in failures.
    readable, writable
        What the device may do with it now.
    """

    address: int
    size: int
    name: str = ""
    readable: bool = False
    writable: bool = False
    _bytes: bytearray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._bytes = bytearray(self._guard() + bytes(self.size) + self._guard())

    def __getitem__(self, at: slice) -> bytes:
        return self.read()[at]

    def _guard(self) -> bytes:
        return bytes([0xA5 ^ self.address >> 4 & 0xFF]) * GUARD_BYTES

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes as they stand, up to the end when no ``length`` is given."""
        length = self.size - offset if length is None else length
        self._within(offset, length)
        return self.around(offset, length)

    def around(self, offset: int, length: int) -> bytes:
        """Bytes of the region and of its guards, which begin at ``-GUARD_BYTES``."""
        return bytes(self._bytes[GUARD_BYTES + offset : GUARD_BYTES + offset + length])

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``."""
        self._within(offset, len(data))
        self._bytes[GUARD_BYTES + offset : GUARD_BYTES + offset + len(data)] = data

    def read_int(self, offset: int, size: int) -> int:
        """A little-endian number of ``size`` bytes."""
        return int.from_bytes(self.read(offset, size), "little")

    def write_int(self, offset: int, value: int, size: int) -> None:
        """Put a little-endian number of ``size`` bytes."""
        self.write(offset, value.to_bytes(size, "little"))

    def fill(self, byte: int) -> None:
        """Overwrite all of it."""
        self.write(0, bytes([byte]) * self.size)

    def check(self) -> None:
        """Assert that the guard bytes are intact."""
        guard = self._guard()
        assert self._bytes.startswith(guard), f"{self.name}: bytes before it were overwritten"
        assert self._bytes.endswith(guard), f"{self.name}: bytes behind it were overwritten"

    def _within(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise IndexError(f"{self.name}: {length} bytes at {offset} of {self.size}")


class HostMemory:
    """The memory of a simulated host.

    Parameters
    ----------
    base
        Where allocation begins.
    rng
        Spreads regions over pages, so that spans cross page borders in ever new places.
        None: back to back.
    strict
        A stray access raises ``StrayAccess``. Otherwise it is refused and noted in
        ``strays``, for tests whose driver posts nonsense.

    Members
    -------
    strays
        Descriptions of accesses that hit nothing granted and nothing declared by ``refuse``.
    refused
        How many accesses hit what was declared by ``refuse``.
    """

    def __init__(
        self, base: int = 0x1_0000_0000, *, rng: Random | None = None, strict: bool = True
    ) -> None:
        self.strict = strict
        self.strays: list[str] = []
        self.refused = 0
        self._rng = rng
        self._next = base
        self._addresses: list[int] = []
        self._regions: dict[int, Region] = {}
        self._holes: list[tuple[int, int]] = []

    def allocate(
        self,
        size: int,
        *,
        align: int = 16,
        offset: int = 0,
        name: str = "region",
        readable: bool = False,
        writable: bool = False,
    ) -> Region:
        """A new region of zeros.

        Parameters
        ----------
        size
            Bytes.
        align, offset
            Its address is ``offset`` beyond a multiple of ``align``, a power of two.
        name, readable, writable
            See ``Region``.
        """
        at = self._next + GUARD_BYTES
        if self._rng is not None:
            at += self._rng.randrange(4096)
        at = (at - offset + align - 1) // align * align + offset
        region = Region(at, size, name, readable, writable)
        self._next = at + size + GUARD_BYTES
        self._addresses.append(at)
        self._regions[at] = region
        return region

    def free(self, region: Region) -> None:
        """Take a region away from the device for good; its guard bytes must be intact."""
        region.check()
        region.readable = region.writable = False
        del self._regions[region.address]
        del self._addresses[bisect_right(self._addresses, region.address) - 1]

    def check(self) -> None:
        """Assert that all guard bytes are intact and that there was no stray access."""
        for region in self._regions.values():
            region.check()
        assert not self.strays, f"Stray accesses: {self.strays[:8]}"

    def refuse(self, address: int, size: int) -> None:
        """Declare addresses that the host answers with Unsupported Request."""
        self._holes.append((address, address + size))

    def device_read(self, address: int, length: int, *, rounded: bool = False) -> bytes | None:
        """What the device reads, or None when the host refuses.

        With ``rounded`` the span is one of whole 32-bit words that a bus has made of the
        device's bytes, and may begin and end up to three bytes outside a region.
        """
        region = self._find(address, length)
        if region is None and rounded:
            region = self._find(address + 3, length - 6)
        if region is None or not region.readable:
            return self._stray("read", address, length, region)
        return region.around(address - region.address, length)

    def device_write(self, address: int, data: bytes) -> bool:
        """Store what the device writes; False when the host refuses."""
        region = self._find(address, len(data))
        if region is None or not region.writable:
            self._stray("write", address, len(data), region)
            return False
        region.write(address - region.address, data)
        return True

    def _find(self, address: int, length: int) -> Region | None:
        """The region that holds the whole span."""
        number = bisect_right(self._addresses, address) - 1
        if number < 0:
            return None
        region = self._regions[self._addresses[number]]
        return region if address + length <= region.address + region.size else None

    def _stray(self, what: str, address: int, length: int, region: Region | None) -> None:
        """Refuse an access; it is a defect unless the address was declared to be refused."""
        if region is None and any(
            start < address + length and address < end for start, end in self._holes
        ):
            self.refused += 1
            return
        hit = "outside any region" if region is None else f"in {region.name}, not granted"
        stray = f"{what} of {length} bytes at {address:#x} {hit}"
        self.strays.append(stray)
        if self.strict:
            raise StrayAccess(stray)

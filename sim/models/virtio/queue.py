"""The driver's side of a split virtqueue (virtio 1.2, 2.7)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sim.models.memory import Region
from sim.models.virtio.bus import Bus
from sim.models.virtio.specification import NO_VECTOR, DescriptorFlag, Feature
from sim.models.virtio.transport import PciTransport

__all__ = ["Chain", "QueueFull", "SplitQueue"]

_DESCRIPTOR_BYTES = 16
_NO_INTERRUPT = 1
_NO_NOTIFY = 1


class QueueFull(Exception):
    """There are not enough free descriptors."""


@dataclass
class Chain:
    """One buffer that was given to the device.

    Parameters
    ----------
    readable, writable
        Its segments, in order.
    token
        The driver's own.
    """

    readable: Sequence[Region]
    writable: Sequence[Region]
    token: Any
    descriptors: list[int] = field(default_factory=list)
    table: Region | None = None
    #: Bytes that the device has written, once it is used.
    written: int = 0

    @property
    def capacity(self) -> int:
        """Bytes that the device may write."""
        return sum(region.size for region in self.writable)

    def content(self) -> bytes:
        """What the device has written, as far as it says so."""
        content, left = b"", self.written
        for region in self.writable:
            content += region.read(0, min(left, region.size))
            left -= min(left, region.size)
        return content


class SplitQueue:
    """One split virtqueue, from setting it up to taking used buffers back.

    Each segment is a region of its own; the device may touch it only while it has the
    chain. Descriptors are handed out in random order, so that nothing can rest on their
    being neighbours.

    Parameters
    ----------
    transport
        Of the device, with its features negotiated.
    index
        Of the queue.
    vector
        Of its interrupts.
    rng
        Draws descriptors.

    Members
    -------
    doorbells
        How often the device was notified.
    outstanding : dict of int to Chain
        What the device has, by head.
    """

    def __init__(
        self,
        transport: PciTransport,
        index: int,
        *,
        vector: int = NO_VECTOR,
        rng: Random | None = None,
    ) -> None:
        self.transport = transport
        self.bus: Bus = transport.bus
        self.index = index
        self.vector = vector
        self.size = 0
        self.doorbells = 0
        self.outstanding: dict[int, Chain] = {}
        self._rng = rng or Random(index)

    async def setup(self, size: int | None = None) -> None:
        """Allocate the rings, and configure and enable the queue.

        Parameters
        ----------
        size
            Number of entries, a power of two; None for what the device supports.
        """
        if size is None:
            async with self.transport.selected:
                size = await self.transport.queue_size(self.index)
        self.size = size
        features = self.transport.features
        self.event_idx = Feature.EVENT_IDX in features
        self.notification_data = Feature.NOTIFICATION_DATA in features
        memory, name = self.bus.memory, f"queue {self.index}"
        self.descriptors = memory.allocate(
            _DESCRIPTOR_BYTES * size, align=16, name=f"{name} descriptors", readable=True
        )
        self.available = memory.allocate(
            6 + 2 * size, align=2, name=f"{name} available ring", readable=True
        )
        self.used = memory.allocate(6 + 8 * size, align=4, name=f"{name} used ring", writable=True)
        self._free = list(range(size))
        self._rng.shuffle(self._free)
        self._next = self._published = self._notified = self._taken = 0
        self.doorbell = await self.transport.enable_queue(
            self.index,
            size,
            (self.descriptors.address, self.available.address, self.used.address),
            self.vector,
        )

    @property
    def free(self) -> int:
        """Descriptors that are free."""
        return len(self._free)

    def add(
        self,
        readable: Sequence[Region],
        writable: Sequence[Region],
        token: Any = None,
        *,
        indirect: bool = False,
        direct_before: int = 0,
    ) -> int:
        """Put a chain into the ring; it becomes visible with ``publish``.

        Parameters
        ----------
        readable, writable
            Its segments, at least one in all.
        token
            Comes back with the used chain.
        indirect
            Describe it by an indirect table (2.7.5.3).
        direct_before
            With ``indirect``: so many segments stand in ordinary descriptors before it.

        Returns
        -------
        Head of the chain.

        Raises
        ------
        QueueFull
            There are not enough descriptors.
        """
        segments = [(region, 0) for region in readable]
        segments += [(region, int(DescriptorFlag.WRITE)) for region in writable]
        needed = direct_before + 1 if indirect else len(segments)
        if needed > len(self._free):
            raise QueueFull(f"queue {self.index}: {needed} of {len(self._free)} descriptors")
        chain = Chain(readable, writable, token, [self._free.pop() for _ in range(needed)])
        for region, flags in segments:
            region.writable, region.readable = bool(flags), not flags
        entries = [(region.address, region.size, flags) for region, flags in segments]
        if indirect:
            inner = entries[direct_before:]
            chain.table = self._indirect(inner)
            entries[direct_before:] = [
                (chain.table.address, chain.table.size, int(DescriptorFlag.INDIRECT))
            ]
        self._link(self.descriptors, chain.descriptors, entries)
        head = chain.descriptors[0]
        self.outstanding[head] = chain
        self._offer(head)
        return head

    def _indirect(self, entries: list[tuple[int, int, int]]) -> Region:
        """A table of its own for the entries, which may stand in it in any order."""
        table = self.bus.memory.allocate(
            _DESCRIPTOR_BYTES * len(entries), name=f"queue {self.index} table", readable=True
        )
        order = list(range(1, len(entries)))
        self._rng.shuffle(order)
        self._link(table, [0, *order], entries)
        return table

    @staticmethod
    def _link(table: Region, places: Sequence[int], entries: Sequence[tuple[int, int, int]]):
        """Write entries (address, length, flags) as a chain through ``places``."""
        for number, (place, (address, length, flags)) in enumerate(
            zip(places, entries, strict=True)
        ):
            following = 0
            if number + 1 < len(entries):
                flags |= DescriptorFlag.NEXT
                following = places[number + 1]
            SplitQueue.put_descriptor(table, place, address, length, flags, following)

    @staticmethod
    def put_descriptor(
        table: Region, place: int, address: int, length: int, flags: int, following: int
    ) -> None:
        """Write one descriptor (2.7.5); tests write broken ones by it."""
        value = address | length << 64 | int(flags) << 96 | following << 112
        table.write_int(_DESCRIPTOR_BYTES * place, value, _DESCRIPTOR_BYTES)

    def _offer(self, head: int) -> None:
        """Put a head into the available ring."""
        self.available.write_int(4 + 2 * (self._next % self.size), head, 2)
        self._next = self._next + 1 & 0xFFFF

    offer_raw = _offer

    def publish(self) -> None:
        """Make all added chains visible: move the available index (2.7.13.3)."""
        self.available.write_int(2, self._next, 2)
        self._published = self._next

    async def kick(self, *, force: bool = False) -> bool:
        """Publish, and notify the device unless it said that it need not know (2.7.10).

        Returns
        -------
        Whether it was notified.
        """
        self.publish()
        new, old = self._published, self._notified
        self._notified = new
        if self.event_idx:
            event = self.used.read_int(4 + 8 * self.size, 2)
            wanted = new - event - 1 & 0xFFFF < new - old & 0xFFFF
        else:
            wanted = not self.used.read_int(0, 2) & _NO_NOTIFY
        if wanted or force:
            await self.notify()
        return wanted or force

    async def notify(self) -> None:
        """Ring the doorbell (4.1.5.2)."""
        bar, offset = self.doorbell
        self.doorbells += 1
        if self.notification_data:
            await self.bus.write(bar, offset, self.index | self._published << 16, 4)
        else:
            await self.bus.write(bar, offset, self.index, 2)

    def take_used(self) -> list[Chain]:
        """Take back all chains that the device has used so far.

        What the device has written to the used ring is checked: the index moves over what
        is outstanding only, each head is outstanding, and no length is beyond its chain.
        """
        index = self.used.read_int(2, 2)
        count = index - self._taken & 0xFFFF
        assert count <= len(self.outstanding), (
            f"queue {self.index}: used index {index} is {count} beyond {self._taken}, "
            f"with {len(self.outstanding)} chains outstanding"
        )
        return [self._take() for _ in range(count)]

    def _take(self) -> Chain:
        element = self.used.read_int(4 + 8 * (self._taken % self.size), 8)
        self._taken = self._taken + 1 & 0xFFFF
        head, written = element & 0xFFFF_FFFF, element >> 32
        assert head in self.outstanding, f"queue {self.index}: head {head} is not outstanding"
        chain = self.outstanding.pop(head)
        assert written <= chain.capacity, (
            f"queue {self.index}: {written} bytes written to {chain.capacity}"
        )
        chain.written = written
        self._withdraw(chain)
        self._free += chain.descriptors
        return chain

    def _withdraw(self, chain: Chain) -> None:
        """The device has no right to the chain any more."""
        for region in (*chain.readable, *chain.writable):
            region.readable = region.writable = False
            region.check()
        if chain.table is not None:
            self.bus.memory.free(chain.table)

    def enable_interrupts(self, after: int = 1) -> bool:
        """Ask for an interrupt when ``after`` more chains were used (2.7.7).

        Returns
        -------
        Whether there is nothing to take: False means that chains were used meanwhile.
        """
        if self.event_idx:
            event = self._taken + after - 1 & 0xFFFF
            self.available.write_int(4 + 2 * self.size, event, 2)
        else:
            self.available.write_int(0, 0, 2)
        return self.used.read_int(2, 2) == self._taken

    def disable_interrupts(self) -> None:
        """Ask for no interrupts, as far as the driver can."""
        if self.event_idx:
            event = self._taken - 1 & 0xFFFF
            self.available.write_int(4 + 2 * self.size, event, 2)
        else:
            self.available.write_int(0, _NO_INTERRUPT, 2)

    async def wait_used(self) -> list[Chain]:
        """Wait, by interrupt, until chains were used, and take them back."""
        event = self.bus.interrupt(self.vector)
        while True:
            event.clear()
            self.enable_interrupts()
            if chains := self.take_used():
                return chains
            await event.wait()

    async def reset(self) -> list[Chain]:
        """Reset the queue (2.6.1); returns the chains that the device has dropped."""
        await self.transport.reset_queue(self.index)
        return self.release()

    def release(self) -> list[Chain]:
        """Give up the rings after a reset of the queue or device: nothing may touch them now."""
        chains = list(self.outstanding.values())
        for chain in chains:
            self._withdraw(chain)
        self.outstanding.clear()
        for region in (self.descriptors, self.available, self.used):
            self.bus.memory.free(region)
        return chains

"""A driver for the virtio block device (virtio 1.2, 5.2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import cocotb
from cocotb.task import Task
from cocotb.triggers import Event

from sim.models.memory import Region
from sim.models.virtio.bus import Bus
from sim.models.virtio.queue import QueueFull, SplitQueue
from sim.models.virtio.specification import Blk, BlkStatus, BlkType, Feature
from sim.models.virtio.transport import PciTransport

__all__ = ["BlkDriver", "Pending", "RequestFailed", "header", "ranges"]

SECTOR_BYTES = 512
_ID_BYTES = 20
#: What stands in a status byte that nobody has written.
_NO_STATUS = 0xA9

#: Fields of the configuration structure (5.2.4): offset, bytes, and the feature that they need.
_FIELDS = {
    "capacity": (0, 4, None),
    "capacity_high": (4, 4, None),
    "size_max": (8, 4, Blk.SIZE_MAX),
    "seg_max": (12, 4, Blk.SEG_MAX),
    "blk_size": (20, 4, Blk.BLK_SIZE),
    "physical_block_exp": (24, 1, Blk.TOPOLOGY),
    "alignment_offset": (25, 1, Blk.TOPOLOGY),
    "min_io_size": (26, 2, Blk.TOPOLOGY),
    "opt_io_size": (28, 4, Blk.TOPOLOGY),
    "num_queues": (34, 2, Blk.MQ),
    "max_discard_sectors": (36, 4, Blk.DISCARD),
    "max_discard_seg": (40, 4, Blk.DISCARD),
    "discard_sector_alignment": (44, 4, Blk.DISCARD),
    "max_write_zeroes_sectors": (48, 4, Blk.WRITE_ZEROES),
    "max_write_zeroes_seg": (52, 4, Blk.WRITE_ZEROES),
    "write_zeroes_may_unmap": (56, 1, Blk.WRITE_ZEROES),
}


class RequestFailed(Exception):
    """A request was answered with another status than OK."""


def header(kind: int, sector: int = 0, reserved: int = 0) -> bytes:
    """``struct virtio_blk_req``, as far as the device reads it."""
    return b"".join(
        value.to_bytes(size, "little") for value, size in ((kind, 4), (reserved, 4), (sector, 8))
    )


def ranges(*spans: tuple[int, int, int]) -> bytes:
    """``struct virtio_blk_discard_write_zeroes`` for each sector, number of sectors and flags."""
    return b"".join(
        value.to_bytes(size, "little")
        for sector, sectors, flags in spans
        for value, size in ((sector, 8), (sectors, 4), (flags, 4))
    )


@dataclass
class Pending:
    """A request that the device has, or has had.

    Members
    -------
    status : int or None
        What it was answered with; None if no status was written.
    data : bytes
        What stands in its device-writable part, without the status.
    written : int
        What the device says that it has written.
    """

    readable: Sequence[Region]
    writable: Sequence[Region]
    #: Its memory is given back when it is done.
    owned: bool = False
    done: Event = field(default_factory=Event)
    status: int | None = None
    data: bytes = b""
    written: int = 0

    async def wait(self) -> "Pending":
        """Wait for its end."""
        await self.done.wait()
        return self

    def finish(self, written: int) -> None:
        """Take it back from the device."""
        content = b"".join(region.read() for region in self.writable)
        self.written = written
        if content:
            self.data = content[:-1]
            self.status = None if content[-1] == _NO_STATUS else content[-1]
        self.done.set()


class BlkDriver:
    """One block device: brings it up, and puts requests into its queues.

    Parameters
    ----------
    bus
        Reaches the function.
    rng
        Draws descriptors.

    Members
    -------
    transport : PciTransport
    config : dict of str to int
        The configuration structure, what the features give of it, after ``start``.
    queues : list of SplitQueue
    """

    def __init__(self, bus: Bus, *, rng: Random | None = None) -> None:
        self.bus = bus
        self.transport = PciTransport(bus)
        self.rng = rng or Random(0)
        self.config: dict[str, int] = {}
        self.queues: list[SplitQueue] = []
        self._tasks: list[Task] = []
        self._freed = Event()

    async def start(
        self,
        features: Iterable[int] | None = None,
        *,
        without: Iterable[int] = (),
        size: int | None = None,
        queues: int | None = None,
    ) -> None:
        """Bring the device up (3.1.1, 5.2.5).

        Parameters
        ----------
        features, without
            See ``PciTransport.negotiate``.
        size
            Of the queues; None for their largest.
        queues
            How many to use; None for all if MQ is negotiated.
        """
        assert await self.transport.discover() == 2, "not a block device"
        negotiated = await self.transport.negotiate(features, without=without)
        self.config = await self.read_config()
        limit = self.config["num_queues"] if Blk.MQ in negotiated else 1
        queues = limit if queues is None else queues
        assert queues <= limit, f"the device has {limit} queues"
        await self.transport.map_config_vector(0)
        self.queues = [self._queue(index) for index in range(queues)]
        for queue in self.queues:
            await queue.setup(size)
        await self.transport.ready()
        self._tasks = [cocotb.start_soon(self._collect(queue)) for queue in self.queues]

    def _queue(self, index: int) -> SplitQueue:
        vector = min(index + 1, self.bus.vectors - 1)
        return SplitQueue(self.transport, index, vector=vector, rng=self.rng)

    async def read_config(self) -> dict[str, int]:
        """Read the configuration structure as of one generation."""
        negotiated = self.transport.features
        values = await self.transport.stable_config(
            {
                name: (offset, size)
                for name, (offset, size, feature) in _FIELDS.items()
                if feature is None or feature in negotiated
            }
        )
        values["capacity"] |= values.pop("capacity_high") << 32
        return values

    async def _collect(self, queue: SplitQueue) -> None:
        while True:
            for chain in await queue.wait_used():
                chain.token.finish(chain.written)
                self._free(chain.token)
            self._freed.set()

    def _free(self, request: Pending) -> None:
        if not request.owned:
            return
        for region in (*request.readable, *request.writable):
            self.bus.memory.free(region)

    async def submit(
        self,
        readable: bytes,
        room: int,
        *,
        queue: int = 0,
        cut: Sequence[int] = (),
        cut_room: Sequence[int] = (),
        indirect: bool | None = None,
        direct_before: int = 0,
    ) -> Pending:
        """Give the device a request of any content, as soon as there are descriptors.

        Parameters
        ----------
        readable
            Header and data.
        room
            Bytes that the device may write, the last of them the status.
        queue
            Index of the queue.
        cut, cut_room
            Lengths of the segments of the two parts, but the last ones.
        indirect, direct_before
            See ``SplitQueue.add``. None: if it was negotiated, and there is more than one.
        """
        request = Pending(self._out(readable, cut), self._room(room, cut_room), owned=True)
        segments = len(request.readable) + len(request.writable)
        if indirect is None:
            indirect = Feature.INDIRECT_DESC in self.transport.features and segments > 1
        await self._post(request, queue, indirect=indirect, direct_before=direct_before)
        return request

    async def submit_regions(
        self, readable: Sequence[Region], writable: Sequence[Region], *, queue: int = 0
    ) -> Pending:
        """Give the device a request in memory of the caller's."""
        request = Pending(readable, writable)
        await self._post(request, queue)
        return request

    async def _post(self, request: Pending, queue: int, **how) -> None:
        target = self.queues[queue]
        while True:
            try:
                target.add(request.readable, request.writable, request, **how)
                break
            except QueueFull:
                self._freed.clear()
                await self._freed.wait()
        await target.kick()

    def _out(self, content: bytes, cut: Sequence[int]) -> list[Region]:
        regions = []
        for part in _cut(content, cut):
            region = self.bus.memory.allocate(len(part), align=1, name="readable part")
            region.write(0, part)
            regions.append(region)
        return regions

    def _room(self, size: int, cut: Sequence[int]) -> list[Region]:
        regions = []
        for part in _cut(bytes([0x5A]) * (size - 1) + bytes([_NO_STATUS] * min(size, 1)), cut):
            region = self.bus.memory.allocate(len(part), align=1, name="writable part")
            region.write(0, part)
            regions.append(region)
        return regions

    async def request(
        self, kind: int, sector: int = 0, data: bytes = b"", room: int = 0, **how
    ) -> Pending:
        """Put a request of a type with its data into a queue, and wait for its end."""
        pending = await self.submit(header(kind, sector) + data, room + 1, **how)
        return await pending.wait()

    async def read(self, sector: int, sectors: int, **how) -> bytes:
        """Read sectors."""
        done = await self.request(BlkType.IN, sector, room=sectors * SECTOR_BYTES, **how)
        self._good(done, sectors * SECTOR_BYTES + 1)
        return done.data

    async def write(self, sector: int, content: bytes, **how) -> None:
        """Write sectors."""
        self._good(await self.request(BlkType.OUT, sector, content, **how), 1)

    async def flush(self, **how) -> None:
        """Make stable what was written."""
        self._good(await self.request(BlkType.FLUSH, **how), 1)

    async def get_id(self, **how) -> bytes:
        """The disk's identity, without zeros behind it."""
        done = await self.request(BlkType.GET_ID, room=_ID_BYTES, **how)
        self._good(done, _ID_BYTES + 1)
        return done.data.rstrip(b"\0")

    async def discard(self, sector: int, sectors: int, **how) -> None:
        """Say that sectors are no longer needed."""
        done = await self.request(BlkType.DISCARD, 0, ranges((sector, sectors, 0)), **how)
        self._good(done, 1)

    async def write_zeroes(self, sector: int, sectors: int, *, flags: int = 0, **how) -> None:
        """Make sectors read as zero."""
        done = await self.request(BlkType.WRITE_ZEROES, 0, ranges((sector, sectors, flags)), **how)
        self._good(done, 1)

    @staticmethod
    def _good(done: Pending, written: int) -> None:
        if done.status != BlkStatus.OK:
            raise RequestFailed(done.status)
        assert done.written == written, f"{done.written} bytes written, not {written}"

    async def stop(self) -> list[Pending]:
        """Reset the device; returns requests that it has dropped."""
        await self.transport.reset()
        return self.forget()

    async def function_reset(self) -> list[Pending]:
        """Reset the function; returns requests that the device has dropped."""
        await self.bus.function_reset()
        return self.forget()

    async def reset_queue(self, index: int) -> list[Pending]:
        """Reset one queue and set it up anew; returns requests that the device has dropped."""
        queue = self.queues[index]
        self._tasks[index].cancel()
        size = queue.size
        dropped = [chain.token for chain in await queue.reset()]
        for request in dropped:
            self._free(request)
        await queue.setup(size)
        self._tasks[index] = cocotb.start_soon(self._collect(queue))
        return dropped

    def forget(self) -> list[Pending]:
        """Give up all queues after a reset: nothing of them may be touched any more."""
        for task in self._tasks:
            task.cancel()
        dropped = []
        for queue in self.queues:
            for chain in queue.release():
                self._free(chain.token)
                dropped.append(chain.token)
        self.queues, self._tasks = [], []
        return dropped


def _cut(content: bytes, cut: Sequence[int]) -> list[bytes]:
    """``content`` in pieces of the lengths ``cut``, as far as they fit, and the rest."""
    parts, at = [], 0
    for length in cut:
        if 0 < length < len(content) - at:
            parts.append(content[at : at + length])
            at += length
    return [*parts, content[at:]] if content else []

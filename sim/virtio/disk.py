"""A host around the virtio block device: memory, drivers, and volumes at the other end."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any

from cocotb.triggers import ClockCycles

from sim.harness import Bench, rng
from sim.models.block_target import BlockTarget
from sim.models.storage import Disk, attach_disk, write_disk_word
from sim.models.virtio.blk import SECTOR_BYTES, BlkDriver
from sim.virtio.surroundings import Surroundings

__all__ = ["DiskHost", "History"]


class DiskHost(Surroundings):
    """What stands round a ``VirtioBlk``: also the volumes.

    Parameters
    ----------
    bench, dut, options
        See ``Surroundings``.
    target
        Options of ``BlockTarget``.

    Members
    -------
    drivers
        One for each function, not started.
    target : BlockTarget
        The volumes.
    """

    def __init__(
        self, bench: Bench, dut, *, target: Mapping[str, Any] = MappingProxyType({}), **options
    ) -> None:
        super().__init__(bench, dut, **options)
        self.target = BlockTarget(dut, rng=rng("target"), **target)
        functions = range(self.component.functions)
        self.drivers = [BlkDriver(self.bus(n), rng=rng("driver", n)) for n in functions]

    @classmethod
    async def start(cls, bench: Bench, dut, disks: list[Disk], **options) -> "DiskHost":
        """Reset the design, and give each function its disk."""
        await bench.start(dut)
        self = cls(bench, dut, **options)
        await ClockCycles(dut.clk, 300)
        for function, disk in enumerate(disks):
            await self.attach(function, disk)
        return self

    async def attach(self, function: int, disk: Disk) -> None:
        """Give a function its disk."""
        await attach_disk(self.control, function, disk)

    async def write_word(self, function: int, word: int, value: int) -> None:
        """Write one word of a function's."""
        await write_disk_word(self.control, function, word, value)


@dataclass
class _Write:
    begun: float
    content: bytes
    ended: float = inf


class History:
    """A disk on which reads and writes overlap: says what a read may have found.

    A sector may show any write that had begun when the read ended, unless another one began
    after it had ended, and ended before the read began (each sector a linearizable register).
    """

    def __init__(self) -> None:
        self._now = 0
        self._writes: dict[int, list[_Write]] = defaultdict(
            lambda: [_Write(-2, bytes(SECTOR_BYTES), -1)]
        )

    def tick(self) -> int:
        """A moment later than all before."""
        self._now += 1
        return self._now

    def begin(self, sector: int, content: bytes) -> list[_Write]:
        """Sectors are being written from now on."""
        now = self.tick()
        writes = []
        for number in range(len(content) // SECTOR_BYTES):
            at = number * SECTOR_BYTES
            write = _Write(now, content[at : at + SECTOR_BYTES])
            self._writes[sector + number].append(write)
            writes.append(write)
        return writes

    def end(self, writes: list[_Write]) -> None:
        """They have been written."""
        now = self.tick()
        for write in writes:
            write.ended = now

    def check(self, sector: int, content: bytes, begun: int) -> None:
        """Assert that a read which began at ``begun`` may have found this."""
        now = self.tick()
        for number in range(len(content) // SECTOR_BYTES):
            found = content[number * SECTOR_BYTES : (number + 1) * SECTOR_BYTES]
            writes = self._writes[sector + number]
            possible = [
                write.content
                for write in writes
                if write.begun < now
                and not any(other.begun > write.ended and other.ended < begun for other in writes)
            ]
            assert found in possible, f"sector {sector + number} holds what it may not hold"

"""A host around the virtio block device: memory, drivers, and volumes at the other end."""

from collections import defaultdict
from dataclasses import dataclass
from math import inf

from cocotb.triggers import ClockCycles

from niter.virtio.blk import VirtioBlk
from sim.harness import Bench, rng
from sim.models.block_target import BlockTarget
from sim.models.control import ControlBus
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.storage import Disk, attach_disk, write_disk_word
from sim.models.streams import stalls
from sim.models.virtio.blk import SECTOR_BYTES, BlkDriver
from sim.models.virtio.bus import DirectBus, FunctionMaster

__all__ = ["DiskHost", "History"]


class DiskHost:
    """What stands round a ``VirtioBlk`` in place of the PCIe room and the volumes.

    Parameters
    ----------
    bench, dut
        The bench and its device under test, already reset.
    stalled
        Whether all ports to host memory pause at random.
    latency_ns, bytes_per_ns
        See ``HostPorts``.
    strict
        Whether a stray access fails at once; see ``HostMemory``.
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
        self,
        bench: Bench,
        dut,
        *,
        stalled: bool = False,
        latency_ns: float = 600,
        bytes_per_ns: float | None = None,
        strict: bool = True,
        **target,
    ) -> None:
        def pauses(name):
            return stalls(rng(name), 0.25) if stalled else None

        component: VirtioBlk = bench.component
        self.dut = dut
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.ports = HostPorts(
            dut,
            self.memory,
            latency_ns=latency_ns,
            bytes_per_ns=bytes_per_ns,
            rng=rng("latency") if stalled else None,
        )
        self.ports.serve_all(component, pauses)
        self._master = FunctionMaster(dut, "function")
        self._control = ControlBus(dut, "csr", component.csr.memory_map)
        self.target = BlockTarget(dut, rng=rng("target"), **target)
        self.drivers = [
            BlkDriver(
                DirectBus(
                    self._master,
                    number,
                    component.kind.function(),
                    self.memory,
                    self.ports.interrupts,
                ),
                rng=rng("driver", number),
            )
            for number in range(component.functions)
        ]

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
        await attach_disk(self._control, function, disk)

    async def write_word(self, function: int, word: int, value: int) -> None:
        """Write one word of a function's."""
        await write_disk_word(self._control, function, word, value)


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

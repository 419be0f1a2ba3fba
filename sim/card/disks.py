"""The storage card between a root complex and AoE targets; what every storage bench shares."""

import cocotb
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

from firmware.host.nvme import Namespace
from niter.card import Card, CardConfig, StorageConfig
from niter.nvme.config import NvmeConfig
from niter.virtio.blk import BlkSizes
from sim.harness import Bench, Capture, rng
from sim.models.aoe import SECTOR, AoeTarget
from sim.models.cable import Wire, release_wires, start_wires
from sim.models.cabled import Cabled
from sim.models.control import ControlBus
from sim.models.hostport import Interrupts
from sim.models.memory import HostMemory
from sim.models.nvme.driver import NvmeDriver
from sim.models.nvme.processor import Processor
from sim.models.root import Root
from sim.models.storage import Disk, Place, attach_disk, open_storage
from sim.models.virtio.blk import BlkDriver
from sim.models.virtio.rootbus import RootBus, attach_memory

__all__ = ["Testbench", "disk_card", "storage_card"]


def storage_card() -> Cabled:
    """The card of these benches: two controllers, one port, frames of eight sectors."""
    nvme = NvmeConfig(functions=2, queues=4, entries=1024, namespaces=16)
    config = CardConfig(overlay=None, storage=StorageConfig(nvme=nvme), frame_bytes=4200)
    return Cabled(Card(config))


def disk_card() -> Cabled:
    """The same with two virtio disks in place of the controllers."""
    blk = BlkSizes(functions=2, queues=2)
    config = CardConfig(overlay=None, storage=StorageConfig(blk=blk), frame_bytes=4200)
    return Cabled(Card(config))


class Testbench:
    """The card, its processor's firmware, and two targets on the wire, up and running.

    Each controller has one namespace, NSID 1, whose volume of the controller's number lies in the
    middle of the target of that number; so has each virtio function its disk.

    Parameters
    ----------
    bench, dut
        Of the running test.
    generation, latency_ns, max_payload
        Of the lane and the host; see ``sim.models.root``.
    service_us
        From a frame's end at a target to the beginning of its answer.
    capture
        Where what passes the wire is written.

    Members
    -------
    drivers
        One for each function, not started.
    targets : list of AoeTarget
    places : list of Place
    answered_ns : float
        When a target began its last answer.
    """

    MAC = "02:aa:00:00:00:01"
    DISK_SECTORS, FIRST, LENGTH = 4096, 1000, 2048

    def __init__(
        self,
        bench: Bench,
        dut,
        *,
        generation: int = 1,
        latency_ns: float = 0.0,
        max_payload: int = 128,
        service_us: float = 20.0,
        strict: bool = True,
        capture: Capture | None = None,
    ) -> None:
        self.dut, self.card = dut, bench.component
        self.config: CardConfig = self.card.config
        self.control = ControlBus(dut, "csr", self.card.csr)
        self.wire = Wire(dut, 0, capture)
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.root = Root(
            dut, slot=True, max_payload=max_payload, generation=generation, latency_ns=latency_ns
        )
        attach_memory(self.root.rc, self.memory)
        nvme = self.config.storage.nvme
        self.processor = nvme and Processor(
            self.control, self.card.csr.memory_map, nvme, clock_ns=bench.clock_ns
        )
        self.service_us, self.strict = service_us, strict
        self.targets = [
            AoeTarget(
                7,
                number,
                f"02:bb:00:00:00:{number:02x}",
                bytearray(rng("disk", number).randbytes(self.DISK_SECTORS * SECTOR)),
                buffers=32,
                sectors=8,
            )
            for number in range(2)
        ]
        self.places = [
            Place.at(number, target, first=self.FIRST, length=self.LENGTH)
            for number, target in enumerate(self.targets)
        ]
        self.drivers: list[NvmeDriver] | list[BlkDriver] = []
        self.answered_ns = 0.0

    @classmethod
    async def start(cls, bench: Bench, dut, **options) -> "Testbench":
        """Clocks, reset, control, namespaces, enumeration."""
        start_wires(dut)
        await bench.start(dut, reset_cycles=8)
        release_wires(dut)
        self = cls(bench, dut, **options)
        # Memories are cleared first.
        await ClockCycles(dut.clk, 600)
        cocotb.start_soon(self._serve_targets())
        if self.processor:
            await self.processor.start()
        for number in range(self.config.functions):
            identity = rng("id", number).randbytes(16)
            if self.processor:
                await self.processor.attach(number, 1, Namespace(number, self.LENGTH, identity))
            else:
                disk = Disk(number, self.LENGTH, identity)
                await attach_disk(self.control, number, disk, path="storage.blk.")
        await open_storage(self.control, self.config, mac=self.MAC, places=self.places)
        devices = await self.root.enumerate()
        interrupts = Interrupts()
        for number, device in enumerate(devices[: self.config.functions]):
            bus = await RootBus.open(device, self.memory, interrupts)
            random = rng("driver", number)
            if self.processor:
                self.drivers.append(NvmeDriver(bus, rng=random, strict=self.strict))
            else:
                self.drivers.append(BlkDriver(bus, rng=random))
        return self

    def disk(self, number: int, lba: int, sectors: int) -> bytes:
        """What a volume holds at its target."""
        at = SECTOR * (self.FIRST + lba)
        return bytes(self.targets[number].disk[at : at + SECTOR * sectors])

    def unharmed(self, number: int) -> None:
        """Nothing outside of a volume was written at its target."""
        for first, sectors in self.targets[number].writes:
            assert first >= self.FIRST and first + sectors <= self.FIRST + self.LENGTH

    async def _serve_targets(self) -> None:
        while True:
            frame = await self.wire.recv()
            for target in self.targets:
                answer = target.answer(frame)
                if answer is not None:
                    cocotb.start_soon(self._answer(answer.ljust(60, b"\0")))

    async def _answer(self, frame: bytes) -> None:
        await Timer(round(self.service_us * 1000), "ns")
        self.answered_ns = get_sim_time("ns")
        await self.wire.send(frame)

    def finish(self) -> None:
        """Nothing was touched that should not have been."""
        if self.processor:
            self.processor.stop()
        self.memory.check()
        for number in range(len(self.targets)):
            self.unharmed(number)

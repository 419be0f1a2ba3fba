"""A host around the NVMe controllers: memory, drivers, the processor, and a transport."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import ClockCycles

from firmware.host.nvme import Namespace
from niter import csr
from niter.interface import BlockPort, FunctionPort, HostRead, HostWrite
from niter.nvme.config import NvmeConfig
from niter.nvme.controller import NvmeControllers
from niter.soc import Mailbox
from sim.harness import Bench, rng
from sim.models.block_target import BlockTarget
from sim.models.control import ControlBus
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.nvme.driver import NvmeDriver
from sim.models.nvme.processor import Processor
from sim.models.streams import stalls
from sim.models.virtio.bus import DirectBus, FunctionMaster

__all__ = ["Controllers", "Host"]


class Controllers(wiring.Component):
    """The controllers with the mailbox that a card would have beside them.

    Parameters
    ----------
    config
        Sizes.

    Members
    -------
    function, read, write, block
        Of the controllers; the last of ``read`` and of ``write`` are the mailbox'.
    csr : In(csr.Signature)
        ``storage.nvme`` and ``soc.mailbox``, as in a card.
    """

    def __init__(self, config: NvmeConfig):
        self.config = config
        self.nvme = NvmeControllers(config)
        self._mailbox = Mailbox(1, config.functions)
        self._soc = csr.decoder_of({"mailbox": self._mailbox.csr})
        self._storage = csr.decoder_of({"nvme": self.nvme.csr})
        self._decoder = csr.decoder_of({"storage": self._storage.bus, "soc": self._soc.bus})
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(len(self.nvme.read) + 1),
                "write": Out(HostWrite).array(len(self.nvme.write) + 1),
                "block": Out(BlockPort),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.nvme = nvme = self.nvme
        m.submodules.mailbox = mailbox = self._mailbox
        m.submodules.soc = self._soc
        m.submodules.storage = self._storage
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.function), nvme.function)
        connect(m, nvme.mailbox, mailbox.engine[0])
        connect(m, nvme.block, flipped(self.block))
        for inside, outside in zip((*nvme.read, mailbox.read), self.read, strict=True):
            connect(m, inside, flipped(outside))
        for inside, outside in zip((*nvme.write, mailbox.write), self.write, strict=True):
            connect(m, inside, flipped(outside))
        return m


class Host:
    """What stands round ``Controllers``.

    Parameters
    ----------
    bench, dut
        The bench and its device under test, already reset.
    stalled
        Whether all host memory ports pause at random.
    latency_ns
        Of a read.
    strict
        Whether a stray access or completion fails the test at once.
    target
        Options of ``BlockTarget``.

    Members
    -------
    drivers
        One for each controller, not started.
    target : BlockTarget
    processor : Processor
    """

    def __init__(
        self,
        bench: Bench,
        dut,
        *,
        stalled: bool = False,
        latency_ns: float = 600,
        strict: bool = True,
        **target,
    ) -> None:
        def pauses(name):
            return stalls(rng(name), 0.25) if stalled else None

        component: Controllers = bench.component
        self.dut, self.config = dut, component.config
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.ports = HostPorts(
            dut, self.memory, latency_ns=latency_ns, rng=rng("latency") if stalled else None
        )
        self.ports.serve_all(component, pauses)
        self._master = FunctionMaster(dut, "function")
        memory_map = component.csr.memory_map
        self.control = ControlBus(dut, "csr", component.csr)
        self.processor = Processor(
            self.control, memory_map, component.config, clock_ns=bench.clock_ns
        )
        self.target = BlockTarget(dut, rng=rng("target"), **target)
        declaration = component.nvme.declaration()
        self.drivers = [
            NvmeDriver(
                DirectBus(self._master, number, declaration, self.memory, self.ports.interrupts),
                rng=rng("driver", number),
                strict=strict,
            )
            for number in range(component.config.functions)
        ]

    @classmethod
    async def start(
        cls, bench: Bench, dut, namespaces: dict[tuple[int, int], Namespace], **options
    ) -> "Host":
        """Reset the design, start the processor and attach namespaces (controller, NSID)."""
        await bench.start(dut)
        self = cls(bench, dut, **options)
        await ClockCycles(dut.clk, 300)
        await self.processor.start()
        for (controller, nsid), namespace in namespaces.items():
            await self.processor.attach(controller, nsid, namespace)
        return self

    def finish(self) -> None:
        """Nothing was touched that should not have been."""
        self.processor.stop()
        self.memory.check()

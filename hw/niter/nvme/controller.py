"""The NVMe controllers: the front with their queues, and the engine with their commands."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import BlockPort, Function, FunctionPort, HostRead, HostWrite, MailboxPort

from .config import NvmeConfig
from .engine import Engine
from .front import Front
from .front.registers import declare

__all__ = ["NvmeControllers"]


class NvmeControllers(wiring.Component):
    """All NVMe controllers of a card.

    ::

        function ── Front ── commands ── Engine ── block
                      │                    │
                   mailbox               host memory: payload
                   host memory: rings

    Parameters
    ----------
    config
        Sizes.
    tick
        Clock cycles in 100 us.

    Members
    -------
    function : In(FunctionPort)
        From the PCIe room.
    read : array of Out(HostRead)
        Rings; data of writes; lists and what is compared.
    write : array of Out(HostWrite)
        Rings and interrupts; data of reads.
    mailbox : Out(MailboxPort)
        Admin commands, for the firmware.
    block : Out(BlockPort)
        To the volumes.
    csr : In(csr.Signature)
        ``engine``: the namespace table.
    """

    def __init__(self, config: NvmeConfig, *, tick: int = 6250):
        self.config = config
        self._front = Front(
            config.functions, config.queues, config.entries, tags=config.tags, tick=tick
        )
        self._engine = Engine(config.functions, config.namespaces, config.tags)
        self._decoder = csr.Decoder(addr_width=self._engine.csr.addr_width)
        self._decoder.add(self._engine.csr, name="engine")
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(1 + len(self._engine.read)),
                "write": Out(HostWrite).array(2),
                "mailbox": Out(MailboxPort),
                "block": Out(BlockPort),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def declaration(self) -> Function:
        """What the PCIe room has to know of each function."""
        config = self.config
        return declare(
            config.queues,
            vendor=config.vendor,
            device=config.device,
            subsystem_vendor=config.subsystem_vendor,
            subsystem=config.subsystem,
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.front = front = self._front
        m.submodules.engine = engine = self._engine
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.function), front.function)
        connect(m, front.mailbox, flipped(self.mailbox))
        connect(m, front.command, engine.front)
        connect(m, engine.block, flipped(self.block))
        for inside, outside in zip((front.read, *engine.read), self.read, strict=True):
            connect(m, inside, flipped(outside))
        for inside, outside in zip((front.write, engine.write), self.write, strict=True):
            connect(m, inside, flipped(outside))
        return m

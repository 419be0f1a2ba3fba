"""The SoC: the core, its memories and its peripherals, on the card's control bus."""

from amaranth import Module, ResetInserter, ResetSignal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameStream, HostRead, HostWrite, MailboxPort
from niter.security.entropy import RandomSource
from niter.security.flash_guard import FlashGuard, SpiBus
from niter.security.hashing import HashRegisters, HashShare
from niter.security.key_store import KeyStore, KeyWord
from niter.security.measurements import Measurements
from niter.security.noise import RingNoise, SeededNoise

from .bridge import CsrBridge
from .config import CSR_BASE, CSR_WIDTH, MEMORY_SPACE, RAM_BASE, ROM_BASE, ROM_BYTES, SocConfig
from .cpu import Cpu
from .flash import FlashController
from .interconnect import Interconnect
from .mailbox import Mailbox
from .memory import BusMemory
from .packet import FrameTap, PacketPort
from .timer import Timer
from .uart import Uart
from .watchdog import Watchdog

__all__ = ["Soc"]

#: Of a key store whose keys no cipher takes: for those that software derives.
_KEY_SLOTS = 4


class Soc(wiring.Component):
    """Runs the card's firmware.

    ::

        core ─┬─ ROM, RAM
              └─ bridge ── csr ── every register of the card, among them, by ``registers``:
                           timer, watchdog, uart, flash and its guard, hash engine, key store,
                           random source, measurements, packet port, mailbox

    The watchdog's reset takes core, measurements, keys and the guard's lock together, and all else
    but the mailbox and the packet port: engines may be in the middle of a message, and know
    nothing of the reset.

    Parameters
    ----------
    config
        Sizes, and the boot ROM.
    engines
        Ports of the mailbox; with none there is no mailbox.
    functions
        Functions of those engines.
    copies
        An engine's commands need copies from and to host memory.
    storage_keys
        A cipher takes keys for storage.
    resolves
        Software answers ARP requests for the card's address, since no overlay does.

    Members
    -------
    csr : Out(csr.Signature)
        The control bus, mastered by the core; as wide as any card needs, and of
        ``csr.SPAN_LATENCY``.
    hold : In(1)
        The core has to wait: somebody else has the control bus in this cycle.
    registers : In(csr.Signature)
        The SoC's own registers, to be reached through the control bus.
    engine : array of In(MailboxPort)
        The mailbox's ports, if there is one.
    read : Out(HostRead), write : Out(HostWrite)
        The mailbox's copier, if it has one.
    tap : In(FrameTap)
        Frames from the wire.
    frames : Out(FrameStream)
        Frames to the wire.
    keys : Out(stream.Signature(KeyWord)), usable : Out(16)
        Keys for storage, if somebody takes them; see ``KeyStore``.
    flash : Out(SpiBus), uart_tx : Out(1)
        Pins.
    """

    def __init__(
        self,
        config: SocConfig,
        *,
        engines: int,
        functions: int,
        copies: bool = True,
        storage_keys: bool = False,
        resolves: bool = False,
    ):
        self.config = config
        self.storage_keys = storage_keys
        self._timer = Timer(config.clock_hz)
        self._watchdog = Watchdog()
        self._uart = Uart(config.clock_hz // config.baud)
        self._flash = FlashController()
        self._guard = FlashGuard(config.flash_bytes)
        self._hash = HashRegisters()
        self._measurements = Measurements()
        self._keys = KeyStore(16 if storage_keys else _KEY_SLOTS)
        source = RingNoise() if config.noise_seed is None else SeededNoise(config.noise_seed)
        self._random = RandomSource(source)
        self._packet = PacketPort(resolves=resolves)
        self._mailbox = Mailbox(engines, functions, copies=copies) if engines else None
        self._decoder = csr.Decoder(addr_width=12)
        for name, bus in (
            *([("mailbox", self._mailbox.csr)] if self._mailbox else []),
            ("measurements", self._measurements.bus),
            ("packet", self._packet.bus),
            ("hash", self._hash.bus),
            ("keys", self._keys.bus),
            ("random", self._random.bus),
            ("flash", self._flash.bus),
            ("guard", self._guard.bus),
            ("timer", self._timer.bus),
            ("watchdog", self._watchdog.bus),
            ("uart", self._uart.bus),
        ):
            self._decoder.add(bus, name=name)
        copier = {"read": Out(HostRead), "write": Out(HostWrite)}
        mailbox = {"engine": In(MailboxPort).array(engines), **(copier if copies else {})}
        keys = {"keys": Out(stream.Signature(KeyWord)), "usable": Out(16)}
        super().__init__(
            {
                "csr": Out(csr.Signature(addr_width=CSR_WIDTH, latency=csr.SPAN_LATENCY)),
                "hold": In(1),
                "registers": In(csr.Signature(addr_width=12)),
                **(mailbox if engines else {}),
                "tap": In(FrameTap),
                "frames": Out(FrameStream),
                "flash": Out(SpiBus),
                "uart_tx": Out(1),
                **(keys if storage_keys else {}),
            }
        )
        self.registers.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.registers), self._decoder.bus)
        m.submodules.watchdog = watchdog = self._watchdog
        m.submodules.guard = guard = self._guard
        m.d.comb += guard.card_reset.eq(watchdog.expired | ResetSignal())
        connect(m, guard.flash, flipped(self.flash))
        if self._mailbox:
            m.submodules.mailbox = mailbox = self._mailbox
            if mailbox.copies:
                connect(m, mailbox.read, flipped(self.read))
                connect(m, mailbox.write, flipped(self.write))
            for mine, theirs in zip(self.engine, mailbox.engine, strict=True):
                connect(m, flipped(mine), theirs)
        # A frame that software was sending goes on to its end.
        m.submodules.packet = packet = self._packet
        connect(m, flipped(self.tap), packet.tap)
        connect(m, packet.o, flipped(self.frames))

        m.submodules.restarted = ResetInserter(watchdog.expired)(self._restarted())
        return m

    def _restarted(self) -> Module:
        """What the watchdog resets."""
        m = Module()
        m.submodules.cpu = cpu = Cpu(ROM_BASE)
        m.submodules.interconnect = interconnect = Interconnect(
            {
                "rom": (ROM_BASE, MEMORY_SPACE),
                "ram": (RAM_BASE, MEMORY_SPACE),
                "control": (CSR_BASE, 4 << CSR_WIDTH),
            }
        )
        m.submodules.rom = rom = BusMemory(ROM_BYTES, self.config.rom, writable=False)
        m.submodules.ram = ram = BusMemory(self.config.ram_bytes)
        m.submodules.bridge = bridge = CsrBridge(self.csr.addr_width)
        m.submodules.flash = self._flash
        connect(m, self._flash.pins, self._guard.controller)
        m.submodules.share = share = HashShare(3)
        users = {"hash": self._hash, "measurements": self._measurements, "keys": self._keys}
        for (name, user), port in zip(users.items(), share.ports, strict=True):
            m.submodules[name] = user
            connect(m, user.hash, port)
        if self.storage_keys:
            connect(m, self._keys.export, flipped(self.keys))
            m.d.comb += self.usable.eq(self._keys.usable)
        else:
            m.d.comb += self._keys.export.ready.eq(1)
        m.submodules.random = self._random
        m.submodules.timer = self._timer
        m.d.comb += self._watchdog.tick.eq(self._timer.tick)
        m.submodules.uart = uart = self._uart
        m.d.comb += self.uart_tx.eq(uart.tx)
        connect(m, cpu.fetch, interconnect.fetch)
        connect(m, cpu.data, interconnect.data)
        connect(m, interconnect.rom, rom.bus)
        connect(m, interconnect.ram, ram.bus)
        connect(m, interconnect.control, bridge.bus)
        connect(m, bridge.csr, flipped(self.csr))
        m.d.comb += bridge.hold.eq(self.hold)
        return m

"""The driver model's bus through cocotbext-pcie's root complex."""

import cocotb
from cocotb.triggers import Event, Timer
from cocotbext.axi.address_space import Region
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.core.caps import PciCapId
from cocotbext.pcie.core.pci import PciDevice

from sim.models.hostport import Interrupts
from sim.models.memory import HostMemory, StrayAccess
from sim.models.virtio.bus import Bus

__all__ = ["RootBus", "attach_memory"]

_COMMAND = 0x04
_BARS = range(0x10, 0x28, 4)
_DEVICE_CONTROL = 0x08
_INITIATE_FLR = 1 << 15
#: What the vendor's number reads as behind Configuration Request Retry Status (PCIe 2.3.2).
_RETRY = (0x0001, 0xFFFF)
#: Where host memory answers: below the root complex's BAR windows, and from 4 GiB up.
_WINDOWS = ((0, 0x8000_0000), (0x1_0000_0000, 1 << 48))


class _MemoryWindow(Region):
    """Serves the root complex's accesses from a ``HostMemory``.

    The root complex answers an access that fails with Completer Abort, whatever the reason,
    so a stray one is raised again where it fails the test.
    """

    def __init__(self, memory: HostMemory, size: int) -> None:
        super().__init__(size=size)
        self._memory = memory

    async def read(self, address: int, length: int, **kwargs) -> bytes:
        """Read whole words: at both ends up to three bytes more than the card wants."""
        try:
            content = self._memory.device_read(address, length, rounded=True)
        except StrayAccess as stray:
            cocotb.start_soon(_fail(stray))
            content = None
        if content is None:
            raise ValueError(f"{length} bytes at {address:#x} are refused")
        return content

    async def write(self, address: int, data: bytes, **kwargs) -> None:
        """Write exactly the enabled bytes."""
        try:
            self._memory.device_write(address, bytes(data))
        except StrayAccess as stray:
            cocotb.start_soon(_fail(stray))


async def _fail(error: Exception) -> None:
    raise error


def attach_memory(rc: RootComplex, memory: HostMemory) -> None:
    """Put ``memory`` behind a root complex, in place of its own.

    Addresses that are in no window are answered with Unsupported Request.
    """
    space = rc.mem_address_space
    space.regions = [entry for entry in space.regions if entry[3] is not rc.mem_pool]
    for start, end in _WINDOWS:
        space.register_region(_MemoryWindow(memory, end - start), start, offset=None)


class RootBus(Bus):
    """One function behind a root complex that has enumerated it.

    Make it by ``await RootBus.open(…)``.

    Parameters
    ----------
    device
        What enumeration has found.
    memory
        The host's memory, see ``attach_memory``.
    interrupts
        Where MSI-X messages are noted, by ``number`` and vector.
    number
        The function's number.
    """

    def __init__(
        self, device: PciDevice, memory: HostMemory, interrupts: Interrupts, number: int
    ) -> None:
        super().__init__(memory, 0)
        self.device = device
        self.number = number
        self._interrupts = interrupts

    @classmethod
    async def open(
        cls, device: PciDevice, memory: HostMemory, interrupts: Interrupts | None = None
    ) -> "RootBus":
        """Enable the function, bus mastering and all its MSI-X vectors."""
        bus = cls(device, memory, interrupts or Interrupts(), device.function_num)
        await device.enable_device()
        await device.set_master()
        bus.vectors = await device.alloc_irq_vectors(1, 256)
        for vector, message in enumerate(device.msi_vectors[: bus.vectors]):
            message.cb.append(bus._noting(vector))
        return bus

    def _noting(self, vector: int):
        async def note() -> None:
            self._interrupts.raise_(self.number, vector)

        return note

    async def config_read(self, offset: int, size: int) -> int:
        """See ``Bus``."""
        return int.from_bytes(await self.device.config_read(offset, size), "little")

    async def config_write(self, offset: int, value: int, size: int) -> None:
        """See ``Bus``."""
        await self.device.config_write(offset, value.to_bytes(size, "little"))

    async def read(self, bar: int, offset: int, size: int) -> int:
        """See ``Bus``."""
        return int.from_bytes(await self.device.bar_window[bar].read(offset, size), "little")

    async def write(self, bar: int, offset: int, value: int, size: int) -> None:
        """See ``Bus``."""
        await self.device.bar_window[bar].write(offset, value.to_bytes(size, "little"))

    def interrupt(self, vector: int) -> Event:
        """See ``Bus``."""
        return self._interrupts.event(self.number, vector)

    def interrupts(self, vector: int) -> int:
        """See ``Bus``."""
        return self._interrupts.count(self.number, vector)

    async def function_reset(self, wait_us: float = 20) -> None:
        """Save the function's configuration, reset it by FLR (PCIe 6.6.2), and restore it.

        Software must wait for 100 ms; a simulation cannot, so that it looks every ``wait_us``
        whether the function still asks to be asked again, as one does that takes back requests.

        Raises
        ------
        TimeoutError
            If it does so a hundred times.
        """
        device = self.device
        command = await self.config_read(_COMMAND, 2)
        bars = [await self.config_read(offset, 4) for offset in _BARS]
        control = await device.capability_read_word(PciCapId.EXP, _DEVICE_CONTROL)
        await device.capability_write_word(PciCapId.EXP, _DEVICE_CONTROL, control | _INITIATE_FLR)
        for _ in range(100):
            await Timer(wait_us, "us")
            if await self.config_read(0, 2) not in _RETRY:
                break
        else:
            raise TimeoutError("A function level reset does not end")
        for offset, bar in zip(_BARS, bars, strict=True):
            await self.config_write(offset, bar, 4)
        await device.capability_write_word(PciCapId.EXP, _DEVICE_CONTROL, control)
        await self.config_write(_COMMAND, command, 2)
        await device.msix_capability_init(self.vectors)

"""The driver's side of the modern PCI transport: finding a device and bringing it up."""

from collections.abc import Iterable
from dataclasses import dataclass

from cocotb.triggers import Lock, Timer

from sim.models.virtio.bus import Bus
from sim.models.virtio.specification import NO_VECTOR, Cap, Feature, Register, Status

__all__ = ["FeaturesRefused", "PciTransport", "Structure"]


class FeaturesRefused(Exception):
    """The device did not accept the set of features: FEATURES_OK did not stay."""


@dataclass(frozen=True)
class Structure:
    """What a virtio capability says: where a structure is (4.1.4).

    ``multiplier`` counts for the notification structure only, ``position`` is that of the
    capability in configuration space.
    """

    bar: int
    offset: int
    length: int
    position: int
    multiplier: int = 0


class PciTransport:
    """One virtio device, through its registers alone.

    Parameters
    ----------
    bus
        Reaches the function.

    Members
    -------
    structures : dict of Cap to Structure
        The first capability of each type, after ``discover``.
    features : set of int
        What was negotiated.
    """

    VENDOR = 0x1AF4

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.structures: dict[Cap, Structure] = {}
        self.features: frozenset[int] = frozenset()
        self.selected = Lock()

    async def discover(self) -> int:
        """Walk the capability list (4.1.4); returns the virtio device ID."""
        assert await self.bus.config_read(0, 2) == self.VENDOR
        device = await self.bus.config_read(2, 2)
        assert 0x1040 <= device <= 0x107F, f"{device:#x} is not a modern virtio device"
        assert await self.bus.config_read(8, 1) >= 1, "a modern device has a revision above 0"
        assert await self.bus.config_read(6, 2) & 0x10, "no capability list"
        self.structures = {}
        at = await self.bus.config_read(0x34, 1)
        for _ in range(48):
            if not at:
                break
            if await self.bus.config_read(at, 1) == 0x09:
                await self._capability(at)
            at = await self.bus.config_read(at + 1, 1)
        else:
            raise AssertionError("the capability list loops")
        missing = set(Cap) - set(self.structures)
        assert not missing, f"no capability for {missing}"
        return device - 0x1040

    async def _capability(self, at: int) -> None:
        length = await self.bus.config_read(at + 2, 1)
        kind = await self.bus.config_read(at + 3, 1)
        bar = await self.bus.config_read(at + 4, 1)
        if kind not in set(Cap) or bar > 5 or Cap(kind) in self.structures:
            return
        offset = await self.bus.config_read(at + 8, 4)
        size = await self.bus.config_read(at + 12, 4)
        assert length >= (20 if kind in (Cap.NOTIFY, Cap.PCI) else 16), "cap_len is too small"
        multiplier = await self.bus.config_read(at + 16, 4) if kind == Cap.NOTIFY else 0
        if kind in (Cap.COMMON, Cap.DEVICE, Cap.NOTIFY):
            assert offset % 4 == 0, "a structure is not aligned"
        self.structures[Cap(kind)] = Structure(bar, offset, size, at, multiplier)

    async def read(self, register: Register, size: int | None = None) -> int:
        """Read a field of the common configuration structure."""
        common = self.structures[Cap.COMMON]
        return await self.bus.read(common.bar, common.offset + register, size or register.size)

    async def write(self, register: Register, value: int, size: int | None = None) -> None:
        """Write a field of the common configuration structure."""
        common = self.structures[Cap.COMMON]
        await self.bus.write(common.bar, common.offset + register, value, size or register.size)

    async def write64(self, register: Register, value: int) -> None:
        """Write a 64-bit field, low half first (4.1.3.1)."""
        await self.write(register, value & 0xFFFF_FFFF)
        common = self.structures[Cap.COMMON]
        await self.bus.write(common.bar, common.offset + register + 4, value >> 32, 4)

    async def status(self) -> Status:
        """device_status."""
        return Status(await self.read(Register.DEVICE_STATUS))

    async def add_status(self, bits: Status) -> None:
        """Set bits of device_status; a driver clears none (2.1.1)."""
        await self.write(Register.DEVICE_STATUS, await self.status() | bits)

    async def reset(self, timeout_us: int = 500) -> None:
        """Reset the device and wait until it is done (4.1.4.3.2)."""
        await self.write(Register.DEVICE_STATUS, 0)
        for _ in range(timeout_us):
            if await self.status() == 0:
                self.features = frozenset()
                return
            await Timer(1, "us")
        raise AssertionError(f"the device was not reset within {timeout_us} us")

    async def offered(self) -> int:
        """The 64 feature bits that the device offers."""
        bits = 0
        for half in range(2):
            await self.write(Register.DEVICE_FEATURE_SELECT, half)
            bits |= await self.read(Register.DEVICE_FEATURE) << 32 * half
        return bits

    async def accept(self, features: int) -> None:
        """Write the driver's feature bits."""
        for half in range(2):
            await self.write(Register.DRIVER_FEATURE_SELECT, half)
            await self.write(Register.DRIVER_FEATURE, features >> 32 * half & 0xFFFF_FFFF)

    async def negotiate(
        self, wanted: Iterable[int] | None = None, *, without: Iterable[int] = ()
    ) -> frozenset[int]:
        """Steps 1 to 6 of device initialization (3.1.1), with what is offered of ``wanted``.

        Parameters
        ----------
        wanted
            Bit numbers; None for everything that is offered. VERSION_1 is always added.
        without
            Leave these out.

        Raises
        ------
        FeaturesRefused
            The device does not set FEATURES_OK.
        """
        await self.reset()
        await self.add_status(Status.ACKNOWLEDGE)
        await self.add_status(Status.DRIVER)
        offered = await self.offered()
        assert offered >> Feature.VERSION_1 & 1, "a modern device offers VERSION_1"
        bits = offered
        if wanted is not None:
            bits &= sum(1 << bit for bit in {*wanted, Feature.VERSION_1})
        for bit in without:
            bits &= ~(1 << bit)
        await self.accept(bits)
        await self.add_status(Status.FEATURES_OK)
        if not await self.status() & Status.FEATURES_OK:
            raise FeaturesRefused(f"{bits:#x} of {offered:#x}")
        self.features = frozenset(bit for bit in range(64) if bits >> bit & 1)
        return self.features

    async def ready(self) -> None:
        """Step 8 of device initialization: DRIVER_OK."""
        await self.add_status(Status.DRIVER_OK)

    async def map_config_vector(self, vector: int) -> None:
        """Map configuration changes to a vector (4.1.5.1.2)."""
        await self.write(Register.CONFIG_VECTOR, vector)
        assert await self.read(Register.CONFIG_VECTOR) == vector, "the vector was refused"

    async def queue_size(self, index: int) -> int:
        """Largest size of a queue, 0 when there is none (4.1.5.1.3)."""
        await self.write(Register.QUEUE_SELECT, index)
        return await self.read(Register.QUEUE_SIZE)

    async def enable_queue(
        self, index: int, size: int, areas: tuple[int, int, int], vector: int = NO_VECTOR
    ) -> tuple[int, int]:
        """Set a queue up and enable it (4.1.5.1.3).

        Parameters
        ----------
        index, size
            Which, and its size.
        areas
            Addresses of descriptor, driver and device area.
        vector
            Of its interrupts.

        Returns
        -------
        BAR and byte offset of its doorbell.
        """
        async with self.selected:
            limit = await self.queue_size(index)
            assert 0 < size <= limit, f"queue {index} has at most {limit} entries"
            await self.write(Register.QUEUE_SIZE, size)
            assert await self.read(Register.QUEUE_SIZE) == size, "the size was refused"
            await self.write(Register.QUEUE_VECTOR, vector)
            assert await self.read(Register.QUEUE_VECTOR) == vector, "the vector was refused"
            registers = (Register.QUEUE_DESC, Register.QUEUE_DRIVER, Register.QUEUE_DEVICE)
            for register, address in zip(registers, areas, strict=True):
                await self.write64(register, address)
            notify = self.structures[Cap.NOTIFY]
            doorbell = await self.read(Register.QUEUE_NOTIFY_OFF) * notify.multiplier
            width = 4 if Feature.NOTIFICATION_DATA in self.features else 2
            assert doorbell + width <= notify.length, "a doorbell outside its structure"
            await self.write(Register.QUEUE_ENABLE, 1)
            assert await self.read(Register.QUEUE_ENABLE) == 1, "the queue was not enabled"
            return notify.bar, notify.offset + doorbell

    async def reset_queue(self, index: int, timeout_us: int = 500) -> None:
        """Reset one queue and wait until it is done (2.6.1, 4.1.4.3.2)."""
        async with self.selected:
            await self.write(Register.QUEUE_SELECT, index)
            await self.write(Register.QUEUE_RESET, 1)
        for _ in range(timeout_us):
            async with self.selected:
                await self.write(Register.QUEUE_SELECT, index)
                if await self.read(Register.QUEUE_RESET) == 0:
                    assert await self.read(Register.QUEUE_ENABLE) == 0, "reset, but still enabled"
                    return
            await Timer(1, "us")
        raise AssertionError(f"queue {index} was not reset within {timeout_us} us")

    async def config(self, offset: int, size: int) -> int:
        """Read a field of the device-specific structure; 64 bits and more by halves."""
        device = self.structures[Cap.DEVICE]
        return await self.bus.read(device.bar, device.offset + offset, size)

    async def stable_config(self, fields: dict[str, tuple[int, int]]) -> dict[str, int]:
        """Read fields (name → offset, size) as of one generation (2.5.1)."""
        while True:
            before = await self.read(Register.CONFIG_GENERATION)
            values = {name: await self.config(*place) for name, place in fields.items()}
            if await self.read(Register.CONFIG_GENERATION) == before:
                return values

    async def isr(self) -> int:
        """Read, and so clear, the ISR status."""
        isr = self.structures[Cap.ISR]
        return await self.bus.read(isr.bar, isr.offset, 1)

    async def window_read(self, structure: Structure, offset: int, size: int) -> int:
        """Read 1, 2 or 4 bytes of a structure through configuration space (4.1.4.9)."""
        at = await self._aim(structure, offset, size)
        return await self.bus.config_read(at, 4) & (1 << 8 * size) - 1

    async def window_write(self, structure: Structure, offset: int, value: int, size: int) -> None:
        """Write 1, 2 or 4 bytes of a structure through configuration space (4.1.4.9)."""
        at = await self._aim(structure, offset, size)
        await self.bus.config_write(at, value, 4)

    async def _aim(self, structure: Structure, offset: int, size: int) -> int:
        """Point the PCI_CFG capability; returns where its data stands."""
        assert size in (1, 2, 4) and offset % size == 0 and offset + size <= structure.length
        at = self.structures[Cap.PCI].position
        await self.bus.config_write(at + 4, structure.bar, 1)
        await self.bus.config_write(at + 8, structure.offset + offset, 4)
        await self.bus.config_write(at + 12, size, 4)
        return at + 16

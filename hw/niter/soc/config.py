"""The sizes of the SoC."""

from dataclasses import dataclass

__all__ = [
    "CSR_BASE",
    "CSR_WIDTH",
    "MEMORY_SPACE",
    "RAM_BASE",
    "ROM_BASE",
    "ROM_BYTES",
    "SocConfig",
]

#: Where the core finds what. It executes from the first 256 KiB; accesses with bit 31 set pass its
#: cache by.
ROM_BASE, RAM_BASE, CSR_BASE = 0x0000_0000, 0x0002_0000, 0x8000_0000

#: What the core's memories have of its address space, each.
MEMORY_SPACE = 0x0002_0000

#: Word address bits of the control bus that the core has.
CSR_WIDTH = 20

#: One block RAM.
ROM_BYTES = 2048


@dataclass(frozen=True)
class SocConfig:
    """What is decided before synthesis.

    Parameters
    ----------
    rom
        The boot ROM's words, at most 512: ``make firmware`` writes them.
    ram_bytes
        Memory for image, data and stack: enough for a network card's firmware.
    flash_bytes
        Size of the SPI flash.
    clock_hz
        Of ``sync``.
    baud
        Of the serial line.
    noise_seed
        In simulation, what its random numbers follow from. None: rings of gates, on a device.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """

    rom: tuple[int, ...] = ()
    ram_bytes: int = 64 * 1024
    flash_bytes: int = 16 * 1024 * 1024
    clock_hz: int = 62_500_000
    baud: int = 115_200
    noise_seed: int | None = None

    def __post_init__(self):
        if len(self.rom) * 4 > ROM_BYTES:
            raise ValueError(f"The ROM holds {ROM_BYTES // 4} words, not {len(self.rom)}")
        if self.ram_bytes % 4096 or not 32 * 1024 <= self.ram_bytes <= MEMORY_SPACE:
            raise ValueError(f"ram_bytes must be pages from 32 to 128 KiB, not {self.ram_bytes!r}")
        if not 1 <= self.baud <= self.clock_hz // 2:
            raise ValueError(f"baud must be at most half of the clock, not {self.baud!r}")

"""How large the NVMe room is."""

from dataclasses import dataclass

__all__ = ["NvmeConfig"]


@dataclass(frozen=True)
class NvmeConfig:
    """Sizes of the NVMe controllers of a card.

    Parameters
    ----------
    functions
        Controllers, each a PCIe function: 1 to 8.
    queues
        Pairs of I/O queues that each may have, 1 to 16.
    entries
        Of the largest I/O queue, 2 to 4096.
    namespaces
        That each may have, 1 to 16.
    tags
        Commands of I/O queues that are under way at a time: a power of two up to 64.
    vendor, device, subsystem_vendor, subsystem
        Of each function. The default is a number for experiments.
    """

    functions: int = 2
    queues: int = 4
    entries: int = 1024
    namespaces: int = 16
    tags: int = 32
    vendor: int = 0x1AF4
    device: int = 0x10F0
    subsystem_vendor: int = 0x1AF4
    subsystem: int = 0x10F0

    @property
    def vectors(self) -> int:
        """MSI-X vectors of a function: one a completion queue."""
        return self.queues + 1

"""What a card is built from: one frozen dataclass, checked when it is made."""

from dataclasses import dataclass, field

from niter.interface import MAX_FUNCTIONS, MAX_PACKET_BYTES
from niter.net import SERVICES, OverlayConfig
from niter.nvme.config import NvmeConfig
from niter.soc import SocConfig
from niter.virtio.blk import BlkSizes

__all__ = ["CardConfig", "StorageConfig"]


@dataclass(frozen=True)
class StorageConfig:
    """Sizes of a card's storage half.

    Its functions are NVMe controllers or virtio block devices.

    Parameters
    ----------
    nvme
        Of the controllers; without a word about either, these are the functions.
    blk
        Of the block devices.
    volumes
        That the card can have attached, 1 to 16.
    receive_beats
        Of the buffer for answers of targets, a power of two; see ``niter.storage.aoe.Aoe``.
    clock_hz
        Of the core: what the controllers count time by.
    encryption
        Volumes may be encrypted, with keys of the card's processor.
    tunnel
        Targets may be behind a VXLAN tunnel: to the transport it is one more port of the wire. Not
        on a card with an overlay, whose tenants might be in the same network.

    Raises
    ------
    ValueError
        There are functions of both kinds.
    """

    nvme: NvmeConfig | None = None
    blk: BlkSizes | None = None
    volumes: int = 16
    receive_beats: int = 2048
    clock_hz: int = SocConfig.clock_hz
    encryption: bool = False
    tunnel: bool = False

    def __post_init__(self):
        if self.nvme and self.blk:
            raise ValueError("Functions of a storage card are of one kind")
        if not self.blk and not self.nvme:
            object.__setattr__(self, "nvme", NvmeConfig())

    @property
    def functions(self) -> int:
        """Functions on the PCIe side."""
        return (self.nvme or self.blk).functions


@dataclass(frozen=True)
class CardConfig:
    """Everything that is decided before synthesis.

    Parameters
    ----------
    overlay
        The overlay: its pipelines, and with ``overlay.functions`` (1 to 4) and
        ``overlay.ports`` (1 or 2) the size of the card on both sides of it. None: the card has
        no network functions, and one port.
    storage
        The storage half, whose functions come behind those of the network. None: there is none.
    pairs
        Queue pairs of each function, 1 to 4.
    queue_size
        Largest virtqueue, a power of two from 2 to 1024.
    frame_bytes
        Longest frame on the wire without FCS; every frame buffer holds one and a quarter.
    services
        What shares the wire with the overlay, of ``niter.net.SERVICES``: each has a pair of frame
        ports at the card's top.
    completion_timeout
        Cycles after which an unanswered read of host memory fails.
    soc
        The processor that opens the card. None: whoever masters ``Card.csr`` does.
    commands
        Drivers of the network may ask the processor, where there is one, by their control queues;
        see ``niter.virtio.net.Control``. Otherwise hardware does what multiqueue needs.
    board_registers
        Word address bits of a window for registers of the board, which stand beside the card's
        own on the control bus. None: there is no window.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """

    overlay: OverlayConfig | None = field(default_factory=lambda: OverlayConfig(functions=2))
    storage: StorageConfig | None = None
    pairs: int = 4
    queue_size: int = 256
    frame_bytes: int = 2000
    services: tuple[str, ...] = ()
    completion_timeout: int = 625_000
    soc: SocConfig | None = None
    commands: bool = True
    board_registers: int | None = None

    def __post_init__(self):
        if not self.overlay and not self.storage:
            raise ValueError("A card has an overlay, or storage, or both")
        for name, value, low, high in (
            ("overlay.functions", self.overlay.functions if self.overlay else 1, 1, 4),
            ("overlay.ports", self.ports, 1, 2),
            ("functions of both halves", self.functions, 1, MAX_FUNCTIONS),
            ("pairs", self.pairs, 1, 4),
            ("queue_size", self.queue_size, 2, 1024),
            ("frame_bytes", self.frame_bytes, 1600, MAX_PACKET_BYTES),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")
        if not set(self.services) <= set(SERVICES):
            raise ValueError(f"services are some of {SERVICES}, not {self.services!r}")
        if self.storage and "storage" in self.services:
            raise ValueError("The card's own storage is the service of that name")
        if self.overlay and self.storage and self.storage.tunnel:
            raise ValueError("A tenant could be in the storage's tunnel, beside an overlay")
        if self.storage and self.storage.encryption and not self.soc:
            raise ValueError("Keys are the processor's: encryption needs a soc")
        if self.queue_size & (self.queue_size - 1):
            raise ValueError(f"queue_size must be a power of two, not {self.queue_size!r}")

    @property
    def functions(self) -> int:
        """Functions on the PCIe side."""
        return self.network_functions + (self.storage.functions if self.storage else 0)

    @property
    def network_functions(self) -> int:
        """Those of the network, the first ones."""
        return self.overlay.functions if self.overlay else 0

    @property
    def served(self) -> bool:
        """Firmware answers the network's control queues."""
        return bool(self.overlay and self.soc and self.commands)

    @property
    def asking(self) -> dict[str, int]:
        """Who asks the processor through the mailbox, in the order of its ports.

        For each engine the mailbox's number of its first function: it counts those alone whose
        engines ask.
        """
        engines = {"net": 0} if self.served else {}
        if self.storage and self.storage.nvme:
            engines["storage"] = self.network_functions if self.served else 0
        return engines

    @property
    def ports(self) -> int:
        """Ethernet ports."""
        return self.overlay.ports if self.overlay else 1

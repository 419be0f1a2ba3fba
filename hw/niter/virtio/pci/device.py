"""What the transport must know of a kind of virtio device, and the PCIe function made of it."""

from collections.abc import Callable
from dataclasses import dataclass

from niter.interface import Bar, Capability, Function, Msix, WindowCapability
from niter.virtio.features import RingFeature

from .layouts import CONFIG_SLOT, CONFIG_WORDS
from .registers import (
    BAR_BYTES,
    COMMON,
    DEVICE,
    ISR,
    NOTIFY,
    NOTIFY_MULTIPLIER,
    VIRTIO_BAR,
    CapabilityType,
    Window,
)

__all__ = ["MAX_QUEUES", "DeviceKind"]

#: Queues that a device may have: their slots' words stand beside those of the device itself.
MAX_QUEUES = CONFIG_SLOT - 1

_VENDOR = 0x1AF4
_DEVICE_BASE = 0x1040
_MSIX_BAR = 2
_MSIX_PBA = 0x800


@dataclass(frozen=True)
class DeviceKind:
    """One kind of virtio device: all functions behind a transport are of the same.

    Parameters
    ----------
    device
        virtio device ID: 1 is a network device, 2 a block device.
    class_code
        PCI class, subclass and programming interface, 24 bits.
    queues
        Number of virtqueues, at most ``MAX_QUEUES``.
    queue_size
        Largest size of each, a power of two from 2 to 1024.
    pulled
        Tells by index which queues the device pulls; see ``niter.virtio.queue.layouts``.
    features
        What is offered: bit numbers. Must contain ``RingFeature.VERSION_1``.
    requires
        Pairs (feature, what it needs): a driver that accepts the first without the second
        does not get FEATURES_OK. Both stand in the same half of the 64 bits.
    config
        Device-specific configuration before anybody changes it: up to 16 words of 32 bits.

    Raises
    ------
    ValueError
        For a number out of range, too much configuration, a set of features without VERSION_1
        or not closed under ``requires``, or a pair that spans both halves.
    """

    device: int
    class_code: int
    queues: int
    queue_size: int
    pulled: Callable[[int], bool]
    features: frozenset[int]
    requires: tuple[tuple[int, int], ...] = ()
    config: tuple[int, ...] = ()

    def __post_init__(self):
        if not 1 <= self.queues <= MAX_QUEUES:
            raise ValueError(f"A device has 1 to {MAX_QUEUES} queues, not {self.queues!r}")
        size = self.queue_size
        if not 2 <= size <= 1024 or size & (size - 1):
            raise ValueError(f"A queue's size is a power of two from 2 to 1024, not {size!r}")
        if RingFeature.VERSION_1 not in self.features:
            raise ValueError("A modern device offers VERSION_1")
        if len(self.config) > CONFIG_WORDS:
            raise ValueError(
                f"There are up to {CONFIG_WORDS} words of configuration, not {len(self.config)!r}"
            )
        for feature, needed in self.requires:
            if feature // 32 != needed // 32:
                raise ValueError(f"Features {feature} and {needed} stand in different halves")
            if feature in self.features and needed not in self.features:
                raise ValueError(f"Feature {feature} is offered without {needed}")

    @property
    def vectors(self) -> int:
        """MSI-X vectors: one for each queue and one for configuration changes."""
        return self.queues + 1

    def function(self, *, subsystem_vendor: int = _VENDOR, subsystem: int = 0x40) -> Function:
        """The PCIe function of such a device (virtio 1.2, 4.1.2 and 4.1.4).

        BAR 0 holds the virtio structures, each on a page of its own, BAR 2 the MSI-X table.
        """
        return Function(
            vendor=_VENDOR,
            device=_DEVICE_BASE + self.device,
            subsystem_vendor=subsystem_vendor,
            subsystem=subsystem,
            class_code=self.class_code,
            revision=1,
            bars=(Bar(VIRTIO_BAR, BAR_BYTES), Bar(_MSIX_BAR, 2 * _MSIX_PBA)),
            msix=Msix(vectors=self.vectors, bar=_MSIX_BAR, table=0, pba=_MSIX_PBA),
            capabilities=(
                Capability(_body(CapabilityType.COMMON_CFG, COMMON)),
                Capability(
                    _body(
                        CapabilityType.NOTIFY_CFG, NOTIFY, NOTIFY_MULTIPLIER.to_bytes(4, "little")
                    )
                ),
                Capability(_body(CapabilityType.ISR_CFG, ISR)),
                Capability(_body(CapabilityType.DEVICE_CFG, DEVICE)),
                WindowCapability(_body(CapabilityType.PCI_CFG, Window(0, 0), bytes(4))),
            ),
        )


def _body(kind: CapabilityType, window: Window, extra: bytes = b"") -> bytes:
    """``struct virtio_pci_cap`` from its length byte on, and what follows it (4.1.4)."""
    length = 16 + len(extra)
    return (
        bytes([length, kind, VIRTIO_BAR, 0, 0, 0])
        + window.offset.to_bytes(4, "little")
        + window.length.to_bytes(4, "little")
        + extra
    )

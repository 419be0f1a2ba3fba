"""The modern virtio transport over PCI (virtio 1.2, 4.1)."""

from .device import MAX_QUEUES, DeviceKind
from .layouts import DeviceConfig
from .transport import Transport

__all__ = ["MAX_QUEUES", "DeviceConfig", "DeviceKind", "Transport"]

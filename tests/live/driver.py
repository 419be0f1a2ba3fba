"""Just enough of a virtio driver to make a card read memory and send a frame."""

import struct

from sim.live.client import CONFIG, Client, Memory
from sim.models.virtio.specification import Cap, Feature, Register, Status

__all__ = ["BASE", "SIZE", "begin", "offer"]

#: Where the driver's memory is for the card, and how much.
BASE, SIZE = 0x1_0000_0000, 1 << 20
_DESCRIPTORS, _AVAILABLE, _USED, _BUFFER = 0x0000, 0x1000, 0x2000, 0x3000
_COMMAND, _MEMORY_AND_MASTER = 4, 6
_QUEUE = 1
_VERSION_1 = 1 << Feature.VERSION_1
_KNOWN = Status.ACKNOWLEDGE | Status.DRIVER
_AGREED = _KNOWN | Status.FEATURES_OK


def _window(client: Client, kind: int) -> int:
    """Offset of a virtio structure in BAR 0 (virtio 1.2, 4.1.4)."""
    for number, at in client.capabilities():
        if number == 9 and client.read(CONFIG, at + 3, 1) == kind:
            return client.read(CONFIG, at + 8, 4)
    raise AssertionError(f"no structure {kind}")


def begin(client: Client) -> None:
    """Bring the device up with one transmit queue of 16 entries at ``BASE``."""
    client.write(CONFIG, _COMMAND, 2, _MEMORY_AND_MASTER)
    common = _window(client, Cap.COMMON)
    client.write(0, common + Register.DEVICE_STATUS, 1, 0)
    for status in (Status.ACKNOWLEDGE, _KNOWN):
        client.write(0, common + Register.DEVICE_STATUS, 1, status)
    for select in (0, 1):
        client.write(0, common + Register.DRIVER_FEATURE_SELECT, 4, select)
        client.write(0, common + Register.DRIVER_FEATURE, 4, _VERSION_1 >> 32 * select & 0xFFFFFFFF)
    client.write(0, common + Register.DEVICE_STATUS, 1, _AGREED)
    assert client.read(0, common + Register.DEVICE_STATUS, 1) == _AGREED
    client.write(0, common + Register.QUEUE_SELECT, 2, _QUEUE)
    client.write(0, common + Register.QUEUE_SIZE, 2, 16)
    rings = (Register.QUEUE_DESC, Register.QUEUE_DRIVER, Register.QUEUE_DEVICE)
    for offset, place in zip(rings, (_DESCRIPTORS, _AVAILABLE, _USED), strict=True):
        client.write(0, common + offset, 8, BASE + place)
    client.write(0, common + Register.QUEUE_ENABLE, 2, 1)
    client.write(0, common + Register.DEVICE_STATUS, 1, _AGREED | Status.DRIVER_OK)


def offer(client: Client, memory: Memory | None, frame: bytes = bytes(60)) -> None:
    """Put a frame into the queue's first entry, and ring."""
    if memory is not None:
        data = bytes(12) + frame
        memory.write(_BUFFER, data)
        memory.write(_DESCRIPTORS, struct.pack("<QIHH", BASE + _BUFFER, len(data), 0, 0))
        memory.write(_AVAILABLE, struct.pack("<HHH", 0, 1, 0))
    client.write(0, _window(client, Cap.NOTIFY) + 4 * _QUEUE, 2, _QUEUE)

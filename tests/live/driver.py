"""Just enough of a virtio driver to make a card read memory and send a frame."""

import struct

from sim.live.client import CONFIG, Client, Memory

__all__ = ["BASE", "SIZE", "begin", "offer"]

#: Where the driver's memory is for the card, and how much.
BASE, SIZE = 0x1_0000_0000, 1 << 20
_DESCRIPTORS, _AVAILABLE, _USED, _BUFFER = 0x0000, 0x1000, 0x2000, 0x3000
_COMMAND, _MEMORY_AND_MASTER = 4, 6
_QUEUE = 1
_VERSION_1 = 1 << 32


def _window(client: Client, kind: int) -> int:
    """Offset of a virtio structure in BAR 0 (virtio 1.2, 4.1.4)."""
    at = client.read(CONFIG, 0x34, 1)
    while at:
        if client.read(CONFIG, at, 1) == 9 and client.read(CONFIG, at + 3, 1) == kind:
            return client.read(CONFIG, at + 8, 4)
        at = client.read(CONFIG, at + 1, 1)
    raise AssertionError(f"no structure {kind}")


def begin(client: Client) -> None:
    """Bring the device up with one transmit queue of 16 entries at ``BASE``."""
    client.write(CONFIG, _COMMAND, 2, _MEMORY_AND_MASTER)
    common = _window(client, 1)
    client.write(0, common + 0x14, 1, 0)
    for status in (1, 3):
        client.write(0, common + 0x14, 1, status)
    for select in (0, 1):
        client.write(0, common + 0x08, 4, select)
        client.write(0, common + 0x0C, 4, _VERSION_1 >> 32 * select & 0xFFFFFFFF)
    client.write(0, common + 0x14, 1, 11)
    assert client.read(0, common + 0x14, 1) == 11
    client.write(0, common + 0x16, 2, _QUEUE)
    client.write(0, common + 0x18, 2, 16)
    for offset, place in ((0x20, _DESCRIPTORS), (0x28, _AVAILABLE), (0x30, _USED)):
        client.write(0, common + offset, 8, BASE + place)
    client.write(0, common + 0x1C, 2, 1)
    client.write(0, common + 0x14, 1, 15)


def offer(client: Client, memory: Memory | None, frame: bytes = bytes(60)) -> None:
    """Put a frame into the queue's first entry, and ring."""
    if memory is not None:
        data = bytes(12) + frame
        memory.write(_BUFFER, data)
        memory.write(_DESCRIPTORS, struct.pack("<QIHH", BASE + _BUFFER, len(data), 0, 0))
        memory.write(_AVAILABLE, struct.pack("<HHH", 0, 1, 0))
    client.write(0, _window(client, 2) + 4 * _QUEUE, 2, _QUEUE)

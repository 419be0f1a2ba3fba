"""A virtio-net driver on a vfio-user connection: split rings, polled (virtio 1.2, 2.7, 4.1, 5.1).

It trusts nothing: whatever the device writes to a used ring must be something that it was given.
"""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from sim.models.virtio.specification import (
    Cap,
    Control,
    DescriptorFlag,
    Feature,
    Net,
    Register,
    Status,
)

from .client import CONFIG, Client, Memory

__all__ = ["DriverError", "NetDriver"]

_COMMAND, _MEMORY_AND_MASTER = 4, 6
_VENDOR_CAPABILITY = 9
_RINGS = (Register.QUEUE_DESC, Register.QUEUE_DRIVER, Register.QUEUE_DEVICE)
#: What a driver writes to ``device_status``, one after the other (3.1.1).
_KNOWN = Status.ACKNOWLEDGE | Status.DRIVER
_AGREED = _KNOWN | Status.FEATURES_OK
_READY = _AGREED | Status.DRIVER_OK
_HEADER = 12
#: Each queue has a part of memory: rings in its first pages, then a buffer for each entry.
_AVAILABLE, _USED, _BUFFERS = 0x1000, 0x2000, 0x3000
_ENTRIES, _BUFFER = 256, 2048
_PART = _BUFFERS + _ENTRIES * _BUFFER


class DriverError(Exception):
    """The device has done what no device may do, or does nothing."""


@dataclass
class _Queue:
    number: int
    size: int
    at: int
    free: list[int]
    next: int = 0
    taken: int = 0
    outstanding: dict[int, list[int]] | None = None


class NetDriver:
    """Drives one function.

    Parameters
    ----------
    client
        Connected to the function.
    memory
        That the device is given; ``size()`` tells how much is needed.
    base
        Its address for the device.
    pairs
        Queue pairs that the device has.
    """

    def __init__(self, client: Client, memory: Memory, base: int, pairs: int):
        self.client, self.memory, self.base = client, memory, base
        self._most = pairs
        self.transmit: list[_Queue] = []
        self.receive: list[_Queue] = []

    @staticmethod
    def size(pairs: int) -> int:
        """Bytes of memory for a device with so many queue pairs."""
        return (2 * pairs + 1) * _PART

    def _window(self, kind: int) -> int:
        """Offset of a virtio structure in BAR 0 (4.1.4)."""
        for number, at in self.client.capabilities():
            if (number, self.client.read(CONFIG, at + 3, 1)) == (_VENDOR_CAPABILITY, kind):
                return self.client.read(CONFIG, at + 8, 4)
        raise DriverError(f"no structure {kind}")

    def start(self, pairs: int, size: int, buffer: int) -> None:
        """Bring the device up with so many queue pairs of so many entries and receive buffers
        of so many bytes."""
        self.client.write(CONFIG, _COMMAND, 2, _MEMORY_AND_MASTER)
        self._common, self._notify = self._window(Cap.COMMON), self._window(Cap.NOTIFY)
        self.reset()
        for status in (Status.ACKNOWLEDGE, _KNOWN):
            self.client.write(0, self._common + Register.DEVICE_STATUS, 1, status)
        wanted = {Feature.VERSION_1, Net.MRG_RXBUF}
        if pairs > 1:
            wanted |= {Net.CTRL_VQ, Net.MQ}
        features = sum(1 << bit for bit in wanted)
        for select in (0, 1):
            self.client.write(0, self._common + Register.DRIVER_FEATURE_SELECT, 4, select)
            part = features >> 32 * select & 0xFFFFFFFF
            self.client.write(0, self._common + Register.DRIVER_FEATURE, 4, part)
        self.client.write(0, self._common + Register.DEVICE_STATUS, 1, _AGREED)
        if self.status != _AGREED:
            raise DriverError("features are refused")
        self._buffer = buffer
        self._frames: dict[int, tuple[int, list[bytes]]] = {}
        self.receive = [self._queue(2 * n, size) for n in range(pairs)]
        self.transmit = [self._queue(2 * n + 1, size) for n in range(pairs)]
        control = self._queue(2 * self._most, 16) if pairs > 1 else None
        self.client.write(0, self._common + Register.DEVICE_STATUS, 1, _READY)
        for queue in self.receive:
            while queue.free:
                self._add(queue, [(None, buffer)])
            self._ring(queue)
        if control is not None:
            self._set_pairs(control, pairs)

    def _set_pairs(self, control: _Queue, pairs: int) -> None:
        """VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET."""
        command = struct.pack("<BBH", Control.CLASS_MQ, Control.MQ_VQ_PAIRS_SET, pairs)
        head = self._add(control, [(command, len(command)), (None, 1)])
        answer = control.at + _BUFFERS + control.outstanding[head][1] * _BUFFER
        self.memory.write(answer, b"\xff")
        self._ring(control)
        self.wait(lambda: self._used(control), "an answer to a control command")
        if self.memory.read(answer, 1)[0] != Control.OK:
            raise DriverError("queue pairs are refused")

    @property
    def status(self) -> int:
        """device_status."""
        return self.client.read(0, self._common + Register.DEVICE_STATUS, 1)

    @property
    def broken(self) -> bool:
        """The device asks to be reset."""
        return bool(self.status & Status.NEEDS_RESET)

    def reset(self) -> None:
        """Reset the device, and wait until that is done."""
        self.client.write(0, self._common + Register.DEVICE_STATUS, 1, 0)
        self.wait(lambda: self.status == 0, "the end of a reset")
        self.receive, self.transmit = [], []

    @staticmethod
    def wait(condition: Callable, what: str, seconds: float = 120.0) -> None:
        """Wait for something to become true.

        Raises
        ------
        DriverError
            When it does not.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise DriverError(f"{what} does not come")
            time.sleep(0.001)

    def _queue(self, number: int, size: int) -> _Queue:
        queue = _Queue(number, size, number * _PART, list(range(size)), outstanding={})
        self.memory.write(queue.at, bytes(_BUFFERS))
        self.client.write(0, self._common + Register.QUEUE_SELECT, 2, number)
        self.client.write(0, self._common + Register.QUEUE_SIZE, 2, size)
        for register, place in zip(_RINGS, (0, _AVAILABLE, _USED), strict=True):
            self.client.write(0, self._common + register, 8, self.base + queue.at + place)
        self.client.write(0, self._common + Register.QUEUE_ENABLE, 2, 1)
        return queue

    def _add(self, queue: _Queue, parts: list[tuple[bytes | None, int]]) -> int:
        """Give the device a chain, each part bytes to read or None to write; returns its head."""
        chain = [queue.free.pop() for _ in parts]
        for n, (place, (data, length)) in enumerate(zip(chain, parts, strict=True)):
            buffer = queue.at + _BUFFERS + place * _BUFFER
            if data is not None:
                self.memory.write(buffer, data)
            last = n + 1 == len(chain)
            flags = (DescriptorFlag.WRITE if data is None else 0) | (
                0 if last else DescriptorFlag.NEXT
            )
            following = 0 if last else chain[n + 1]
            entry = struct.pack("<QIHH", self.base + buffer, length, flags, following)
            self.memory.write(queue.at + 16 * place, entry)
        slot = queue.at + _AVAILABLE + 4 + 2 * (queue.next % queue.size)
        self.memory.write(slot, struct.pack("<H", chain[0]))
        queue.next = queue.next + 1 & 0xFFFF
        queue.outstanding[chain[0]] = chain
        return chain[0]

    def _ring(self, queue: _Queue) -> None:
        """Publish what was added, and ring the doorbell."""
        self.memory.write(queue.at + _AVAILABLE + 2, struct.pack("<H", queue.next))
        self.client.write(0, self._notify + 4 * queue.number, 2, queue.number)

    def _used(self, queue: _Queue) -> list[tuple[list[int], int]]:
        """Chains that the device has used since, and how much it has written to each."""
        (index,) = struct.unpack("<H", self.memory.read(queue.at + _USED + 2, 2))
        found = []
        if (index - queue.taken & 0xFFFF) > len(queue.outstanding):
            raise DriverError(f"queue {queue.number}: used index {index}, taken {queue.taken}")
        while queue.taken != index:
            at = queue.at + _USED + 4 + 8 * (queue.taken % queue.size)
            head, written = struct.unpack("<II", self.memory.read(at, 8))
            if head not in queue.outstanding:
                raise DriverError(f"queue {queue.number}: {head} was not given")
            chain = queue.outstanding.pop(head)
            queue.free += chain
            found.append((chain, written))
            queue.taken = queue.taken + 1 & 0xFFFF
        return found

    def send(self, pair: int, frames: list[bytes], cut: int = 0) -> list[bytes]:
        """Offer frames as far as there is room, each in two parts with the first of ``cut`` bytes
        (one part for 0); returns those that there was no room for."""
        queue = self.transmit[pair]
        self._used(queue)
        left = list(frames)
        while left and len(queue.free) > 1:
            data = bytes(_HEADER) + left.pop(0)
            parts = [data[:cut], data[cut:]] if cut else [data]
            self._add(queue, [(part, len(part)) for part in parts])
        self._ring(queue)
        return left

    def sent(self) -> bool:
        """Everything offered was used."""
        for queue in self.transmit:
            for _, written in self._used(queue):
                if written:
                    raise DriverError("the device has written to what it may read")
        return not any(queue.outstanding for queue in self.transmit)

    def received(self) -> list[bytes]:
        """Frames that have come, whole; their buffers are given back."""
        whole = []
        for queue in self.receive:
            used = self._used(queue)
            for (place,), written in used:
                if written > self._buffer:
                    raise DriverError(f"{written} bytes in a buffer of {self._buffer}")
                data = self.memory.read(queue.at + _BUFFERS + place * _BUFFER, written)
                left, parts = self._frames.pop(queue.number, (0, []))
                if not left:
                    (left,) = struct.unpack_from("<H", data, 10)
                    data = data[_HEADER:]
                parts.append(data)
                if left > 1:
                    self._frames[queue.number] = (left - 1, parts)
                else:
                    whole.append(b"".join(parts))
                self._add(queue, [(None, self._buffer)])
            if used:
                self._ring(queue)
        return whole

"""A driver that breaks the rules of the ring, for benches of any device."""

from random import Random

from cocotb.triggers import Timer

from sim.models.memory import HostMemory
from sim.models.virtio.queue import SplitQueue
from sim.models.virtio.specification import DescriptorFlag, Status

__all__ = ["FAULTS", "HOLE", "HOLE_BYTES", "Breaker", "needs_reset"]

#: Where host memory refuses every access.
HOLE, HOLE_BYTES = 0xDEAD_0000_0000, 1 << 20

_NEXT, _WRITE = DescriptorFlag.NEXT, DescriptorFlag.WRITE
_INDIRECT = DescriptorFlag.INDIRECT


class Breaker:
    """Puts chains into a queue that break the rules.

    All memory that it names is its own or refused, so that an access to anything else is
    a stray one and fails the test.
    """

    def __init__(self, memory: HostMemory, queue: SplitQueue, random: Random):
        self.queue = queue
        self.random = random
        self.memory = memory
        self.region = memory.allocate(
            4096, align=4096, name="nonsense", readable=True, writable=True
        )

    def descriptor(self, place: int, length: int, flags: int, following: int, address=None):
        """Write a descriptor of the ring, by default into the breaker's own memory."""
        address = self.region.address if address is None else address
        SplitQueue.put_descriptor(self.queue.descriptors, place, address, length, flags, following)

    def places(self, count: int) -> list[int]:
        """Descriptors that are free."""
        return self.random.sample(self.queue._free, count)

    def loop(self):
        """A chain that comes back to its beginning."""
        a, b = self.places(2)
        self.descriptor(a, 64, _NEXT, b)
        self.descriptor(b, 64, _NEXT, a)
        return a

    def beyond(self):
        """A next index past the table."""
        (a,) = self.places(1)
        self.descriptor(a, 64, _NEXT, self.queue.size + self.random.randrange(1000))
        return a

    def empty(self):
        """A descriptor of no bytes."""
        (a,) = self.places(1)
        self.descriptor(a, 0, 0, 0)
        return a

    def backwards(self):
        """A writable segment in front of a readable one."""
        a, b = self.places(2)
        self.descriptor(a, 64, _WRITE | _NEXT, b)
        self.descriptor(b, 64, 0, 0)
        return a

    def nested(self):
        """An indirect table inside an indirect table."""
        (a,) = self.places(1)
        SplitQueue.put_descriptor(self.region, 0, self.region.address, 16, _INDIRECT, 0)
        self.descriptor(a, 16, _INDIRECT, 0)
        return a

    def ragged(self):
        """An indirect table whose length is no multiple of 16."""
        (a,) = self.places(1)
        self.descriptor(a, 16 + self.random.randint(1, 15), _INDIRECT, 0)
        return a

    def unreadable(self):
        """An indirect table that cannot be read."""
        (a,) = self.places(1)
        self.descriptor(a, 64, _INDIRECT, 0, HOLE)
        return a

    def head(self):
        """A head past the table."""
        return self.queue.size + self.random.randrange(1000)


#: What ends in NEEDS_RESET, whichever queue it is in.
FAULTS = ("loop", "beyond", "empty", "backwards", "nested", "ragged", "unreadable", "head")


async def needs_reset(driver) -> bool:
    """Whether the device says so, within some time."""
    for _ in range(40):
        if Status.NEEDS_RESET in await driver.transport.status():
            return True
        await Timer(2, "us")
    return False

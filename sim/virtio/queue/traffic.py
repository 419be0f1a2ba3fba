"""Random traffic over one queue: what the driver posts, what the device does with it.

Everything is checked at both ends. The device answers a chain by bytes that depend on all
that it has read from it, so that the driver sees whether each byte came from the right
place in the right order; chains of a pushed queue must arrive in the order of the ring.
"""

from collections import deque
from dataclasses import dataclass
from hashlib import shake_128
from random import Random

import cocotb
from cocotb.triggers import SimTimeoutError, with_timeout

from sim.models.virtio.queue import QueueFull, SplitQueue
from sim.virtio.queue.rig import DeviceChain, Rig

__all__ = ["Pulled", "Pushed", "Shape", "reply"]

#: Longest silence, in microseconds of simulated time, that is not a hang. A chain of 64 scattered
#: descriptors alone takes 60, and such chains wait for each other.
PATIENCE_US = 2000


def reply(content: bytes, length: int) -> bytes:
    """What a device writes for ``content``."""
    return shake_128(content).digest(length)


@dataclass(frozen=True)
class Shape:
    """How chains look.

    Parameters
    ----------
    segments
        Most segments of a chain.
    length
        Most bytes of a segment.
    writable
        Probability that a chain of a pushed queue takes bytes too.
    indirect
        Probability of an indirect table, where there are two segments and more.
    batch
        Most chains before a kick.
    """

    segments: int = 4
    length: int = 40
    writable: float = 0.3
    indirect: float = 0.0
    batch: int = 6


class _Side:
    """What both kinds have in common: the driver's end of the queue."""

    def __init__(self, rig: Rig, queue: SplitQueue, shape: Shape, random: Random) -> None:
        self.rig = rig
        self.queue = queue
        self.function = queue.transport.function
        self.shape = shape
        self.random = random
        self.posted = 0
        self.finished = 0
        self.live = True

    def __str__(self) -> str:
        queue = self.queue
        return (
            f"queue {queue.index} of function {self.function}, size {queue.size}: "
            f"{self.posted} posted, {self.finished} finished, "
            f"used index {queue.used.read_int(2, 2)}, {len(queue.outstanding)} outstanding, "
            f"features {sorted(queue.transport.features)}"
        )

    def _regions(self, number: int):
        return [
            self.rig.memory.allocate(self.random.randint(1, self.shape.length), align=1)
            for _ in range(number)
        ]

    def _post(self, readable, writable, token) -> bool:
        """Add a chain in one way or another; False when the ring is full."""
        count = len(readable) + len(writable)
        indirect = count > 1 and self.random.random() < self.shape.indirect
        before = self.random.randrange(count) if indirect and self.random.random() < 0.3 else 0
        try:
            self.queue.add(readable, writable, token, indirect=indirect, direct_before=before)
        except QueueFull:
            return False
        self.posted += 1
        return True

    def forget(self) -> None:
        """The queue was reset: what is outstanding will not come back."""
        self.posted = self.finished = 0

    async def _some_used(self):
        """Chains that came back: by interrupt, by delayed interrupt or by polling."""
        if self.queue.vector == 0xFFFF or self.random.random() < 0.2:
            for _ in range(40 * PATIENCE_US):
                if chains := self.queue.take_used():
                    return chains
                await self.rig.cycles(self.random.randint(5, 100))
            raise AssertionError(f"nothing is used: {self}")
        try:
            return await with_timeout(self.queue.wait_used(), PATIENCE_US, "us")
        except SimTimeoutError:
            raise AssertionError(f"nothing is used: {self}") from None


class Pushed(_Side):
    """A pushed queue and its traffic.

    Members
    -------
    expected
        Contents of the chains that the device has yet to get, in order.
    """

    def __init__(self, rig: Rig, queue: SplitQueue, shape: Shape, random: Random) -> None:
        super().__init__(rig, queue, shape, random)
        self.expected: deque[tuple[int, bytes]] = deque()

    def post(self) -> bool:
        """Add one random chain."""
        count = self.random.randint(1, self.shape.segments)
        writes = 0
        if self.random.random() < self.shape.writable:
            writes = self.random.randint(1, count)
        readable, writable = self._regions(count - writes), self._regions(writes)
        content = b""
        for region in readable:
            region.write(0, self.random.randbytes(region.size))
            content += region.read()
        if not self._post(readable, writable, content):
            return False
        self.expected.append((len(readable) + len(writable), content))
        return True

    async def drive(self, chains: int) -> None:
        """Post so many chains and take them all back, checked."""
        while self.finished < chains:
            for _ in range(self.random.randint(1, self.shape.batch)):
                if self.posted == chains or not self.post():
                    break
            await self.queue.kick()
            if self.random.random() < 0.5 and self.posted < chains:
                await self.rig.cycles(int(300 ** self.random.random()))
                self._check(self.queue.take_used())
            elif self.queue.outstanding:
                self._check(await self._some_used())
        assert not self.queue.outstanding

    def _check(self, chains) -> None:
        for chain in chains:
            self.finished += 1
            expected = reply(chain.token, chain.capacity)[: chain.written]
            assert chain.content() == expected, "the device has read something else"

    def forget(self) -> None:  # noqa: D102
        super().forget()
        self.expected.clear()

    def arrive(self, chain: DeviceChain) -> None:
        """The device has got a chain: it must be the next of the ring."""
        count, content = self.expected.popleft()
        assert len(chain.segments) == count
        assert self.rig.read(chain) == content

    def finish(self, chain: DeviceChain) -> None:
        """Answer it and give it back."""
        room = sum(length for _, length, writable in chain.segments if writable)
        written = self.rig.fill(chain, reply(self.rig.read(chain), self.random.randint(0, room)))
        self.rig.use(chain, written)


class Pulled(_Side):
    """A pulled queue and its traffic: a numbered message goes into each group of chains.

    Members
    -------
    messages
        What the device has written, in order, by chain.
    """

    def __init__(self, rig: Rig, queue: SplitQueue, shape: Shape, random: Random) -> None:
        super().__init__(rig, queue, shape, random)
        self.messages: deque[tuple[int, bytes]] = deque()

    def post(self) -> bool:
        """Add one chain of random size."""
        count = self.random.randint(1, self.shape.segments)
        return self._post([], self._regions(count), None)

    async def drive(self, chains: int) -> None:
        """Post so many chains and take them all back, checked."""
        while self.finished < chains:
            for _ in range(self.random.randint(1, self.shape.batch)):
                if self.posted == chains or not self.post():
                    break
            await self.queue.kick()
            if self.random.random() < 0.5:
                await self.rig.cycles(int(300 ** self.random.random()))
                self._check(self.queue.take_used())
            elif self.queue.outstanding:
                self._check(await self._some_used())
        self.live = False

    def _check(self, chains) -> None:
        for chain in chains:
            self.finished += 1
            length, content = self.messages.popleft()
            assert chain.written == length
            assert chain.content() == content

    def forget(self) -> None:  # noqa: D102
        super().forget()
        self.messages.clear()

    async def serve(self) -> None:
        """The device's side: groups of one to three chains, some of them rolled back."""
        random, queue = self.random, self.queue.index
        while self.live:
            wanted = random.randint(1, 3)
            group: list[DeviceChain] = []
            while len(group) < wanted:
                chain = await self.rig.take(self.function, queue)
                if chain is None:
                    break
                group.append(chain)
            if not group or random.random() < 0.25:
                if group or random.random() < 0.5:
                    self.rig.rollback(self.function, queue)
                await self.rig.cycles(random.randint(10, 200))
                continue
            self.rig.commit(self.function, queue)
            for number, chain in enumerate(group):
                room = sum(length for _, length, _ in chain.segments)
                content = random.randbytes(random.randint(1, room))
                assert self.rig.fill(chain, content) == len(content)
                self.messages.append((len(content), content))
                self.rig.use(chain, len(content), more=number + 1 < len(group))
            await self.rig.cycles(random.randint(1, 100))


def serve_pushed(
    rig: Rig,
    sides: dict[tuple[int, int], Pushed],
    random: Random,
    hold: int = 5,
    noise: bool = False,
):
    """The device of pushed queues: keeps up to ``hold`` chains and finishes them in any order.

    With ``noise``, chains of other queues than ``sides`` are given back untouched.
    """

    async def serve() -> None:
        held: list[DeviceChain] = []
        while True:
            while rig.chains:
                chain = rig.chains.popleft()
                if noise and (chain.function, chain.queue) not in sides:
                    rig.use(chain)
                    continue
                sides[chain.function, chain.queue].arrive(chain)
                held.append(chain)
            while len(held) > random.randint(0, hold) or (held and random.random() < 0.3):
                chain = held.pop(random.randrange(len(held)))
                sides[chain.function, chain.queue].finish(chain)
            if held:
                await rig.cycles(random.randint(1, 60))
            else:
                rig.arrived.clear()
                if not rig.chains:
                    await rig.arrived.wait()

    return cocotb.start_soon(serve())

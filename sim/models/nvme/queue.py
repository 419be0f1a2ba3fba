"""The driver's side of submission and completion queues (Base 2.0, 3.3; PCIe transport 3.1.2)."""

from collections.abc import Callable, Iterator
from random import Random

import cocotb
from cocotb.triggers import Timer

from sim.models.memory import Region
from sim.models.nvme.command import ENTRY_BYTES, Command, Completion, entry_of
from sim.models.nvme.specification import PAGE_BYTES, Register
from sim.models.virtio.bus import Bus

__all__ = ["CompletionQueue", "QueueFull", "SubmissionQueue"]

_COMPLETION_BYTES = 16


class QueueFull(Exception):
    """There is no free entry."""


class CompletionQueue:
    """A completion queue: takes entries as they come, and hands each to its command.

    It fails the test when an entry belongs to no command, breaks the order of SQHD, or changes
    what a driver has not yet taken.

    Parameters
    ----------
    bus
        Of the function.
    index
        Identifier; 0 is the admin queue's.
    size
        Entries, 2 to 65,536.
    stride
        Bytes from one doorbell to the next.
    vector
        Of its interrupts. None: the driver looks at the memory every ``poll_us``.
    strict
        Whether an entry that nobody expects fails the test; otherwise ``strangers`` has it.

    Members
    -------
    submission : dict of int to SubmissionQueue
        The queues whose completions it takes, by identifier.
    taken : int
        Entries so far.
    strangers : list of Completion
    """

    def __init__(
        self,
        bus: Bus,
        index: int,
        size: int,
        *,
        stride: int = 4,
        vector: int | None = None,
        poll_us: float = 1.0,
        strict: bool = True,
    ) -> None:
        self.bus, self.index, self.size, self.vector = bus, index, size, vector
        self.submission: dict[int, SubmissionQueue] = {}
        self.taken = 0
        self.head, self.phase = 0, 1
        self.strict = strict
        self.strangers: list[Completion] = []
        #: Batches that were taken; with interrupts, each but the first of a race follows one.
        self.batches = 0
        self._poll_us = poll_us
        self.doorbell = Register.DOORBELLS + (2 * index + 1) * stride
        self.ring: Region = bus.memory.allocate(
            size * _COMPLETION_BYTES,
            align=PAGE_BYTES,
            name=f"completion queue {index}",
            writable=True,
        )
        self._task = None

    def start(self) -> None:
        """Begin to take entries."""
        self._task = cocotb.start_soon(self._serve())

    def stop(self) -> None:
        """Stop taking entries; the device may not touch the ring any more."""
        if self._task is not None:
            self._task.cancel()
        self.ring.writable = False

    async def _serve(self) -> None:
        while True:
            event = None if self.vector is None else self.bus.interrupt(self.vector)
            if event is not None:
                event.clear()
            if await self.poll():
                continue
            if event is None:
                await Timer(self._poll_us, "us")
            else:
                await event.wait()

    async def poll(self) -> int:
        """Take what is there; returns how many entries that was."""
        count = 0
        for completion in self._entries():
            count += 1
            queue = self.submission.get(completion.sqid)
            if queue is None:
                self._stranger(completion, "of a queue that does not use this one")
            else:
                queue.complete(completion, self)
        if count:
            self.taken += count
            self.batches += 1
            await self.ring_doorbell(self.head)
        return count

    def _entries(self) -> Iterator[Completion]:
        while True:
            at = self.head * _COMPLETION_BYTES
            completion = Completion.unpack(self.ring.read(at, _COMPLETION_BYTES))
            if completion.phase != self.phase:
                return
            self.head += 1
            if self.head == self.size:
                self.head, self.phase = 0, self.phase ^ 1
            yield completion

    async def ring_doorbell(self, value: int) -> None:
        """Write the head doorbell, whatever ``value`` is."""
        await self.bus.write(0, self.doorbell, value, 4)

    def _stranger(self, completion: Completion, what: str) -> None:
        assert not self.strict, f"completion queue {self.index}: {completion} {what}"
        self.strangers.append(completion)


class SubmissionQueue:
    """A submission queue.

    Parameters
    ----------
    bus
        Of the function.
    index
        Identifier; 0 is the admin queue.
    size
        Entries, 2 to 65,536.
    completion
        Where its completions come.
    stride
        Bytes from one doorbell to the next.
    rng
        Draws command identifiers.

    Members
    -------
    outstanding : dict of int to Command
        By command identifier.
    """

    def __init__(
        self,
        bus: Bus,
        index: int,
        size: int,
        completion: CompletionQueue,
        *,
        stride: int = 4,
        rng: Random | None = None,
    ) -> None:
        self.bus, self.index, self.size, self.completion = bus, index, size, completion
        self.outstanding: dict[int, Command] = {}
        self.tail = self.head = 0
        self._rng = rng or Random(index)
        self.doorbell = Register.DOORBELLS + 2 * index * stride
        self.ring: Region = bus.memory.allocate(
            size * ENTRY_BYTES, align=PAGE_BYTES, name=f"submission queue {index}", readable=True
        )
        completion.submission[index] = self

    @property
    def free(self) -> int:
        """Entries that may be put in: one stays empty."""
        return (self.head - self.tail - 1) % self.size

    async def submit(
        self,
        opcode: int,
        *,
        name: str = "",
        then: Callable[[Command], None] | None = None,
        ring: bool = True,
        cid: int | None = None,
        **fields,
    ) -> Command:
        """Put a command into the queue.

        Parameters
        ----------
        opcode, fields
            See ``entry_of``.
        then
            Called when it has ended.
        ring
            Whether the doorbell is rung; otherwise with the next one.
        cid
            Command identifier. None: one that is free.

        Raises
        ------
        QueueFull
            There is no room.
        """
        if not self.free:
            raise QueueFull(f"submission queue {self.index}")
        if cid is None:
            cid = self._rng.randrange(0xFFFF)
            while cid in self.outstanding:
                cid = self._rng.randrange(0xFFFF)
        command = Command(self, cid, name or f"opcode {opcode:#x}", then)
        self.outstanding[cid] = command
        self.put(entry_of(opcode, cid=cid, **fields))
        if ring:
            await self.ring_doorbell(self.tail)
        return command

    def put(self, entry: bytes) -> None:
        """Put any 64 bytes into the next entry, without asking whether it is free."""
        self.ring.write(self.tail * ENTRY_BYTES, entry)
        self.tail = (self.tail + 1) % self.size

    async def ring_doorbell(self, value: int) -> None:
        """Write the tail doorbell, whatever ``value`` is."""
        await self.bus.write(0, self.doorbell, value, 4)

    def complete(self, completion: Completion, queue: CompletionQueue) -> None:
        """Take one of its completions."""
        fetched = (completion.sqhd - self.head) % self.size
        waiting = (self.tail - self.head) % self.size
        if completion.sqhd >= self.size or fetched > waiting:
            queue._stranger(completion, f"with SQHD between {self.tail} and {self.head}")
        else:
            self.head = completion.sqhd
        command = self.outstanding.pop(completion.cid, None)
        if command is None:
            queue._stranger(completion, "for no command")
            return
        command.completion = completion
        if command.then is not None:
            command.then(command)
        command.ended.set()

    def abandon(self) -> list[Command]:
        """Forget what is outstanding: the queue, or the controller, is no more."""
        commands, self.outstanding = list(self.outstanding.values()), {}
        self.ring.readable = False
        return commands

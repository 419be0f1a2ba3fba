"""A driver for one NVMe controller: queues, namespaces and I/O."""

from random import Random

from sim.models.nvme.command import Command, CommandFailed
from sim.models.nvme.controller import NvmeController
from sim.models.nvme.prp import Buffer
from sim.models.nvme.queue import CompletionQueue, SubmissionQueue
from sim.models.nvme.specification import EVERY_NAMESPACE, Admin, Cns, Feature, Io
from sim.models.nvme.structures import Controller, Namespace, descriptors, words
from sim.models.virtio.bus import Bus

__all__ = ["NvmeDriver", "refused"]


class NvmeDriver(NvmeController):
    """Brings a controller up as a stock driver does, and uses it.

    Parameters
    ----------
    bus, rng, strict
        See ``NvmeController``.

    Members
    -------
    identity : Controller
        After ``start``.
    namespaces : dict of int to Namespace
        Those that were active when they were last looked for.
    """

    def __init__(self, bus: Bus, *, rng: Random | None = None, strict: bool = True) -> None:
        super().__init__(bus, rng=rng, strict=strict)
        self.namespaces: dict[int, Namespace] = {}

    async def start(self, *, queues: int = 1, entries: int = 64, interrupts: bool = True) -> None:
        """Bring the controller up as a stock driver does: identify, queues, namespaces.

        Parameters
        ----------
        queues
            Pairs of I/O queues, each with a vector of its own as far as there are enough.
        entries
            Of each.
        interrupts
            Otherwise the driver looks at the completion queues' memory.
        """
        await self.enable(interrupts=interrupts)
        self.identity = Controller(await self.identify(Cns.CONTROLLER))
        allocated = await self.set_feature(Feature.QUEUES, (queues - 1) * 0x1_0001)
        assert min(allocated & 0xFFFF, allocated >> 16) + 1 >= queues, "too few queues"
        for index in range(1, queues + 1):
            vector = min(index, self.bus.vectors - 1) if interrupts else None
            await self.create_queues(index, entries, vector=vector)
        await self.scan()

    async def scan(self) -> None:
        """Look for active namespaces."""
        self.namespaces = {}
        for nsid in words(await self.identify(Cns.ACTIVE)):
            self.namespaces[nsid] = Namespace(await self.identify(Cns.NAMESPACE, nsid))
            assert descriptors(await self.identify(Cns.DESCRIPTORS, nsid)), "no identifier"

    # Queues.

    async def create_completion_queue(
        self, index: int, entries: int, *, vector: int | None = None
    ) -> CompletionQueue:
        """Create an I/O completion queue, and take what comes."""
        queue = CompletionQueue(
            self.bus,
            index,
            entries,
            stride=self.capabilities.stride,
            vector=vector,
            strict=self.strict,
        )
        await self.command(
            Admin.CREATE_CQ,
            prp=(queue.ring.address, 0),
            dw10=index | (entries - 1) << 16,
            dw11=1 | (0 if vector is None else 2 | vector << 16),
        )
        self.completions[index] = queue
        queue.start()
        return queue

    async def create_submission_queue(
        self, index: int, entries: int, completion: CompletionQueue
    ) -> SubmissionQueue:
        """Create an I/O submission queue."""
        queue = SubmissionQueue(
            self.bus,
            index,
            entries,
            completion,
            stride=self.capabilities.stride,
            rng=self.rng,
        )
        await self.command(
            Admin.CREATE_SQ,
            prp=(queue.ring.address, 0),
            dw10=index | (entries - 1) << 16,
            dw11=1 | completion.index << 16,
        )
        self.queues[index] = queue
        return queue

    async def create_queues(
        self, index: int, entries: int, *, vector: int | None = None
    ) -> SubmissionQueue:
        """Create a pair of I/O queues with the same identifier."""
        completion = await self.create_completion_queue(index, entries, vector=vector)
        return await self.create_submission_queue(index, entries, completion)

    async def delete_submission_queue(self, index: int) -> list[Command]:
        """Delete an I/O submission queue; returns the commands that it has lost."""
        await self.command(Admin.DELETE_SQ, dw10=index)
        queue = self.queues.pop(index)
        # Completions that were posted before are still to be taken.
        await queue.completion.poll()
        del queue.completion.submission[index]
        return queue.abandon()

    async def delete_completion_queue(self, index: int) -> None:
        """Delete an I/O completion queue."""
        await self.command(Admin.DELETE_CQ, dw10=index)
        self.completions.pop(index).stop()

    # I/O commands.

    async def submit_io(
        self, opcode: Io, nsid: int, lba: int = 0, blocks: int = 1, *, queue: int = 1, **fields
    ) -> Command:
        """Submit a command about ``blocks`` blocks from ``lba`` on."""
        if opcode != Io.FLUSH:
            control = fields.pop("dw12", 0)
            place = {"dw10": lba & 0xFFFFFFFF, "dw11": lba >> 32, "dw12": control | blocks - 1}
            fields = {**place, **fields}
        return await self.queues[queue].submit(opcode, name=opcode.name, nsid=nsid, **fields)

    async def read_blocks(
        self,
        nsid: int,
        lba: int,
        blocks: int,
        *,
        offset: int = 0,
        list_entries: int = 512,
        queue: int = 1,
        **fields,
    ) -> bytes:
        """Read blocks."""
        size = blocks * self.namespaces[nsid].block_bytes
        buffer = Buffer(self.bus.memory, size, offset=offset, list_entries=list_entries)
        buffer.grant(writable=True)
        try:
            command = await self.submit_io(
                Io.READ, nsid, lba, blocks, queue=queue, prp=buffer.prp, **fields
            )
            await command.result()
            return buffer.read()
        finally:
            buffer.free()

    async def write_blocks(
        self, nsid: int, lba: int, content: bytes, *, offset: int = 0, queue: int = 1, **fields
    ) -> None:
        """Write whole blocks; ``list_entries`` is that of ``Buffer``."""
        await self._give(Io.WRITE, nsid, lba, content, offset, queue, **fields)

    async def compare_blocks(
        self, nsid: int, lba: int, content: bytes, *, offset: int = 0, queue: int = 1
    ) -> None:
        """Compare whole blocks with what is there."""
        await self._give(Io.COMPARE, nsid, lba, content, offset, queue)

    async def _give(
        self, opcode, nsid, lba, content, offset, queue, list_entries=512, **fields
    ) -> None:
        blocks, rest = divmod(len(content), self.namespaces[nsid].block_bytes)
        assert not rest, "not whole blocks"
        buffer = Buffer(self.bus.memory, len(content), offset=offset, list_entries=list_entries)
        buffer.write(content)
        buffer.grant(readable=True)
        try:
            command = await self.submit_io(
                opcode, nsid, lba, blocks, queue=queue, prp=buffer.prp, **fields
            )
            await command.result()
        finally:
            buffer.free()

    async def flush(self, nsid: int = EVERY_NAMESPACE, *, queue: int = 1) -> None:
        """Flush."""
        await (await self.submit_io(Io.FLUSH, nsid, queue=queue)).result()

    async def deallocate(self, nsid: int, ranges: list[tuple[int, int]], *, queue: int = 1) -> None:
        """Dataset Management: the ranges (LBA, blocks) are no longer needed."""
        content = b"".join(
            bytes(4) + blocks.to_bytes(4, "little") + lba.to_bytes(8, "little")
            for lba, blocks in ranges
        )
        buffer = Buffer(self.bus.memory, len(content))
        buffer.write(content)
        buffer.grant(readable=True)
        try:
            command = await self.queues[queue].submit(
                Io.DATASET_MANAGEMENT,
                name="DATASET_MANAGEMENT",
                nsid=nsid,
                prp=buffer.prp,
                dw10=len(ranges) - 1,
                dw11=1 << 2,
            )
            await command.result()
        finally:
            buffer.free()


async def refused(awaitable) -> int:
    """The status with which a command fails; fails the test if it does not.

    Parameters
    ----------
    awaitable
        Something that waits for a command's success.
    """
    try:
        await awaitable
    except CommandFailed as failure:
        return failure.status
    raise AssertionError("the command has succeeded")

"""The engine between models of its front, of host memory and of a target."""

import random
from dataclasses import dataclass
from typing import Any

from niter.interface import BlockStatus
from niter.nvme.engine import Engine, NamespaceRecord
from tests.support import csr
from tests.support.host import Read, Space, serve_reads, serve_writes
from tests.support.stream import Bench

from .prp import Pages, Prp
from .target import Target

__all__ = ["Entry", "Namespace", "Rig"]


@dataclass(frozen=True)
class Namespace:
    """What control says of a namespace."""

    volume: int
    blocks: int
    large: bool = False
    read_only: bool = False
    active: bool = True

    @property
    def shift(self) -> int:
        """Sectors of a block, as a power of two."""
        return 3 if self.large else 0

    def words(self) -> list[int]:
        """Its record: flags, size."""
        flags = (
            self.active * NamespaceRecord.ACTIVE
            | self.read_only * NamespaceRecord.READ_ONLY
            | self.large * NamespaceRecord.LARGE
            | self.volume << NamespaceRecord.VOLUME_SHIFT
        )
        return [flags, self.blocks & 0xFFFFFFFF, self.blocks >> 32]


@dataclass(frozen=True)
class Entry:
    """A submission entry: the fields of NVM Express Base 2.0, figure 86."""

    opcode: int
    cid: int
    nsid: int = 1
    prp1: int = 0
    prp2: int = 0
    slba: int = 0
    dword12: int = 0
    flags: int = 0
    function: int = 0
    queue: int = 1

    def beats(self) -> list[dict[str, Any]]:
        """As they stand on the front's port."""
        qwords = [
            self.opcode | self.flags << 8 | self.cid << 16 | self.nsid << 32,
            0x1111_2222_3333_4444,
            0x5555_6666_7777_8888,
            self.prp1,
            self.prp2,
            self.slba,
            self.dword12,
            0,
        ]
        return [
            {
                "packet": {"data": qword, "empty": 0, "last": at == 7, "error": 0},
                "function": self.function,
                "queue": self.queue,
            }
            for at, qword in enumerate(qwords)
        ]


class Rig:
    """The bench of a test.

    Parameters
    ----------
    seed
        Printed when the test fails.
    namespaces
        By function and NSID.
    tags
        Of the engine.
    latency
        Cycles of a host read.
    stall
        Probability of a stall on each stream.
    target
        Further arguments of ``Target``.
    """

    def __init__(
        self,
        seed: int,
        namespaces: dict[tuple[int, int], Namespace],
        *,
        tags: int = 32,
        latency: int = 30,
        stall: float = 0.0,
        **target: Any,
    ):
        print("seed", seed)
        self.rng = random.Random(seed)
        self.namespaces = namespaces
        self.dut = Engine(functions=4, namespaces=4, tags=tags)
        self.bench = Bench(self.dut, seed)
        self.space = Space()
        self.pages = Pages(self.rng)
        self.stall = stall
        #: Addresses at which reads are refused.
        self.refused: set[int] = set()
        self.reads = [
            serve_reads(
                self.bench, port, self.space, latency=latency, stall=stall, refuse=self._refuse
            )
            for port in self.dut.read
        ]
        self.writes = serve_writes(self.bench, self.dut.write, stall=stall)
        self.target = Target(
            self.bench, self.dut.block, random.Random(seed + 1), stall=stall, **target
        )
        #: Status and cycle of each completion, by function, queue and CID.
        self.completions: dict[tuple[int, int, int], tuple[int, int]] = {}
        self.sent: dict[tuple[int, int, int], int] = {}
        self.bench.sim.add_testbench(self._complete, background=True)

    def _refuse(self, read: Read) -> bool:
        return any(read.address <= at < read.address + read.length for at in self.refused)

    def prp(self, length: int, offset: int = 0, list_offset: int = 0) -> Prp:
        """PRPs for so much data; their lists are put into host memory."""
        prp = self.pages.prp(length, offset, list_offset)
        for address, entries in prp.lists:
            self.space.put(address, b"".join(entry.to_bytes(8, "little") for entry in entries))
        return prp

    def put(self, prp: Prp, content: bytes) -> None:
        """Put a command's data into host memory."""
        for address, length in prp.segments:
            self.space.put(address, content[:length])
            content = content[length:]

    async def attach(self, ctx) -> None:
        """Write the namespace table."""
        for (function, nsid), namespace in self.namespaces.items():
            base = NamespaceRecord.STRIDE * (4 * function + nsid - 1)
            for at, word in enumerate(namespace.words()):
                await csr.write(ctx, self.dut.csr, base + at, word)

    async def submit(self, ctx, entry: Entry) -> None:
        """Offer an entry; returns when it was accepted."""
        key = entry.function, entry.queue, entry.cid
        for beat in entry.beats():
            while self.rng.random() < self.stall:
                await ctx.tick()
            await self.bench._put(ctx, self.dut.front.entry, beat)
        self.sent[key] = self.bench.cycles

    async def _complete(self, ctx):
        rng = self.bench.rng()
        while True:
            payload = await self.bench._take(ctx, self.dut.front.completion, rng, self.stall)
            key = payload.function, payload.queue, payload.cid
            assert key not in self.completions, f"{key} was completed twice"
            assert payload.result == 0
            self.completions[key] = payload.status, self.bench.cycles

    async def cancel(self, ctx, function: int, queue: int, cid: int = 0, every: int = 0) -> int:
        """Cancel; returns whether something was found."""
        wanted = {"function": function, "queue": queue, "cid": cid, "every": every}
        await self.bench._put(ctx, self.dut.front.cancel, wanted)
        ctx.set(self.dut.front.cancelled.ready, 1)
        found = (
            await ctx.tick()
            .sample(self.dut.front.cancelled.payload.found)
            .until(self.dut.front.cancelled.valid)
        )
        ctx.set(self.dut.front.cancelled.ready, 0)
        return found[0]

    async def end(self, ctx, key: tuple[int, int, int]) -> int:
        """Status of a command, when it has been completed."""
        while key not in self.completions:
            await ctx.tick()
        return self.completions[key][0]

    def host(self) -> dict[int, int]:
        """All bytes that were written to host memory; none twice."""
        found: dict[int, int] = {}
        for write in self.writes:
            for at, byte in enumerate(write.data, write.address):
                assert at not in found, f"{at:#x} was written twice"
                found[at] = byte
        return found


#: What the block port says, for tests that make it say so.
BLOCK_STATUSES = list(BlockStatus)

"""A target behind the block port that moves data: volumes of sectors, for pysim.

It knows only ``niter.interface.block``. What stands in a sector that nobody has written
follows from its place, so a test can tell it without asking.
"""

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

from niter.interface import BEAT_BYTES, MAX_SPAN_SECTORS, SECTOR_BYTES, BlockOpcode, BlockStatus
from tests.support.block import Request

__all__ = ["Target", "sector"]


def sector(volume: int, lba: int) -> bytes:
    """What stands in a sector before it is written."""
    return hashlib.shake_128(f"{volume}/{lba}".encode()).digest(SECTOR_BYTES)


@dataclass
class Task:
    """A request that is being carried out; ``spans`` are still to be moved."""

    request: Request
    status: BlockStatus
    spans: list[tuple[int, int]]
    due: int
    moving: int = 0
    content: dict[int, bytes] = field(default_factory=dict)
    #: Its abort was accepted at this cycle.
    aborted: bool = False


class Target:
    """Takes requests, moves their data in any order of spans, and completes them.

    Parameters
    ----------
    bench
        A ``tests.support.stream.Bench``.
    port
        The design's block port.
    rng
        Where order and delays come from.
    statuses
        How requests end that do not end well, by first sector.
    longest
        Cycles that a request takes at most, beside its data.
    again
        Probability that a span is pulled twice.
    in_order
        Spans are as large as can be and come in order.
    stall
        Probability of a stall, each way.
    """

    def __init__(
        self,
        bench: Any,
        port: Any,
        rng: random.Random,
        *,
        statuses: dict[int, BlockStatus] | None = None,
        longest: int = 40,
        again: float = 0.2,
        in_order: bool = False,
        stall: float = 0.0,
    ):
        self._bench, self._port, self._rng = bench, port, rng
        self._statuses = {} if statuses is None else statuses
        self._longest, self._again, self._in_order = longest, again, in_order
        self._stall = stall
        #: What was written, by volume and sector.
        self.written: dict[tuple[int, int], bytes] = {}
        #: Every request that came.
        self.requests: list[Request] = []
        #: Tags whose abort was acknowledged.
        self.aborted: list[int] = []
        self._tasks: dict[int, Task] = {}
        self._pulls: list[tuple[Task, int, int]] = []
        self._aborts: list[int] = []
        processes = (
            self._take_requests,
            self._take_aborts,
            self._confirm,
            self._pull,
            self._take_data,
            self._push,
            self._complete,
        )
        for process in processes:
            bench.sim.add_testbench(process, background=True)

    async def _take_requests(self, ctx):
        while True:
            payload = await self._bench._take(ctx, self._port.request, self._rng, self._stall)
            request = Request.of(payload)
            assert request.tag not in self._tasks, f"tag {request.tag} is in use already"
            self.requests.append(request)
            status = self._statuses.get(request.lba, BlockStatus.OK)
            moves = request.opcode in (BlockOpcode.READ, BlockOpcode.WRITE)
            spans = self._spans(request.sectors) if moves else []
            if moves and status != BlockStatus.OK:
                # Some of it may have moved before the fault.
                spans = spans[: self._rng.randint(0, len(spans))]
            due = self._bench.cycles + self._rng.randint(1, self._longest)
            self._tasks[request.tag] = Task(request, status, spans, due)

    def _spans(self, sectors):
        spans, at = [], 0
        while at < sectors:
            longest = min(MAX_SPAN_SECTORS, sectors - at)
            length = longest if self._in_order else self._rng.randint(1, longest)
            spans.append((at, length))
            at += length
        if not self._in_order:
            self._rng.shuffle(spans)
        return spans

    def _next(self, opcode):
        """A span of such a request that may move now."""
        ready = [
            task
            for task in self._tasks.values()
            if task.request.opcode == opcode
            and task.spans
            and not task.aborted
            and task.due <= self._bench.cycles
        ]
        if not ready:
            return None
        task = ready[0] if self._in_order else self._rng.choice(ready)
        first, sectors = task.spans.pop(0)
        task.moving += 1
        return task, first, sectors

    async def _pull(self, ctx):
        while True:
            found = self._next(BlockOpcode.WRITE)
            if not found:
                await ctx.tick()
                continue
            task, first, sectors = found
            span = {"tag": task.request.tag, "first": first, "sectors": sectors}
            self._pulls.append(found)
            await self._bench._put(ctx, self._port.pull, span)
            if self._rng.random() < self._again and not task.aborted:
                task.spans.append((first, sectors))

    async def _take_data(self, ctx):
        while True:
            content = b""
            while True:
                beat = await self._bench._take(ctx, self._port.pull_data, self._rng, self._stall)
                assert beat.last or not beat.empty, "a beat with holes inside a packet"
                assert beat.last or not beat.error, "an error inside a packet"
                content += int(beat.data).to_bytes(BEAT_BYTES, "little")[: BEAT_BYTES - beat.empty]
                if beat.last:
                    break
            assert self._pulls, "data that nobody asked for"
            task, first, sectors = self._pulls.pop(0)
            task.moving -= 1
            if beat.error:
                task.status = BlockStatus.DATA_TRANSFER
                task.spans.clear()
                continue
            assert len(content) == sectors * SECTOR_BYTES, "a packet of another length"
            for number in range(sectors):
                piece = content[number * SECTOR_BYTES :][:SECTOR_BYTES]
                known = task.content.setdefault(first + number, piece)
                assert known == piece, "pulled again, and not the same"

    async def _push(self, ctx):
        while True:
            found = self._next(BlockOpcode.READ)
            if not found:
                await ctx.tick()
                continue
            task, first, sectors = found
            request = task.request
            span = {"tag": request.tag, "first": first, "sectors": sectors}
            content = b"".join(
                sector(request.volume, request.lba + first + number) for number in range(sectors)
            )
            bad = task.status != BlockStatus.OK and self._rng.random() < 0.5
            await self._bench._put(ctx, self._port.push, span)
            for at in range(0, len(content), BEAT_BYTES):
                while self._rng.random() < self._stall:
                    await ctx.tick()
                last = at + BEAT_BYTES == len(content)
                beat = {
                    "data": int.from_bytes(content[at : at + BEAT_BYTES], "little"),
                    "empty": 0,
                    "last": last,
                    "error": last and bad,
                }
                await self._bench._put(ctx, self._port.push_data, beat)
            task.moving -= 1

    async def _complete(self, ctx):
        while True:
            await ctx.tick()
            due = [
                task
                for task in self._tasks.values()
                if not task.spans
                and not task.moving
                and not task.aborted
                and task.due <= self._bench.cycles
            ]
            if not due:
                continue
            task = due[0] if self._in_order else self._rng.choice(due)
            request = task.request
            del self._tasks[request.tag]
            if task.status == BlockStatus.OK and request.opcode == BlockOpcode.WRITE:
                assert sorted(task.content) == list(range(request.sectors))
                for number, piece in task.content.items():
                    self.written[request.volume, request.lba + number] = piece
            completion = {"tag": request.tag, "status": task.status}
            await self._bench._put(ctx, self._port.completion, completion)

    async def _take_aborts(self, ctx):
        while True:
            tag = await self._bench._take(ctx, self._port.abort, self._rng, self._stall)
            if tag in self._tasks:
                self._tasks[tag].aborted = True
            self._aborts.append(tag)

    async def _confirm(self, ctx):
        while True:
            await ctx.tick()
            if not self._aborts:
                continue
            tag = self._aborts.pop(0)
            for _ in range(self._rng.randint(0, 10)):
                await ctx.tick()
            # A pull or push that is on offer, or whose completion is, cannot be taken back.
            while ctx.get(self._port.completion.valid) or ctx.get(self._port.pull.valid):
                await ctx.tick()
            while ctx.get(self._port.push.valid):
                await ctx.tick()
            self._tasks.pop(tag, None)
            self.aborted.append(tag)
            await self._bench._put(ctx, self._port.aborted, tag)

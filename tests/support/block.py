"""The two ends of a block port for pysim: a front end that asks, and a transport that answers.

They know only the contract of ``niter.interface.block``: the order in which things may happen,
not what a stage between them does.
"""

import random
from dataclasses import dataclass
from typing import Any

from niter.interface import BlockOpcode, BlockStatus

__all__ = ["FrontEnd", "Request", "Transport"]


@dataclass(frozen=True)
class Request:
    """A request as it stands on a port."""

    tag: int
    volume: int
    opcode: BlockOpcode
    lba: int
    sectors: int
    fua: int = 0

    @classmethod
    def of(cls, payload: Any) -> "Request":
        """From the payload of a request stream."""
        return cls(
            payload.tag,
            payload.volume,
            BlockOpcode(payload.opcode),
            payload.lba,
            payload.sectors,
            payload.fua,
        )

    def fields(self) -> dict[str, Any]:
        """What to put on a request stream."""
        return dict(vars(self))


class FrontEnd:
    """Issues requests and aborts, and notes how each ends.

    Parameters
    ----------
    bench
        A ``tests.support.stream.Bench``.
    port
        The design's port towards the front end.
    stall
        Probability that an answer is not taken in a cycle.
    """

    def __init__(self, bench: Any, port: Any, *, stall: float = 0.0):
        self._bench, self._port, self._stall = bench, port, stall
        #: Cycles at which completions and acknowledgements came, with status or None, by tag.
        self.ended: dict[int, list[tuple[int, BlockStatus | None]]] = {}
        for stream, status in ((port.completion, True), (port.aborted, False)):
            bench.sim.add_testbench(self._listen(stream, status, bench.rng()), background=True)

    async def request(self, ctx, request: Request) -> None:
        """Issue a request; returns when it was accepted."""
        await self._bench._put(ctx, self._port.request, request.fields())

    async def abort(self, ctx, tag: int) -> None:
        """Issue an abort; returns when it was accepted."""
        await self._bench._put(ctx, self._port.abort, tag)

    async def end(self, ctx, tag: int, count: int = 1) -> list[BlockStatus | None]:
        """Wait until ``count`` answers about ``tag`` have come, and forget them."""
        while len(self.ended.get(tag, [])) < count:
            await ctx.tick()
        return [status for _, status in self.ended.pop(tag)]

    def _listen(self, stream, with_status, rng):
        async def listen(ctx):
            while True:
                payload = await self._bench._take(ctx, stream, rng, self._stall)
                tag = payload.tag if with_status else payload
                status = BlockStatus(payload.status) if with_status else None
                self.ended.setdefault(tag, []).append((self._bench.cycles, status))

        return listen


class Transport:
    """Takes requests and completes each after a while, unless it is aborted before.

    Parameters
    ----------
    bench, stall
        As for a front end.
    port
        The design's port towards the transport.
    rng
        Where delays come from.
    longest
        Cycles that a request takes at most.
    """

    def __init__(
        self, bench: Any, port: Any, rng: random.Random, *, longest: int = 40, stall: float = 0.0
    ):
        self._bench, self._port, self._rng = bench, port, rng
        self._longest, self._stall = longest, stall
        #: Requests in the order in which they came, and when.
        self.requests: list[tuple[int, Request]] = []
        #: Tags that were aborted here.
        self.aborts: list[int] = []
        self._open: dict[int, int] = {}
        self._acknowledge: list[int] = []
        for process in (self._take_requests, self._take_aborts, self._complete, self._confirm):
            bench.sim.add_testbench(process, background=True)

    async def _take_requests(self, ctx):
        while True:
            payload = await self._bench._take(ctx, self._port.request, self._rng, self._stall)
            request = Request.of(payload)
            assert request.tag not in self._open, f"tag {request.tag} is in use already"
            self.requests.append((self._bench.cycles, request))
            self._open[request.tag] = self._bench.cycles + self._rng.randint(1, self._longest)

    async def _take_aborts(self, ctx):
        while True:
            tag = await self._bench._take(ctx, self._port.abort, self._rng, self._stall)
            self.aborts.append(tag)
            self._open.pop(tag, None)
            self._acknowledge.append(tag)

    async def _complete(self, ctx):
        while True:
            await ctx.tick()
            due = [tag for tag, cycle in self._open.items() if cycle <= self._bench.cycles]
            if due:
                tag = self._rng.choice(due)
                del self._open[tag]
                await self._bench._put(
                    ctx, self._port.completion, {"tag": tag, "status": BlockStatus.OK}
                )

    async def _confirm(self, ctx):
        while True:
            await ctx.tick()
            if self._acknowledge:
                await self._bench._put(ctx, self._port.aborted, self._acknowledge.pop(0))

"""A transport at the end of a block port, with its volumes in memory: a golden model.

It knows only the contract of ``niter.interface.block``. It pulls and pushes in spans of any size
and order that the contract allows, many requests at a time, and completes each after a service
time; a bench looks into its volumes to see what was written.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import cocotb
from cocotb.triggers import Event, Timer

from niter.interface import (
    MAX_SPAN_SECTORS,
    SECTOR_BYTES,
    BlockCompletion,
    BlockOpcode,
    BlockRequest,
    BlockSpan,
    BlockStatus,
)
from sim.models.streams import PacketSink, PacketSource, StreamSink, StreamSource

__all__ = ["BlockTarget", "Request"]


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    tag: int
    volume: int
    opcode: BlockOpcode
    fua: bool
    lba: int
    sectors: int


class BlockTarget:
    """Serves the ``BlockPort`` of a device under test.

    Parameters
    ----------
    dut, name
        Where the port is.
    rng
        Draws spans and their order, service times, and which sectors are pulled twice.
    service_us
        From a request to its first span; with ``jitter``, from none to twice that.
    jitter
        Whether requests overtake each other.
    again
        Probability that a span of a write is pulled a second time.

    Members
    -------
    volumes : dict of int to dict of int to bytes
        Sectors that were written, by volume and number.
    requests : list of Request
        All that came.
    fails : Callable[[Request], BlockStatus]
        How a request ends. A bench may set it.
    held : set of int
        Volumes whose requests are not begun, for as long as they stand here.
    """

    def __init__(
        self,
        dut,
        name: str = "block",
        *,
        rng: Random,
        service_us: float = 2.0,
        jitter: bool = True,
        again: float = 0.0,
    ) -> None:
        self.volumes: dict[int, dict[int, bytes]] = {}
        self.requests: list[Request] = []
        self.fails: Callable[[Request], BlockStatus] = lambda request: BlockStatus.OK
        self.held: set[int] = set()
        self._rng, self._service_us, self._jitter, self._again = rng, service_us, jitter, again
        self._incoming = StreamSink(dut, f"{name}__request", BlockRequest)
        self._aborts = StreamSink(dut, f"{name}__abort", 8)
        self._completions = StreamSource(dut, f"{name}__completion", BlockCompletion)
        self._aborted = StreamSource(dut, f"{name}__aborted", 8)
        self._pulls = StreamSource(dut, f"{name}__pull", BlockSpan)
        self._pull_data = PacketSink(dut, f"{name}__pull_data")
        self._pushes = StreamSource(dut, f"{name}__push", BlockSpan)
        self._push_data = PacketSource(dut, f"{name}__push_data")
        self._open: dict[int, Request] = {}
        #: Answers to pulls that are to come, in order, each with a place for it.
        self._pulled: deque[tuple[Event, list]] = deque()
        #: Pulls and pushes under way for a tag.
        self._busy: dict[int, int] = {}
        for process in (self._take, self._take_aborts, self._take_data):
            cocotb.start_soon(process())

    @property
    def underway(self) -> int:
        """Requests that have neither ended nor been aborted."""
        return len(self._open)

    def sector(self, volume: int, number: int) -> bytes:
        """What a sector holds; zeros if nothing was written."""
        return self.volumes.get(volume, {}).get(number, bytes(SECTOR_BYTES))

    def read(self, volume: int, first: int, sectors: int) -> bytes:
        """What sectors hold."""
        return b"".join(self.sector(volume, first + n) for n in range(sectors))

    def write(self, volume: int, first: int, content: bytes) -> None:
        """Fill sectors, as a bench does beforehand."""
        sectors = self.volumes.setdefault(volume, {})
        for at in range(0, len(content), SECTOR_BYTES):
            sectors[first + at // SECTOR_BYTES] = content[at : at + SECTOR_BYTES]

    async def _take(self) -> None:
        while True:
            came = await self._incoming.recv()
            request = Request(
                came.tag,
                came.volume,
                BlockOpcode(came.opcode),
                bool(came.fua),
                came.lba,
                came.sectors,
            )
            assert request.tag not in self._open, f"tag {request.tag} is in use already"
            self._open[request.tag] = request
            self.requests.append(request)
            cocotb.start_soon(self._serve(request))

    async def _take_aborts(self) -> None:
        while True:
            tag = await self._aborts.recv()
            self._open.pop(tag, None)
            cocotb.start_soon(self._acknowledge(tag))

    async def _acknowledge(self, tag: int) -> None:
        # Answers to what was pulled are still to come.
        while self._busy.get(tag):
            await Timer(50, "ns")
        await self._completions.idle()
        self._aborted.put(tag)

    async def _take_data(self) -> None:
        while True:
            packet = await self._pull_data.recv()
            assert self._pulled, "data that nobody has pulled"
            event, box = self._pulled.popleft()
            box.append(packet)
            event.set()

    def _alive(self, request: Request) -> bool:
        return self._open.get(request.tag) is request

    async def _serve(self, request: Request) -> None:
        low, high = (0.0, 2.0) if self._jitter else (1.0, 1.0)
        await Timer(max(1, round(1000 * self._service_us * self._rng.uniform(low, high))), "ns")
        while request.volume in self.held and self._alive(request):
            await Timer(200, "ns")
        if not self._alive(request):
            return
        status = self.fails(request)
        if status == BlockStatus.OK:
            status = await self._carry_out(request)
        if self._alive(request):
            del self._open[request.tag]
            self._completions.put({"tag": request.tag, "status": status})

    async def _carry_out(self, request: Request) -> BlockStatus:
        match request.opcode:
            case BlockOpcode.READ:
                return await self._push(request)
            case BlockOpcode.WRITE:
                return await self._pull(request)
            case BlockOpcode.WRITE_ZEROES:
                self.write(request.volume, request.lba, bytes(request.sectors * SECTOR_BYTES))
        return BlockStatus.OK

    def _spans(self, request: Request) -> Iterator[tuple[int, int]]:
        """The sectors in pieces, in random order."""
        spans, first = [], 0
        while first < request.sectors:
            most = min(MAX_SPAN_SECTORS, request.sectors - first)
            count = self._rng.randint(1, most) if self._jitter else most
            spans.append((first, count))
            first += count
        if self._jitter:
            self._rng.shuffle(spans)
        return iter(spans)

    async def _push(self, request: Request) -> BlockStatus:
        for first, count in self._spans(request):
            if not self._alive(request):
                return BlockStatus.OK
            self._busy[request.tag] = self._busy.get(request.tag, 0) + 1
            content = self.read(request.volume, request.lba + first, count)
            self._pushes.put({"tag": request.tag, "first": first, "sectors": count})
            self._push_data.put(content)
            # Whoever pushes next may do so only when there is an end to what is queued.
            await self._push_data.idle()
            self._busy[request.tag] -= 1
        await self._pushes.idle()
        return BlockStatus.OK

    async def _pull(self, request: Request) -> BlockStatus:
        pieces: list[tuple[int, bytes]] = []
        for first, count in self._spans(request):
            for _ in range(2 if self._rng.random() < self._again else 1):
                if not self._alive(request):
                    return BlockStatus.OK
                event, box = Event(), []
                self._busy[request.tag] = self._busy.get(request.tag, 0) + 1
                self._pulls.put({"tag": request.tag, "first": first, "sectors": count})
                self._pulled.append((event, box))
                await event.wait()
                self._busy[request.tag] -= 1
                if box[0].error:
                    return BlockStatus.DATA_TRANSFER
                assert len(box[0].data) == count * SECTOR_BYTES, "an answer of another length"
                pieces.append((first, box[0].data))
        if self._alive(request):
            for first, content in pieces:
                self.write(request.volume, request.lba + first, content)
        return BlockStatus.OK

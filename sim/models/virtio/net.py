"""A driver for the virtio network device (virtio 1.2, 5.1)."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import cocotb
from cocotb.task import Task
from cocotb.triggers import Event

from sim.models.memory import Region
from sim.models.virtio.bus import Bus
from sim.models.virtio.queue import SplitQueue
from sim.models.virtio.specification import Control, HeaderFlag, Net
from sim.models.virtio.transport import PciTransport

__all__ = ["Header", "NetConfiguration", "NetDriver", "Received"]

_LINK_UP = 1


@dataclass(frozen=True)
class Header:
    """``struct virtio_net_hdr`` (5.1.6), without what segmentation offload would need."""

    SIZE = 12

    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    num_buffers: int = 0

    def pack(self) -> bytes:
        """As bytes."""
        words = (self.hdr_len, self.gso_size, self.csum_start, self.csum_offset, self.num_buffers)
        return bytes([self.flags, self.gso_type]) + b"".join(
            word.to_bytes(2, "little") for word in words
        )

    @classmethod
    def unpack(cls, content: bytes) -> "Header":
        """From bytes."""
        words = (int.from_bytes(content[at : at + 2], "little") for at in range(2, 12, 2))
        return cls(content[0], content[1], *words)


@dataclass(frozen=True)
class Received:
    """A frame that came in."""

    data: bytes
    header: Header
    pair: int
    buffers: int

    @property
    def checksum_good(self) -> bool:
        """The device vouches for the checksum."""
        return bool(self.header.flags & HeaderFlag.DATA_VALID)


@dataclass(frozen=True)
class NetConfiguration:
    """The device's configuration structure (5.1.4); None where the feature was not offered."""

    mac: bytes
    link_up: bool | None
    pairs: int | None
    mtu: int | None
    speed: int | None
    duplex: int | None


class NetDriver:
    """One network device: brings it up, sends and receives frames.

    Parameters
    ----------
    bus
        Reaches the function.
    rng
        Draws descriptors and how buffers are cut.

    Members
    -------
    transport : PciTransport
    config : NetConfiguration
        After ``start`` or ``read_config``.
    receive, transmit : list of SplitQueue
    control : SplitQueue or None
    sent, received : int
        Frames that the device has taken and given.
    """

    def __init__(self, bus: Bus, *, rng: Random | None = None) -> None:
        self.bus = bus
        self.transport = PciTransport(bus)
        self.rng = rng or Random(0)
        self.receive: list[SplitQueue] = []
        self.transmit: list[SplitQueue] = []
        self.control: SplitQueue | None = None
        self.sent = self.received = 0
        self._tasks: list[Task] = []
        self._arrived: deque[Received] = deque()
        self._arrival = Event()
        self._headers: list[Region] = []

    async def start(
        self,
        features: Iterable[int] | None = None,
        *,
        without: Iterable[int] = (),
        size: int | None = None,
        pairs: int | None = None,
        buffer_bytes: int = 2048,
        buffers: int | None = None,
    ) -> None:
        """Bring the device up (3.1.1, 5.1.5) and post receive buffers.

        Parameters
        ----------
        features, without
            See ``PciTransport.negotiate``.
        size
            Of the queues; None for their largest.
        pairs
            Queue pairs to set up; with more than one they are switched on by the control
            queue. None for all if MQ is negotiated.
        buffer_bytes
            Of each receive buffer, with the header.
        buffers
            How many a receive queue gets; None for as many as fit.
        """
        await self.transport.discover()
        negotiated = await self.transport.negotiate(features, without=without)
        self.config = await self.read_config()
        self.mergeable = Net.MRG_RXBUF in negotiated
        limit = self.config.pairs if Net.MQ in negotiated else 1
        pairs = limit if pairs is None else pairs
        assert pairs <= limit, f"the device has {limit} queue pairs"
        self.buffer_bytes = buffer_bytes
        await self.transport.map_config_vector(0)
        self.receive = [self._queue(2 * pair) for pair in range(pairs)]
        self.transmit = [self._queue(2 * pair + 1) for pair in range(pairs)]
        for queue in (*self.receive, *self.transmit):
            await queue.setup(size)
        if Net.CTRL_VQ in negotiated:
            self.control = self._queue(2 * limit)
            await self.control.setup(min(size or 64, 64))
        await self.transport.ready()
        for pair, queue in enumerate(self.receive):
            for _ in range(queue.size if buffers is None else buffers):
                self._post(queue)
            await queue.kick()
            self._tasks.append(cocotb.start_soon(self._collect(pair)))
        for queue in self.transmit:
            queue.disable_interrupts()
        if pairs > 1:
            assert await self.set_pairs(pairs) == Control.OK, "VQ_PAIRS_SET was refused"

    def _queue(self, index: int) -> SplitQueue:
        """A queue with a vector of its own as far as there are enough."""
        vector = min(index + 1, self.bus.vectors - 1)
        return SplitQueue(self.transport, index, vector=vector, rng=self.rng)

    async def read_config(self) -> NetConfiguration:
        """Read the configuration structure as of one generation."""
        offered = await self.transport.offered()
        fields = {"low": (0, 4), "high": (4, 2)}
        for name, feature, place in (
            ("status", Net.STATUS, (6, 2)),
            ("pairs", Net.MQ, (8, 2)),
            ("mtu", Net.MTU, (10, 2)),
            ("speed", Net.SPEED_DUPLEX, (12, 4)),
            ("duplex", Net.SPEED_DUPLEX, (16, 1)),
        ):
            if offered >> feature & 1:
                fields[name] = place
        values = await self.transport.stable_config(fields)
        status = values.get("status")
        return NetConfiguration(
            (values["low"] | values["high"] << 32).to_bytes(6, "little"),
            None if status is None else bool(status & _LINK_UP),
            *(values.get(name) for name in ("pairs", "mtu", "speed", "duplex")),
        )

    def _post(self, queue: SplitQueue, region: Region | None = None) -> None:
        """Give the device a receive buffer; not yet visible."""
        if region is None:
            region = self.bus.memory.allocate(
                self.buffer_bytes, align=2, name=f"receive buffer of queue {queue.index}"
            )
        queue.add([], [region], region)

    async def _collect(self, pair: int) -> None:
        """Take frames from a receive queue as interrupts come, and post the buffers again."""
        queue = self.receive[pair]
        frame: list[bytes] = []
        header, left = Header(), 0
        while True:
            for chain in await queue.wait_used():
                content = chain.content()
                if not left:
                    assert len(content) > Header.SIZE, f"{len(content)} bytes received"
                    header = Header.unpack(content)
                    left = header.num_buffers
                    assert left == 1 or (left and self.mergeable), f"num_buffers is {left}"
                    content = content[Header.SIZE :]
                frame.append(content)
                left -= 1
                if not left:
                    self.received += 1
                    self._arrived.append(
                        Received(b"".join(frame), header, pair, header.num_buffers)
                    )
                    self._arrival.set()
                    frame = []
                self._post(queue, chain.token)
            await queue.kick()

    async def recv(self) -> Received:
        """Wait for the next frame of any queue."""
        while not self._arrived:
            self._arrival.clear()
            await self._arrival.wait()
        return self._arrived.popleft()

    def arrived(self) -> list[Received]:
        """All frames that have come and were not taken."""
        frames = list(self._arrived)
        self._arrived.clear()
        return frames

    def put(
        self,
        frame: bytes,
        pair: int = 0,
        *,
        header: Header | None = None,
        cut: Sequence[int] | None = None,
        indirect: bool = False,
        direct_before: int = 0,
    ) -> int:
        """Add a frame to a transmit queue; ``kick`` of the queue sends it.

        Parameters
        ----------
        frame
            From destination address on, without FCS.
        pair
            Whose transmit queue.
        header
            Standing before it; zeros by default.
        cut
            Lengths of the segments of header and frame together, the last one takes the
            rest. None: one segment.
        indirect, direct_before
            See ``SplitQueue.add``.

        Returns
        -------
        Head of the chain.
        """
        content = (header or Header()).pack() + frame
        parts, at = [], 0
        for length in (*(cut or ()), len(content)):
            part = content[at : at + length]
            if part:
                parts.append(self._segment(part))
            at += len(part)
        return self.transmit[pair].add(
            parts, [], None, indirect=indirect, direct_before=direct_before
        )

    def _segment(self, content: bytes) -> Region:
        """A readable segment at any address."""
        region = self.bus.memory.allocate(len(content), align=1, name="transmit segment")
        region.write(0, content)
        return region

    def reclaim(self, pair: int = 0) -> int:
        """Take back what the device has sent of one queue; returns how many frames."""
        chains = self.transmit[pair].take_used()
        for chain in chains:
            assert chain.written == 0, "a transmitted chain says that it was written to"
            for region in chain.readable:
                self.bus.memory.free(region)
        self.sent += len(chains)
        return len(chains)

    async def send(self, frame: bytes, pair: int = 0, **how) -> None:
        """Send one frame; waits for room in the queue, not for the frame to be gone."""
        queue = self.transmit[pair]
        self.reclaim(pair)
        cut = how.get("cut")
        needed = 1 if how.get("indirect") else len(cut or ()) + 1
        while queue.free < needed + how.get("direct_before", 0):
            await self._wait_sent(pair, needed)
        self.put(frame, pair, **how)
        await queue.kick()

    async def _wait_sent(self, pair: int, count: int = 1) -> None:
        """Wait, by interrupt, until ``count`` more chains of a transmit queue were used."""
        queue = self.transmit[pair]
        event = self.bus.interrupt(queue.vector)
        event.clear()
        count = min(count, len(queue.outstanding))
        if queue.enable_interrupts(count) and not self.reclaim(pair):
            await event.wait()
        queue.disable_interrupts()
        self.reclaim(pair)

    async def flush(self, pair: int = 0) -> None:
        """Wait until the device has used everything that was given to a transmit queue."""
        queue = self.transmit[pair]
        while queue.outstanding:
            await self._wait_sent(pair, len(queue.outstanding))

    async def command(
        self, kind: int, command: int, content: bytes, *, cut: Sequence[int] = (2,)
    ) -> int:
        """Execute a command by the control queue (5.1.6.5); returns its answer.

        Parameters
        ----------
        kind, command, content
            Class, command and command-specific data.
        cut
            Lengths of the readable segments, the last one takes the rest.
        """
        assert self.control is not None, "there is no control queue"
        request, parts = bytes([kind, command]) + content, []
        for length in (*cut, len(request)):
            if request[:length]:
                parts.append(self._segment(request[:length]))
            request = request[length:]
        answer = self.bus.memory.allocate(1, align=1, name="control answer")
        answer.write(0, b"\xff")
        self.control.add(parts, [answer])
        await self.control.kick()
        (chain,) = await self.control.wait_used()
        assert chain.written == 1, f"an answer of {chain.written} bytes"
        for region in (*parts, answer):
            self.bus.memory.free(region)
        return chain.content()[0]

    async def set_pairs(self, pairs: int) -> int:
        """VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET (5.1.6.5.5)."""
        return await self.command(
            Control.CLASS_MQ, Control.MQ_VQ_PAIRS_SET, pairs.to_bytes(2, "little")
        )

    def _halt(self) -> None:
        """Stop looking at the queues."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _release(self) -> None:
        """Nothing is the device's any more."""
        for queue in (*self.receive, *self.transmit, self.control):
            if queue is not None:
                for chain in queue.release():
                    for region in (*chain.readable, *chain.writable):
                        self.bus.memory.free(region)
        self.receive, self.transmit, self.control = [], [], None

    async def stop(self) -> None:
        """Reset the device (3.3) and take all memory back."""
        self._halt()
        await self.transport.reset()
        self._release()

    async def function_reset(self) -> None:
        """Reset the function, and take all memory back."""
        self._halt()
        await self.bus.function_reset()
        self._release()

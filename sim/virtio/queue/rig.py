"""A driver on one side of the queue engine and a device on the other, without a transport.

The driver is ``sim.models.virtio.queue``, which knows the specification and nothing of the
engine. The device is a plain model here: it reads what a chain gives, checks it against
what the driver put in, fills what a chain takes, and gives it back.
"""

from collections import deque
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import ClockCycles, Event, Lock

from niter.virtio.queue import (
    Fault,
    Notification,
    Offer,
    QueueCommand,
    QueueId,
    QueueOperation,
    RingArea,
    Segment,
    Take,
    TakeOperation,
    Used,
)
from sim.harness import rng
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.streams import StreamSink, StreamSource, stalls
from sim.models.virtio.queue import SplitQueue
from sim.models.virtio.specification import Feature

__all__ = ["DeviceChain", "Rig", "Wire"]


@dataclass
class DeviceChain:
    """A chain as the device has got it."""

    function: int
    queue: int
    head: int
    total: int
    segments: list[tuple[int, int, bool]] = field(default_factory=list)


class Wire:
    """What a ``SplitQueue`` takes for its transport and bus: doorbells and commands.

    Parameters
    ----------
    rig
        Where they go.
    function
        Number of the function.
    features
        What counts as negotiated.
    """

    def __init__(self, rig: "Rig", function: int, features: frozenset[Feature]) -> None:
        self.rig = rig
        self.function = function
        self.features = features
        self.bus = self
        self.memory = rig.memory
        self.selected = Lock()
        #: How many chains a queue may begin in its turn, as a power of two.
        self.weights: dict[int, int] = {}

    async def write(self, bar: int, offset: int, value: int, size: int) -> None:
        """A doorbell."""
        self.rig.notifications.put(
            {
                "queue": {"index": value & 0xFFFF, "function": self.function},
                "has_index": int(size == 4),
                "index": value >> 16,
            }
        )

    def interrupt(self, vector: int) -> Event:
        """Set with each interrupt."""
        return self.rig.ports.interrupts.event(self.function, vector)

    async def enable_queue(self, index, size, areas, vector) -> tuple[int, int]:
        """Start a queue."""
        queue = {"index": index, "function": self.function}
        for area, address in zip(RingArea, areas, strict=True):
            self.rig.commands.put(
                {
                    "operation": QueueOperation.ADDRESS,
                    "queue": queue,
                    "area": area,
                    "address": address,
                }
            )
        await self.rig.commands.send(
            {
                "operation": QueueOperation.ENABLE,
                "queue": queue,
                "size": size,
                "interrupt": int(vector != 0xFFFF),
                "vector": vector & 0xFF,
                "pulled": int(index in self.rig.pulled),
                "event_idx": int(Feature.EVENT_IDX in self.features),
                "indirect": int(Feature.INDIRECT_DESC in self.features),
                "weight": self.weights.get(index, 0),
            }
        )
        return 0, 0

    async def reset_queue(self, index: int) -> None:
        """Stop a queue and wait until that is acknowledged."""
        queue = {"index": index, "function": self.function}
        self.rig.commands.put({"operation": QueueOperation.DISABLE, "queue": queue})
        done = await self.rig.done.recv()
        assert (done.index, done.function) == (index, self.function)


class Rig:
    """Everything around one engine.

    Parameters
    ----------
    dut
        The engine.
    pulled
        Indices of pulled queues.
    latency_ns
        Of host memory reads.
    stall
        Probability of a pause on any stream.
    strict
        Whether a stray access fails at once.
    bytes_per_ns
        Rate of answers; see ``HostPorts``.

    Members
    -------
    chains
        What the device has got and nobody has worked on yet, of pushed queues.
    faults
        Functions that were reported.
    suspects : set of int
        Functions that may be faulty; a fault of any other fails the test.
    """

    def __init__(
        self,
        dut,
        pulled=(0, 2, 4, 6),
        *,
        latency_ns: float = 600,
        stall: float = 0.0,
        strict: bool = True,
        bytes_per_ns: float | None = None,
        jitter: bool = False,
    ) -> None:
        self.dut = dut
        self.pulled = frozenset(pulled)
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.ports = HostPorts(
            dut,
            self.memory,
            latency_ns=latency_ns,
            rng=rng("latency") if jitter else None,
            bytes_per_ns=bytes_per_ns,
        )

        def pauses(name):
            return stalls(rng(name), stall) if stall else None

        self.ports.serve_read(
            "read", command_stalls=pauses("command"), answer_stalls=pauses("answer")
        )
        self.ports.serve_write("write", command_stalls=pauses("write"), data_stalls=pauses("data"))
        self.commands = StreamSource(dut, "commands", QueueCommand)
        self.done = StreamSink(dut, "commands_done", QueueId)
        self.notifications = StreamSource(dut, "notifications", Notification)
        self.fault_sink = StreamSink(dut, "faults", Fault)
        self.segments = StreamSink(dut, "segments", Segment, stalls=pauses("segments"))
        self.takes = StreamSource(dut, "take", Take)
        self.offers = StreamSink(dut, "offers", Offer, stalls=pauses("offers"))
        self.used = StreamSource(dut, "used", Used, stalls=pauses("used"))
        self.faults: list[int] = []
        self.suspects: set[int] = set()
        self.chains: deque[DeviceChain] = deque()
        self.arrived = Event()
        self._taking = Lock()
        cocotb.start_soon(self._collect())
        cocotb.start_soon(self._watch_faults())

    def wire(self, function: int, *features: Feature) -> Wire:
        """A function's doorbells and commands."""
        return Wire(self, function, frozenset(features))

    async def queue(self, wire: Wire, index: int, size: int, vector: int = 0xFFFF) -> SplitQueue:
        """A driver's queue, enabled."""
        queue = SplitQueue(wire, index, vector=vector, rng=rng("queue", wire.function, index))
        await queue.setup(size)
        return queue

    async def cycles(self, number: int) -> None:
        """Let some time go by."""
        await ClockCycles(self.dut.clk, number)

    async def _watch_faults(self) -> None:
        while True:
            self.faults.append((await self.fault_sink.recv()).function)
            assert self.faults[-1] in self.suspects, f"fault of function {self.faults[-1]}"

    async def _collect(self) -> None:
        """Put chains of pushed queues together."""
        while True:
            self.chains.append(await self._chain(self._segment))
            self.arrived.set()

    async def _segment(self):
        return await self.segments.recv()

    async def _offer(self):
        return (await self.offers.recv()).segment

    @staticmethod
    async def _chain(source, first=None) -> DeviceChain:
        segment = first if first is not None else await source()
        assert segment.first, "a chain begins with its first segment"
        queue = segment.queue
        chain = DeviceChain(queue.function, queue.index, segment.head, segment.total)
        while True:
            assert (segment.queue.function, segment.queue.index) == (chain.function, chain.queue)
            assert segment.head == chain.head
            chain.segments.append((segment.address, segment.length, bool(segment.writable)))
            if segment.last:
                return chain
            segment = await source()
            assert not segment.first, "chains are not mixed"

    async def take(self, function: int, queue: int) -> DeviceChain | None:
        """Ask for a chain of a pulled queue."""
        async with self._taking:
            self._operate(TakeOperation.CHAIN, function, queue)
            offer = await self.offers.recv()
            if offer.none:
                return None
            chain = await self._chain(self._offer, offer.segment)
            assert (chain.function, chain.queue) == (function, queue)
            return chain

    def commit(self, function: int, queue: int) -> None:
        """What was taken is the device's."""
        self._operate(TakeOperation.COMMIT, function, queue)

    def rollback(self, function: int, queue: int) -> None:
        """What was taken goes back."""
        self._operate(TakeOperation.ROLLBACK, function, queue)

    def _operate(self, operation: TakeOperation, function: int, queue: int) -> None:
        self.takes.put({"operation": operation, "queue": {"index": queue, "function": function}})

    def use(self, chain: DeviceChain, length: int = 0, more: bool = False) -> None:
        """Give a chain back."""
        self.used.put(
            {
                "queue": {"index": chain.queue, "function": chain.function},
                "head": chain.head,
                "length": length,
                "more": int(more),
            }
        )

    def read(self, chain: DeviceChain) -> bytes:
        """What a chain's device-readable segments hold; ``total`` must say how much."""
        content = b""
        for address, length, writable in chain.segments:
            if not writable:
                part = self.memory.device_read(address, length)
                assert part is not None
                content += part
        if chain.queue not in self.pulled:
            assert chain.total == min(len(content), 0x1FFFF), "total"
        return content

    def fill(self, chain: DeviceChain, content: bytes) -> int:
        """Write into a chain's device-writable segments, as far as there is room."""
        at = 0
        for address, length, writable in chain.segments:
            if writable and at < len(content):
                part = content[at : at + length]
                assert self.memory.device_write(address, part)
                at += len(part)
        return at

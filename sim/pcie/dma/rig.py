"""What stands around the transaction layer in its bench: engines' ports and host memory."""

from collections import deque
from dataclasses import dataclass
from random import Random

import cocotb
from amaranth.lib import data
from cocotb.triggers import Event
from cocotb.utils import get_sim_time
from cocotbext.axi.address_space import MemoryRegion

from niter.interface import BEAT_BYTES, ReadBeat, ReadCommand, WriteCommand, WriteKind
from sim.models.streams import (
    Packet,
    PacketMonitor,
    PacketSource,
    Stalls,
    StreamMonitor,
    StreamSink,
    StreamSource,
)

__all__ = ["Answer", "Memory", "Moments", "Reader", "Writer"]

#: Byte on either side of each buffer, in which no write may leave a trace.
GUARD = 0xEE
GUARD_BYTES = 256

_BEAT = data.Layout.cast(ReadBeat)["packet"].shape.as_shape()


@dataclass(frozen=True)
class Answer:
    """What a read returned."""

    data: bytes
    error: bool
    context: int


class Memory:
    """Two regions of host memory, below and above 4 GiB, from which buffers are cut."""

    LOW, HIGH, SIZE = 0x9000_0000, 0x12_3400_0000, 0x40_0000

    def __init__(self, rc, rng: Random) -> None:
        self._rng = rng
        self._regions = {}
        self._next = {}
        self._buffers: list[tuple[int, bytes]] = []
        for base in (self.LOW, self.HIGH):
            region = MemoryRegion(self.SIZE)
            rc.mem_address_space.register_region(region, base)
            self._regions[base] = region
            self._next[base] = 0

    def _find(self, address: int) -> tuple[MemoryRegion, int]:
        base = self.HIGH if address >= self.HIGH else self.LOW
        return self._regions[base], address - base

    def put(self, address: int, content: bytes) -> None:
        """Overwrite what stands there."""
        region, at = self._find(address)
        region.mem[at : at + len(content)] = content

    def get(self, address: int, length: int) -> bytes:
        """What stands there."""
        region, at = self._find(address)
        return bytes(region.mem[at : at + length])

    def buffer(self, length: int, *, align: int = 1, high: bool | None = None) -> int:
        """Address of ``length`` new bytes between guards, anywhere in a page."""
        base = self.HIGH if (self._rng.random() < 0.5 if high is None else high) else self.LOW
        at = self._next[base] + GUARD_BYTES + self._rng.randrange(4096)
        at = -(-at // align) * align
        self._next[base] = at + length + GUARD_BYTES
        assert self._next[base] <= self.SIZE, "the bench has used up its memory"
        self.put(base + at - GUARD_BYTES, bytes([GUARD]) * (length + 2 * GUARD_BYTES))
        return base + at

    def filled(self, length: int, **options) -> tuple[int, bytes]:
        """A buffer of random bytes, and these."""
        address, content = self.buffer(length, **options), self._rng.randbytes(length)
        self.put(address, content)
        return address, content

    def check_guards(self, address: int, length: int) -> None:
        """Assert that nothing was written beside a buffer."""
        guard = bytes([GUARD]) * GUARD_BYTES
        assert self.get(address - GUARD_BYTES, GUARD_BYTES) == guard, "written before a buffer"
        assert self.get(address + length, GUARD_BYTES) == guard, "written behind a buffer"


class _AnswerSink(StreamSink):
    """Gathers beats to answers, and asserts the rules of packets."""

    def __init__(self, dut, name: str, stalls: Stalls | None) -> None:
        self._gathered = b""
        super().__init__(dut, name, ReadBeat, stalls=stalls)

    def _accept(self, bits: int) -> None:
        payload = self._codec.decode(bits)
        beat = payload.packet
        self._gathered += int(beat.data).to_bytes(BEAT_BYTES, "little")[: BEAT_BYTES - beat.empty]
        if beat.last:
            self._push(Answer(self._gathered, bool(beat.error), payload.context))
            self._gathered = b""
        else:
            self._check(not beat.empty and not beat.error, "empty or error before last")


class Moments(StreamMonitor):
    """When the transfers of a stream took place, in nanoseconds."""

    def __init__(self, dut, name: str, shape) -> None:
        self.times_ns: list[float] = []
        super().__init__(dut, name, shape)

    def _accept(self, bits: int) -> None:
        self.times_ns.append(get_sim_time("ns"))


class Reader:
    """An engine's end of a read port."""

    def __init__(self, dut, port: int, stalls: Stalls | None = None) -> None:
        self.commands = StreamSource(dut, f"read__{port}__command", ReadCommand)
        self.answers = _AnswerSink(dut, f"read__{port}__answer", stalls)
        self._context = 0
        self._expected: deque[int] = deque()

    def issue(self, address: int, length: int, function: int = 0) -> None:
        """Queue a command."""
        self._context = (self._context + 0x1357) & 0xFFFF
        self._expected.append(self._context)
        self.commands.put(
            {
                "address": address,
                "length": length,
                "function": function,
                "context": self._context,
            }
        )

    async def answer(self) -> Answer:
        """The answer to the oldest command."""
        answer = await self.answers.recv()
        assert answer.context == self._expected.popleft(), "an answer to another command"
        return answer

    async def read(self, address: int, length: int, function: int = 0) -> Answer:
        """One command, to its answer."""
        self.issue(address, length, function)
        return await self.answer()


@dataclass
class Accepted:
    """A write as the card has accepted it."""

    time_ns: float
    address: int
    length: int
    function: int


class Writer:
    """An engine's end of a write port."""

    def __init__(
        self,
        dut,
        port: int,
        command_stalls: Stalls | None = None,
        data_stalls: Stalls | None = None,
    ) -> None:
        name = f"write__{port}"
        self.commands = StreamSource(dut, f"{name}__command", WriteCommand, stalls=command_stalls)
        self.data = PacketSource(dut, f"{name}__data", stalls=data_stalls)
        self._seen_commands = StreamMonitor(dut, f"{name}__command", WriteCommand)
        self._seen_data = PacketMonitor(dut, f"{name}__data")
        #: Good memory writes, in order of acceptance.
        self.accepted: list[Accepted] = []
        self.change = Event()
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            command = await self._seen_commands.recv()
            packet = None
            if command.kind == WriteKind.MEMORY:
                packet = await self._seen_data.recv()
            if packet is not None and not packet.error:
                self.accepted.append(
                    Accepted(get_sim_time("ns"), command.address, command.length, command.function)
                )
            self.change.set()

    def write(self, address: int, content: bytes, function: int = 0, error: bool = False) -> None:
        """Queue a write."""
        self.commands.put(
            {
                "kind": WriteKind.MEMORY,
                "address": address,
                "length": len(content),
                "function": function,
            }
        )
        self.data.put(Packet(content, error))

    def interrupt(self, vector: int, function: int = 0) -> None:
        """Queue an interrupt."""
        self.commands.put({"kind": WriteKind.INTERRUPT, "vector": vector, "function": function})

    async def idle(self) -> None:
        """Wait until all that is queued has been accepted."""
        await self.commands.idle()
        await self.data.idle()

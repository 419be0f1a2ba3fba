"""What stands around the transaction layer in its bench: engines' ports and host memory."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import cocotb
from amaranth.lib import data
from cocotb.triggers import Event, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi.address_space import MemoryRegion
from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType

from niter.interface import (
    BEAT_BYTES,
    Bar,
    Function,
    Msix,
    ReadBeat,
    ReadCommand,
    RegisterReply,
    WriteCommand,
    WriteKind,
)
from niter.pcie.tl.layer import TransactionLayer
from sim.harness import Bench, rng
from sim.models.engine import RegisterEngine
from sim.models.root import Grants, Root
from sim.models.streams import (
    Packet,
    PacketMonitor,
    PacketSource,
    Stalls,
    StreamMonitor,
    StreamSink,
    StreamSource,
    stalls,
)

__all__ = [
    "CLOCK_NS",
    "FUNCTIONS",
    "PORTS",
    "READS",
    "TIMEOUT",
    "WRITES",
    "Answer",
    "Memory",
    "Moments",
    "Reader",
    "Setup",
    "Writer",
    "layer",
]

PORTS = 3
CLOCK_NS = 16
#: Cycles: completions are not made to wait for as long as that, but the lost ones are seen soon.
TIMEOUT = 6000
WRITES = {TlpType.MEM_WRITE, TlpType.MEM_WRITE_64}
READS = {TlpType.MEM_READ, TlpType.MEM_READ_64}

FUNCTIONS = [
    Function(
        vendor=0x1AF4,
        device=0x1041,
        subsystem_vendor=0x1AF4,
        subsystem=number,
        class_code=0x020000,
        revision=1,
        bars=(Bar(0, 0x4000),),
        msix=Msix(8, 0, 0x2000, 0x3000),
    )
    for number in range(3)
]

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
        #: Context and lane of the commands that wait.
        self._expected: deque[tuple[int, int]] = deque()

    def issue(self, address: int, length: int, function: int = 0, lane: int = 0) -> None:
        """Queue a command."""
        self._context = (self._context + 0x1357) & 0xFFFF
        self._expected.append((self._context, lane))
        self.commands.put(
            {
                "address": address,
                "length": length,
                "function": function,
                "context": self._context,
                "lane": lane,
            }
        )

    async def answer(self) -> Answer:
        """The answer to the oldest command."""
        answer = await self.answers.recv()
        context, lane = self._expected.popleft()
        assert answer.context == context, "an answer to another command"
        return replace(answer, data=answer.data[lane:])

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

    def write(
        self,
        address: int,
        content: bytes,
        function: int = 0,
        error: bool = False,
        lane: int = 0,
    ) -> None:
        """Queue a write."""
        self.commands.put(
            {
                "kind": WriteKind.MEMORY,
                "address": address,
                "length": len(content),
                "function": function,
                "lane": lane,
            }
        )
        self.data.put(Packet(bytes([GUARD]) * lane + content, error))

    def interrupt(self, vector: int, function: int = 0) -> None:
        """Queue an interrupt."""
        self.commands.put({"kind": WriteKind.INTERRUPT, "vector": vector, "function": function})

    async def idle(self) -> None:
        """Wait until all that is queued has been accepted."""
        await self.commands.idle()
        await self.data.idle()


class Tags(PacketMonitor):
    """Which tags are in use: none may be used again before its last completion or time-out."""

    def __init__(self, dut) -> None:
        self._open: dict[int, float] = {}
        super().__init__(dut, "link__rx")

    def open(self, tag: int) -> None:
        """A read request has left."""
        since = self._open.get(tag)
        expired = since is not None and get_sim_time("ns") - since >= TIMEOUT * CLOCK_NS
        assert since is None or expired, f"tag {tag} is still in use"
        self._open[tag] = get_sim_time("ns")

    def _push(self, item: Packet) -> None:
        if item.data[0] & 0x1F != 0x0A:
            return
        tlp = Tlp.unpack(bytearray(item.data))
        if tlp.status != CplStatus.SC or len(tlp.data) - tlp.lower_address % 4 >= tlp.byte_count:
            self._open.pop(tlp.tag, None)


def layer() -> TransactionLayer:
    """The design under test."""
    return TransactionLayer(
        functions=FUNCTIONS,
        engines=[0, 0, 0],
        read_ports=[1, 1, 2],
        write_ports=[1, 1, 2],
        generation=2,
        timeout=TIMEOUT,
    )


class Setup:
    """The design, an engine's ends of all ports, and the root complex.

    Parameters
    ----------
    dut
        The design.
    stalled
        Streams pause at random.
    grants
        Makes the credits that the card sees, when it is out of reset.
    options
        Of ``Root``.
    """

    def __init__(
        self, dut, *, stalled: bool = False, grants: Callable[[], Grants] | None = None, **options
    ) -> None:
        def pauses(*names):
            return stalls(rng(*names), 0.2) if stalled else None

        self.dut = dut
        self.rng = rng("test")
        self.engine = RegisterEngine(dut, "engine__0", rng("engine"), latency=5)
        self.root = Root(
            dut,
            tx_stalls=(lambda: stalls(rng("tx"), 0.2)) if stalled else None,
            rx_stalls=pauses("rx"),
            grants=None if grants is None else grants(),
            **{"generation": 2, "latency_ns": 300, **options},
        )
        self.rc = self.root.rc
        self.memory = Memory(self.rc, rng("memory"))
        self.readers = [Reader(dut, n, pauses("answer", n)) for n in range(PORTS)]
        self.writers = [
            Writer(dut, n, pauses("command", n), pauses("data", n)) for n in range(PORTS)
        ]
        #: When registers were answered.
        self.replies = Moments(dut, "engine__0__reply", RegisterReply)
        #: Microseconds without a TLP after which the card has nothing left to send.
        self.quiet_us = 4
        #: TLPs that the card has sent, in order.
        self.sent: list[Tlp] = []
        self._tags = Tags(dut)
        self.root.link.observer = self._observe

    @classmethod
    async def make(cls, bench: Bench, dut, *, request: int = 512, **options) -> "Setup":
        """Reset the design, and enumerate and enable its functions.

        ``request`` is Max_Read_Request_Size; other options are those of the class and of
        ``Root``.
        """
        await bench.start(dut)
        self = cls(dut, **options)
        dut.released.value = 0xFF
        self.rc.max_read_request_size = request.bit_length() - 8
        self.root.link.max_read_request = request
        self.devices = await self.root.enumerate()
        for device in self.devices:
            await device.enable_device()
            await device.set_master()
        self.sent.clear()
        return self

    def _observe(self, tlp: Tlp) -> None:
        self.sent.append(tlp)
        if tlp.fmt_type in READS:
            self._tags.open(tlp.tag)

    async def settle(self) -> None:
        """Wait until the card has sent nothing for a while, and all of it has arrived."""
        before = -1
        while before != len(self.sent):
            before = len(self.sent)
            await Timer(self.quiet_us, "us")

    def tlps(self, types: set[TlpType], function: int | None = None) -> list[Tlp]:
        """What the card has sent, of some types and a function."""
        return [
            tlp
            for tlp in self.sent
            if tlp.fmt_type in types and function in (None, tlp.requester_id.function)
        ]

"""Sources, sinks and monitors for the streams of a design under cocotb.

All of them sleep on an edge of ``valid`` or ``ready`` when there is nothing to do, and act
on clock edges only while a transfer is possible: an idle stream costs no Python.

A source or a sink is bound by the name of the port: ``PacketSource(dut, "i")`` drives
``i__payload`` and ``i__valid`` and looks at ``i__ready``. Every monitor, and so every
sink, asserts the rules of its stream: those of the stream contract, and for packets and
frames those of ``niter.interface.packet`` and ``niter.interface.frame``. A broken rule
fails the test.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import cocotb
from amaranth.hdl import Const, ShapeCastable, ShapeLike
from amaranth.lib import data
from cocotb.triggers import Event, RisingEdge
from cocotb.utils import get_sim_time

from niter.interface import BEAT_BYTES, MAX_PACKET_BYTES, Beat, FrameBeat, FrameMeta

__all__ = [
    "Frame",
    "FrameMonitor",
    "FrameSink",
    "FrameSource",
    "Packet",
    "PacketMonitor",
    "PacketSink",
    "PacketSource",
    "StreamMonitor",
    "StreamSink",
    "StreamSource",
    "place_of",
    "stalls",
]


#: Lengths of pauses, in cycles.
Stalls = Iterator[int]


def stalls(rng: Random, probability: float = 0.5, longest: int = 8) -> Stalls:
    """Endless random lengths of pauses, in cycles.

    Parameters
    ----------
    rng
        Where they come from; see ``sim.harness.rng``.
    probability
        Of a pause before any one transfer.
    longest
        Cycles; short pauses are far more likely.
    """
    while True:
        yield int(longest ** rng.random()) if rng.random() < probability else 0


@dataclass(frozen=True)
class Packet:
    """Bytes that travelled as one packet, and whether they are to be discarded."""

    data: bytes
    error: bool = False


@dataclass(frozen=True)
class Frame(Packet):
    """A packet with what the card knows of it.

    Parameters
    ----------
    meta
        For a source: values for members of ``FrameMeta``, where ``length`` may be left out,
        or a constant of it. A sink gives a constant: ``frame.meta.headers.l4_offset``.
    """

    meta: Mapping[str, Any] | data.Const | None = None


class _Handshake:
    """A one-bit signal that is written only when it changes: every write costs microseconds."""

    def __init__(self, handle) -> None:
        self.handle = handle
        self._level: int | None = None

    def drive(self, level: int) -> None:
        if level != self._level:
            self._level = level
            self.handle.value = level


class _Port:
    """The three signals of a stream port, and its clock."""

    def __init__(self, dut, name: str, clock) -> None:
        self.name = name
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.drive_valid = _Handshake(self.valid).drive
        self.drive_ready = _Handshake(self.ready).drive
        self.edge = RisingEdge(clock if clock is not None else dut.clk)
        self.valid_rises = RisingEdge(self.valid)
        self.ready_rises = RisingEdge(self.ready)


class _Codec:
    """Between integers on the wires and values of a shape."""

    def __init__(self, shape: ShapeLike) -> None:
        self._shape = shape if isinstance(shape, ShapeCastable) else None

    def encode(self, value: Any) -> int:
        if self._shape is None or isinstance(value, int):
            return int(value)
        return Const.cast(self._shape.const(value)).value

    def decode(self, bits: int) -> Any:
        return bits if self._shape is None else self._shape.from_bits(bits)


class StreamSource:
    """Drives a stream's input port.

    Parameters
    ----------
    dut, name
        Where the port is.
    shape
        Of its payload.
    stalls
        Pause before each transfer, in cycles; see ``stalls``. None: never.
    clock
        If not ``dut.clk``.
    """

    def __init__(
        self, dut, name: str, shape: ShapeLike, *, stalls: Stalls | None = None, clock=None
    ) -> None:
        self._port = _Port(dut, name, clock)
        self._codec = _Codec(shape)
        self._stalls = stalls
        self._queue: deque[int] = deque()
        self._filled = Event()
        self._drained = Event()
        self._drained.set()
        self._port.drive_valid(0)
        cocotb.start_soon(self._run())

    def put(self, value: Any) -> None:
        """Queue a transfer: an integer, or what the shape's ``const`` takes."""
        self._put(self._codec.encode(value))

    async def send(self, value: Any) -> None:
        """Queue a transfer and wait until all that is queued has been accepted."""
        self.put(value)
        await self.idle()

    async def idle(self) -> None:
        """Wait until all that is queued has been accepted."""
        await self._drained.wait()

    @property
    def waiting(self) -> int:
        """Transfers that are queued and not yet on offer."""
        return len(self._queue)

    def clear(self) -> None:
        """Forget what is queued; what is on offer already stays so."""
        self._queue.clear()

    def _put(self, bits: int) -> None:
        self._queue.append(bits)
        self._drained.clear()
        self._filled.set()

    async def _run(self) -> None:
        port, queue = self._port, self._queue
        await port.edge
        while True:
            if not queue:
                port.drive_valid(0)
                self._drained.set()
                self._filled.clear()
                await self._filled.wait()
                await port.edge
                continue
            if self._stalls is not None and (pause := next(self._stalls)):
                port.drive_valid(0)
                for _ in range(pause):
                    await port.edge
                if not queue:
                    continue
            port.payload.value = queue.popleft()
            port.drive_valid(1)
            await port.edge
            while not port.ready.value:
                await port.ready_rises
                await port.edge


class StreamMonitor:
    """Watches a stream and asserts its contract: ``valid`` and ``payload`` hold until ``ready``.

    Parameters
    ----------
    dut, name
        Where the port is.
    shape
        Of its payload.
    clock
        If not ``dut.clk``.
    """

    def __init__(self, dut, name: str, shape: ShapeLike, *, clock=None) -> None:
        self._port = _Port(dut, name, clock)
        self._codec = _Codec(shape)
        self._queue: deque[Any] = deque()
        self._filled = Event()
        #: Transfers so far.
        self.count = 0
        #: Time of the last transfer, in nanoseconds.
        self.time_ns = 0.0
        cocotb.start_soon(self._run())

    async def recv(self) -> Any:
        """Wait for the next item and take it."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()

    def take(self) -> list[Any]:
        """Take all that has come."""
        items = list(self._queue)
        self._queue.clear()
        return items

    @property
    def waiting(self) -> int:
        """Items that nobody has taken yet."""
        return len(self._queue)

    def _push(self, item: Any) -> None:
        self._queue.append(item)
        self._filled.set()

    def _accept(self, bits: int) -> None:
        """Take note of a transfer."""
        self._push(self._codec.decode(bits))

    def _check(self, rule: bool, broken: str) -> None:
        if not rule:
            raise AssertionError(f"{self._port.name} at {get_sim_time('ns'):g} ns: {broken}")

    def _transfer(self, bits: int) -> None:
        self.count += 1
        self.time_ns = get_sim_time("ns")
        self._accept(bits)

    async def _run(self) -> None:
        port = self._port
        held = None
        while True:
            await port.edge
            if not port.valid.value:
                self._check(held is None, "valid fell before ready")
                await port.valid_rises
                continue
            bits = int(port.payload.value)
            self._check(held in (None, bits), "payload changed before ready")
            if port.ready.value:
                held = None
                self._transfer(bits)
            else:
                held = bits


class StreamSink(StreamMonitor):
    """Takes what a stream's output port offers, and asserts its contract.

    Parameters
    ----------
    dut, name, shape, clock
        As for a monitor.
    stalls
        Cycles with ``ready`` low before each transfer; an even number counts from where
        ``valid`` is seen. None: always ready.
    """

    def __init__(
        self, dut, name: str, shape: ShapeLike, *, stalls: Stalls | None = None, clock=None
    ) -> None:
        self._stalls = stalls
        self._open = Event()
        self._open.set()
        super().__init__(dut, name, shape, clock=clock)
        self._port.drive_ready(0)

    def pause(self) -> None:
        """Take one more transfer at most, until ``resume``."""
        self._open.clear()

    def resume(self) -> None:
        """Go on taking."""
        self._open.set()

    async def _run(self) -> None:
        port = self._port
        await port.edge
        while True:
            if not self._open.is_set():
                port.drive_ready(0)
                await self._open.wait()
                await port.edge
            held = None
            if self._stalls is not None and (pause := next(self._stalls)):
                port.drive_ready(0)
                held = await self._hold(pause)
            port.drive_ready(1)
            await port.edge
            while not port.valid.value:
                self._check(held is None, "valid fell before ready")
                await port.valid_rises
                await port.edge
            bits = int(port.payload.value)
            self._check(held in (None, bits), "payload changed before ready")
            self._transfer(bits)

    async def _hold(self, cycles: int) -> int | None:
        """Keep ``ready`` low; returns what was on offer in the last of the cycles."""
        port = self._port
        held = None
        if cycles % 2 == 0:
            await port.edge
            while not port.valid.value:
                await port.valid_rises
                await port.edge
            held = int(port.payload.value)
        for _ in range(cycles):
            await port.edge
            bits = int(port.payload.value) if port.valid.value else None
            self._check(held in (None, bits), "valid or payload changed before ready")
            held = bits
        return held


def place_of(shape: ShapeLike, name: str) -> tuple[int, int]:
    """Offset and mask of a member of a layout, for who has no time for its constants."""
    member = data.Layout.cast(shape)[name]
    return member.offset, (1 << member.width) - 1


_DATA, _DATA_MASK = place_of(Beat, "data")
_EMPTY, _EMPTY_MASK = place_of(Beat, "empty")
_LAST, _ = place_of(Beat, "last")
_ERROR, _ = place_of(Beat, "error")
_BEAT_BITS = data.Layout.cast(Beat).size
_BEAT_MASK = (1 << _BEAT_BITS) - 1
_META = data.Layout.cast(FrameBeat)["meta"].offset
assert data.Layout.cast(FrameBeat)["packet"].offset == 0


def _beats(packet: Packet) -> Iterator[int]:
    """The beats of a packet."""
    end = len(packet.data)
    if not 0 < end <= MAX_PACKET_BYTES:
        raise ValueError(f"A packet has 1 to {MAX_PACKET_BYTES} bytes, not {end}")
    for at in range(0, end, BEAT_BYTES):
        part = packet.data[at : at + BEAT_BYTES]
        beat = int.from_bytes(part, "little") << _DATA
        if at + BEAT_BYTES >= end:
            beat |= (BEAT_BYTES - len(part)) << _EMPTY | 1 << _LAST | packet.error << _ERROR
        yield beat


class PacketSource(StreamSource):
    """Drives a packet stream; stalls may fall between any two beats.

    Parameters
    ----------
    dut, name, stalls, clock
        As for ``StreamSource``.
    """

    def __init__(self, dut, name: str, *, stalls: Stalls | None = None, clock=None) -> None:
        super().__init__(dut, name, Beat, stalls=stalls, clock=clock)

    def put(self, value: Packet | bytes) -> None:
        """Queue a packet."""
        for beat in _beats(value if isinstance(value, Packet) else Packet(bytes(value))):
            self._put(beat)


class FrameSource(StreamSource):
    """Drives a frame stream; stalls may fall between any two beats.

    Parameters
    ----------
    dut, name, stalls, clock
        As for ``StreamSource``.
    """

    def __init__(self, dut, name: str, *, stalls: Stalls | None = None, clock=None) -> None:
        super().__init__(dut, name, FrameBeat, stalls=stalls, clock=clock)

    def put(self, value: Frame | bytes) -> None:
        """Queue a frame."""
        frame = value if isinstance(value, Frame) else Frame(bytes(value))
        meta = frame.meta
        if not isinstance(meta, data.Const):
            meta = FrameMeta.const({"length": len(frame.data), **(meta or {})})
        bits = meta.as_bits() << _META
        for beat in _beats(frame):
            self._put(bits | beat)


class _PacketRules(StreamMonitor):
    """Puts beats together and asserts the rules of the packet stream."""

    def __init__(self, *args, **named) -> None:
        self._bytes = bytearray()
        super().__init__(*args, **named)

    def _add(self, beat: int) -> Packet | None:
        """One more beat; the packet when it is the last."""
        last, error = beat >> _LAST & 1, beat >> _ERROR & 1
        empty = beat >> _EMPTY & _EMPTY_MASK
        self._check(last or not empty, "a beat before the last has empty lanes")
        self._check(last or not error, "error before the last beat")
        lanes = (beat >> _DATA & _DATA_MASK).to_bytes(BEAT_BYTES, "little")
        self._bytes += lanes[: BEAT_BYTES - empty]
        self._check(
            len(self._bytes) <= MAX_PACKET_BYTES, f"a packet beyond {MAX_PACKET_BYTES} bytes"
        )
        if not last:
            return None
        packet = Packet(bytes(self._bytes), bool(error))
        self._bytes.clear()
        return packet


class _PacketAssembly(_PacketRules):
    def _accept(self, bits: int) -> None:
        if (packet := self._add(bits)) is not None:
            self._push(packet)


class _FrameAssembly(_PacketRules):
    """Also asserts the rules of the frame stream."""

    _meta: int | None = None

    def _accept(self, bits: int) -> None:
        meta = bits >> _META
        self._check(self._meta in (None, meta), "meta changed within a frame")
        self._meta = meta
        if (packet := self._add(bits & _BEAT_MASK)) is None:
            return
        self._meta = None
        const = FrameMeta.from_bits(meta)
        if not packet.error:
            self._check(
                const.length == len(packet.data),
                f"meta.length is {const.length}, the frame has {len(packet.data)} bytes",
            )
        self._push(Frame(packet.data, packet.error, const))


class PacketMonitor(_PacketAssembly):
    """Watches a packet stream and asserts its rules; gives ``Packet`` objects.

    Parameters
    ----------
    dut, name, clock
        As for ``StreamMonitor``.
    """

    def __init__(self, dut, name: str, *, clock=None) -> None:
        super().__init__(dut, name, Beat, clock=clock)


class FrameMonitor(_FrameAssembly):
    """Watches a frame stream and asserts its rules; gives ``Frame`` objects.

    Parameters
    ----------
    dut, name, clock
        As for ``StreamMonitor``.
    """

    def __init__(self, dut, name: str, *, clock=None) -> None:
        super().__init__(dut, name, FrameBeat, clock=clock)


class PacketSink(_PacketAssembly, StreamSink):
    """Takes packets and asserts the rules of their stream; gives ``Packet`` objects.

    Parameters
    ----------
    dut, name, stalls, clock
        As for ``StreamSink``.
    """

    def __init__(self, dut, name: str, *, stalls: Stalls | None = None, clock=None) -> None:
        super().__init__(dut, name, Beat, stalls=stalls, clock=clock)


class FrameSink(_FrameAssembly, StreamSink):
    """Takes frames and asserts the rules of their stream; gives ``Frame`` objects.

    Parameters
    ----------
    dut, name, stalls, clock
        As for ``StreamSink``.
    """

    def __init__(self, dut, name: str, *, stalls: Stalls | None = None, clock=None) -> None:
        super().__init__(dut, name, FrameBeat, stalls=stalls, clock=clock)

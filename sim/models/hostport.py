"""Servers behind an engine's host memory ports, in place of the PCIe room.

They let a bench run an engine without a transaction layer: commands are checked against
the rules of ``niter.interface.memory`` and served from a ``HostMemory`` after a latency and
at a rate. Writes and interrupts take effect in the order in which they are complete,
across all ports, as the contract has it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import cocotb
from amaranth.hdl import ShapeCastable
from amaranth.lib import data
from cocotb.triggers import Event, Timer
from cocotb.utils import get_sim_time

from niter.interface import BEAT_BYTES, MAX_TRANSFER_BYTES, ReadBeat, ReadCommand, WriteCommand
from sim.models.memory import HostMemory
from sim.models.streams import PacketSink, StreamSink, StreamSource

__all__ = ["HostPorts", "Interrupts"]


class _Fields:
    """Takes integers on the wires apart and puts them together, by a layout's own offsets."""

    def __init__(self, shape: ShapeCastable) -> None:
        layout = data.Layout.cast(shape)
        self.width = layout.size
        self._fields = {name: (field.offset, (1 << field.width) - 1) for name, field in layout}

    def split(self, bits: int) -> dict[str, int]:
        return {name: bits >> at & mask for name, (at, mask) in self._fields.items()}

    def at(self, name: str) -> int:
        return self._fields[name][0]


_READ, _WRITE = _Fields(ReadCommand), _Fields(WriteCommand)
_ANSWER, _BEAT = _Fields(ReadBeat), _Fields(data.Layout.cast(ReadBeat)["packet"].shape)
_CONTEXT = _ANSWER.at("context")
_EMPTY, _LAST, _ERROR = (_BEAT.at(name) for name in ("empty", "last", "error"))


class Interrupts:
    """MSI-X messages that the card has sent, by function and vector."""

    def __init__(self) -> None:
        #: How often each (function, vector) was raised.
        self.counts: dict[tuple[int, int], int] = {}
        self._events: dict[tuple[int, int], Event] = {}

    def count(self, function: int, vector: int) -> int:
        """How often it was raised."""
        return self.counts.get((function, vector), 0)

    def event(self, function: int, vector: int) -> Event:
        """Set with each interrupt; who waits clears it."""
        return self._events.setdefault((function, vector), Event())

    def raise_(self, function: int, vector: int) -> None:
        """An interrupt has come."""
        self.counts[function, vector] = self.count(function, vector) + 1
        self.event(function, vector).set()


class HostPorts:
    """Serves the host memory ports of one device under test.

    Parameters
    ----------
    dut
        The device under test.
    memory
        What stands behind the ports.
    latency_ns
        From a read command to the first beat of its answer. Memory is looked at half way.
    bytes_per_ns
        Of answers, all read ports together. None: a beat a cycle each.
    rng
        Draws additional latency, up to as much again, for each read. None: none.

    Members
    -------
    interrupts : Interrupts
        What came out of the write ports.
    disabled : set of int
        Functions without bus mastering: their reads are answered with an error, their
        writes and interrupts are dropped.
    read_bytes, write_bytes, reads, writes
        What was moved.
    """

    def __init__(
        self,
        dut,
        memory: HostMemory,
        *,
        latency_ns: float = 600,
        bytes_per_ns: float | None = None,
        rng: Random | None = None,
    ) -> None:
        self.memory = memory
        self.interrupts = Interrupts()
        self.disabled: set[int] = set()
        self.read_bytes = self.write_bytes = self.reads = self.writes = 0
        self._dut = dut
        self._latency = latency_ns
        self._rate = bytes_per_ns
        self._rng = rng
        self._link_free = 0.0

    def serve_all(self, component: Any, pauses: Callable[[str], Iterator[int] | None]) -> None:
        """Serve the arrays ``read`` and ``write`` of a component's ports.

        Parameters
        ----------
        component
            What the device under test was made from.
        pauses
            The pauses of a stream, by a name for its chance.
        """
        for number in range(len(component.read)):
            self.serve_read(f"read__{number}", command_stalls=pauses(f"read {number}"))
        for number in range(len(component.write)):
            self.serve_write(
                f"write__{number}",
                command_stalls=pauses(f"write {number}"),
                data_stalls=pauses(f"data {number}"),
            )

    def serve_read(
        self,
        name: str,
        *,
        command_stalls: Iterator[int] | None = None,
        answer_stalls: Iterator[int] | None = None,
    ) -> None:
        """Serve the ``HostRead`` port ``name``."""
        commands = StreamSink(self._dut, f"{name}__command", _READ.width, stalls=command_stalls)
        answers = StreamSource(self._dut, f"{name}__answer", _ANSWER.width, stalls=answer_stalls)
        cocotb.start_soon(self._reads(name, commands, answers))

    def serve_write(
        self,
        name: str,
        *,
        command_stalls: Iterator[int] | None = None,
        data_stalls: Iterator[int] | None = None,
    ) -> None:
        """Serve the ``HostWrite`` port ``name``."""
        commands = StreamSink(self._dut, f"{name}__command", _WRITE.width, stalls=command_stalls)
        packets = PacketSink(self._dut, f"{name}__data", stalls=data_stalls)
        cocotb.start_soon(self._writes(name, commands, packets))

    async def _reads(self, name: str, commands: StreamSink, answers: StreamSource) -> None:
        """Take commands as they come, and answer each after its latency, in order."""
        waiting: deque[tuple[float, dict[str, int]]] = deque()
        arrived = Event()
        cocotb.start_soon(self._answers(waiting, arrived, answers))
        while True:
            command = _READ.split(await commands.recv())
            assert 1 <= command["length"] <= MAX_TRANSFER_BYTES, f"{name}: {command}"
            latency = self._latency
            if self._rng is not None:
                latency += self._rng.uniform(0, self._latency)
            waiting.append((get_sim_time("ns") + latency, command))
            arrived.set()

    async def _answers(self, waiting: deque, arrived: Event, answers: StreamSource) -> None:
        while True:
            while not waiting:
                arrived.clear()
                await arrived.wait()
            due, command = waiting.popleft()
            await self._until(due - self._latency / 2)
            content = self._load(command)
            if self._rate is not None and content:
                due = max(due, self._link_free)
                self._link_free = due + len(content) / self._rate
            await self._until(due)
            for beat in _answer(content, command["context"], command["lane"]):
                answers.put(beat)

    def _load(self, command: dict[str, int]) -> bytes | None:
        """The content of an answer; None when it is an error."""
        self.reads += 1
        if command["function"] in self.disabled:
            return None
        content = self.memory.device_read(command["address"], command["length"])
        self.read_bytes += len(content or b"")
        return content

    async def _writes(self, name: str, commands: StreamSink, packets: PacketSink) -> None:
        while True:
            command = _WRITE.split(await commands.recv())
            live = command["function"] not in self.disabled
            if command["kind"]:
                if live:
                    self.interrupts.raise_(command["function"], command["vector"])
                continue
            assert command["length"], f"{name}: {command}"
            assert command["lane"] + command["length"] <= MAX_TRANSFER_BYTES, f"{name}: {command}"
            packet = await packets.recv()
            if packet.error:
                continue
            content = packet.data[command["lane"] :]
            assert len(content) == command["length"], (
                f"{name}: {len(content)} bytes for a command of {command['length']}"
            )
            if live:
                self.writes += 1
                self.write_bytes += len(content)
                self.memory.device_write(command["address"], content)

    @staticmethod
    async def _until(time_ns: float) -> None:
        if (wait := time_ns - get_sim_time("ns")) >= 1:
            await Timer(round(wait), "ns")


def _answer(content: bytes | None, context: int, lane: int) -> Iterator[int]:
    """The beats of an answer; one that failed has one beat, with ``error``."""
    side = context << _CONTEXT
    if content is None:
        yield side | 1 << _LAST | 1 << _ERROR
        return
    content = bytes([0xA5]) * lane + content
    for at in range(0, len(content), BEAT_BYTES):
        part = content[at : at + BEAT_BYTES]
        beat = int.from_bytes(part, "little") | side
        if at + BEAT_BYTES >= len(content):
            beat |= (BEAT_BYTES - len(part)) << _EMPTY | 1 << _LAST
        yield beat

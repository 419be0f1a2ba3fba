"""A front end for benches: host memory behind a block port, and what the contract forbids."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import cocotb
from cocotb.triggers import Event

from niter.interface import (
    SECTOR_BYTES,
    BlockCompletion,
    BlockOpcode,
    BlockRequest,
    BlockSpan,
    BlockStatus,
)
from sim.models.streams import Packet, PacketSink, PacketSource, Stalls, StreamSink, StreamSource

__all__ = ["BlockHost", "Command"]

_OPCODE = BlockRequest.as_shape()["opcode"].offset


@dataclass
class Command:
    """A request, the host's memory for it, and how it ended."""

    opcode: BlockOpcode | int
    lba: int = 0
    sectors: int = 0
    volume: int = 0
    fua: bool = False
    memory: bytearray = field(default_factory=bytearray)
    #: The host's memory cannot be read.
    broken: bool = False
    tag: int | None = None
    status: BlockStatus | None = None
    aborted: bool = False
    #: Sectors that were pushed, and that were pushed with an error.
    pushed: set[int] = field(default_factory=set)
    spoiled: bool = False
    pulls: int = 0
    done: Event = field(default_factory=Event)

    def __post_init__(self):
        if not self.memory:
            self.memory = bytearray(self.sectors * SECTOR_BYTES)


class BlockHost:
    """The front end's side of a block port.

    It answers pulls and takes pushes, and asserts that each is of a request that has not ended,
    within it, and that no sector is pushed twice.

    Parameters
    ----------
    dut, name
        Where the port is.
    rng
        Order in which tags are used.
    tags
        How many it uses.
    pauses
        Makes ``Stalls`` for a stream of that name; by default there are none.
    """

    def __init__(
        self,
        dut,
        name: str,
        rng: Random,
        *,
        tags: int = 256,
        pauses: Callable[[str], Stalls | None] = lambda name: None,
    ):
        self._requests = StreamSource(
            dut, f"{name}__request", BlockRequest, stalls=pauses("request")
        )
        self._aborts = StreamSource(dut, f"{name}__abort", 8, stalls=pauses("abort"))
        self._pull_data = PacketSource(dut, f"{name}__pull_data", stalls=pauses("pull_data"))
        self._completions = StreamSink(
            dut, f"{name}__completion", BlockCompletion, stalls=pauses("completion")
        )
        self._aborted = StreamSink(dut, f"{name}__aborted", 8, stalls=pauses("aborted"))
        self._pulls = StreamSink(dut, f"{name}__pull", BlockSpan, stalls=pauses("pull"))
        self._pushes = StreamSink(dut, f"{name}__push", BlockSpan, stalls=pauses("push"))
        self._push_data = PacketSink(dut, f"{name}__push_data", stalls=pauses("push_data"))
        self._free = list(range(tags))
        rng.shuffle(self._free)
        self._returned = Event()
        #: Requests that have not ended, by tag.
        self.open: dict[int, Command] = {}
        self._aborting: dict[int, Command] = {}
        #: Sectors that were pulled and pushed.
        self.pulled = self.pushed = 0
        for process in (self._complete, self._acknowledge, self._pull, self._push):
            cocotb.start_soon(process())

    async def issue(self, command: Command) -> Command:
        """Ask for it, as soon as a tag is free; ``done`` tells when it has ended."""
        while not self._free:
            self._returned.clear()
            await self._returned.wait()
        tag = command.tag = self._free.pop(0)
        self.open[tag] = command
        fields = {name: getattr(command, name) for name in ("volume", "fua", "lba", "sectors")}
        request = BlockRequest.const({"tag": tag, **fields}).as_bits()
        # Also opcodes that do not exist.
        opcode = getattr(command.opcode, "value", command.opcode)
        self._requests.put(request | opcode << _OPCODE)
        return command

    async def run(self, command: Command) -> Command:
        """Ask for it and wait for its end."""
        await self.issue(command)
        await command.done.wait()
        return command

    async def abort(self, command: Command) -> None:
        """Take it back; returns with the acknowledgement."""
        tag = command.tag
        await self._requests.idle()
        self._aborting[tag] = command
        acknowledged = command.acknowledged = Event()
        self._aborts.put(tag)
        await acknowledged.wait()

    def _return(self, tag: int) -> None:
        self._free.append(tag)
        self._returned.set()

    async def _complete(self) -> None:
        while True:
            got = await self._completions.recv()
            assert got.tag in self.open, f"completion of tag {got.tag}, which is not in use"
            command = self.open.pop(got.tag)
            command.status = BlockStatus(got.status)
            if command.status == BlockStatus.OK and command.opcode == BlockOpcode.READ:
                assert len(command.pushed) == command.sectors, "completed before its data came"
                assert not command.spoiled
            if got.tag not in self._aborting:
                self._return(got.tag)
            command.done.set()

    async def _acknowledge(self) -> None:
        while True:
            tag = await self._aborted.recv()
            command = self._aborting.pop(tag)
            if self.open.pop(tag, None) is not None:
                command.aborted = True
                command.done.set()
            self._return(tag)
            command.acknowledged.set()

    def _find(self, span, opcode) -> Command:
        assert span.tag in self.open, f"data of tag {span.tag}, which is not in use"
        command = self.open[span.tag]
        assert command.opcode == opcode
        assert 1 <= span.sectors <= 16 and span.first + span.sectors <= command.sectors
        return command

    async def _pull(self) -> None:
        while True:
            span = await self._pulls.recv()
            command = self._find(span, BlockOpcode.WRITE)
            command.pulls += 1
            self.pulled += span.sectors
            at = span.first * SECTOR_BYTES
            data = bytes(command.memory[at : at + span.sectors * SECTOR_BYTES])
            if command.broken:
                data = data[: len(data) // 2]
            self._pull_data.put(Packet(data, error=command.broken))

    async def _push(self) -> None:
        while True:
            span = await self._pushes.recv()
            command = self._find(span, BlockOpcode.READ)
            sectors = set(range(span.first, span.first + span.sectors))
            assert not sectors & command.pushed, "a sector is pushed twice"
            packet = await self._push_data.recv()
            assert self.open.get(span.tag) is command, "it ended before its data was taken"
            assert len(packet.data) == span.sectors * SECTOR_BYTES
            command.pushed |= sectors
            command.spoiled |= packet.error
            self.pushed += span.sectors
            at = span.first * SECTOR_BYTES
            command.memory[at : at + len(packet.data)] = packet.data

"""Host memory behind a read or a write port, for pysim: a flat address space of bytes.

The models know only the contract of ``niter.interface.memory``. They are no part of what
they test: what a test expects is worked out from what it put into memory.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from niter.interface import BEAT_BYTES, MAX_TRANSFER_BYTES, WriteKind

__all__ = ["Read", "Space", "Write", "serve_reads", "serve_writes"]


class Space:
    """Bytes at 64-bit addresses; whatever was not put there may not be touched."""

    def __init__(self):
        self._bytes: dict[int, int] = {}

    def put(self, address: int, content: bytes) -> None:
        """Store ``content``."""
        self._bytes.update(enumerate(content, address))

    def get(self, address: int, length: int) -> bytes:
        """What stands there; an address that was never put is a failure."""
        return bytes(self._bytes[address + at] for at in range(length))


@dataclass
class Read:
    """A read command that was seen."""

    address: int
    length: int
    function: int


@dataclass
class Write:
    """A write command that was seen, and its data."""

    address: int
    data: bytes
    function: int


def _watch_offer(offered: list[Any], valid: int, ready: int, command: Any) -> None:
    """A command that is offered stays as it is until it is taken: it may be in work already."""
    if offered:
        assert valid and command == offered[0], "a command was withdrawn"
    offered[:] = [command] if valid and not ready else []


def serve_reads(
    bench: Any,
    port: Any,
    space: Space,
    *,
    latency: int = 30,
    stall: float = 0.0,
    refuse: Callable[[Read], bool] = lambda read: False,
    hold: Callable[[], bool] = lambda: False,
    at_once: bool = True,
) -> list[Read]:
    """Answer the reads of ``port`` after ``latency`` cycles; refused ones end in error.

    No answer begins while ``hold`` says so.

    Returns the list of the commands seen so far. ``answer`` must be taken ``at_once`` where the
    requester has promised to have room.
    """
    rng = bench.rng()
    seen: list[Read] = []
    pending: deque[tuple[int, Any, Read]] = deque()
    offered: list[Any] = []
    now = 0

    async def commands(ctx):
        nonlocal now
        while True:
            ctx.set(port.command.ready, rng.random() >= stall)
            _, _, valid, ready, command = await ctx.tick().sample(
                port.command.valid, port.command.ready, port.command.payload
            )
            now += 1
            _watch_offer(offered, valid, ready, command)
            if valid and ready:
                assert 1 <= command.length <= MAX_TRANSFER_BYTES, "a read of forbidden length"
                read = Read(command.address, command.length, command.function)
                seen.append(read)
                pending.append((now + latency, command, read))

    async def answers(ctx):
        while True:
            while not pending or pending[0][0] > now or rng.random() < stall or hold():
                await ctx.tick()
            _, command, read = pending.popleft()
            error = refuse(read)
            content = (
                rng.randbytes(rng.randint(1, read.length))
                if error
                else space.get(read.address, read.length)
            )
            content = rng.randbytes(command.lane) + content
            for at in range(0, len(content), BEAT_BYTES):
                chunk = content[at : at + BEAT_BYTES]
                last = at + BEAT_BYTES >= len(content)
                padding = rng.randbytes(BEAT_BYTES - len(chunk))
                beat = {
                    "data": int.from_bytes(chunk + padding, "little"),
                    "empty": len(padding),
                    "last": last,
                    "error": last and error,
                }
                ctx.set(port.answer.payload, {"packet": beat, "context": command.context})
                ctx.set(port.answer.valid, 1)
                ready = False
                while not ready:
                    _, _, ready = await ctx.tick().sample(port.answer.ready)
                    assert ready or not at_once, "no room for an answer"
                ctx.set(port.answer.valid, 0)

    bench.sim.add_testbench(commands, background=True)
    bench.sim.add_testbench(answers, background=True)
    return seen


def serve_writes(bench: Any, port: Any, *, stall: float = 0.0) -> list[Write]:
    """Take the writes of ``port``: the list grows when a write has been accepted whole."""
    rng = bench.rng()
    seen: list[Write] = []
    offered: list[Any] = []
    commands: deque[Any] = deque()
    packets: deque[bytes] = deque()

    def join():
        while commands and packets:
            command, content = commands.popleft(), packets.popleft()
            content = content[command.lane :]
            assert command.length == len(content), "a write's data has another length"
            seen.append(Write(command.address, content, command.function))

    async def take_commands(ctx):
        while True:
            ctx.set(port.command.ready, rng.random() >= stall)
            _, _, valid, ready, command = await ctx.tick().sample(
                port.command.valid, port.command.ready, port.command.payload
            )
            _watch_offer(offered, valid, ready, command)
            if valid and ready:
                assert command.kind == WriteKind.MEMORY
                assert command.length, "a write of nothing"
                assert command.lane + command.length <= MAX_TRANSFER_BYTES, "a write is too long"
                commands.append(command)
                join()

    async def take_data(ctx):
        content = b""
        while True:
            ctx.set(port.data.ready, rng.random() >= stall)
            _, _, valid, ready, beat = await ctx.tick().sample(
                port.data.valid, port.data.ready, port.data.payload
            )
            if valid and ready:
                assert beat.last or not beat.empty, "a beat with holes inside a packet"
                assert not beat.error
                chunk = int(beat.data).to_bytes(BEAT_BYTES, "little")
                content += chunk[: BEAT_BYTES - beat.empty]
                if beat.last:
                    packets.append(content)
                    content = b""
                    join()

    bench.sim.add_testbench(take_commands, background=True)
    bench.sim.add_testbench(take_data, background=True)
    return seen


def spread(rng: random.Random, length: int, pieces: int) -> list[int]:
    """``length`` cut at random into at most ``pieces`` non-empty parts."""
    cuts = sorted(rng.sample(range(1, length), min(pieces, length) - 1)) if length > 1 else []
    return [b - a for a, b in zip([0, *cuts], [*cuts, length], strict=True)]

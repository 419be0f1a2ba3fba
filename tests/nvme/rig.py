"""A front between models of everything around it: host memory, engine, mailbox and firmware.

The models follow ``niter.interface``, ``niter.nvme.command`` and ``niter.nvme.front.messages``; the
host's driver is in ``tests.nvme.host``. All randomness comes from one seed.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import data
from amaranth.sim import Simulator

from niter.interface import BEAT_BYTES, WriteKind
from niter.nvme.front import Front
from niter.nvme.front.messages import Reply, RequestKind
from sim.models.memory import HostMemory

__all__ = ["Command", "Message", "Rig", "pause"]

#: An answer of host memory, an entry and a message may be stalled for so many cycles.
PATIENCE = 200


async def pause(ctx: Any, cycles: int) -> None:
    """Wait, in a process that may be left behind at the end."""
    for _ in range(cycles):
        await ctx.tick()


@dataclass
class Command:
    """A submission entry that the engine has taken."""

    function: int
    queue: int
    entry: bytes

    @property
    def cid(self) -> int:
        """The command's identifier."""
        return int.from_bytes(self.entry[2:4], "little")

    @property
    def key(self) -> tuple[int, int, int]:
        """What names the command."""
        return self.function, self.queue, self.cid


@dataclass
class Message:
    """A message at the mailbox."""

    function: int
    kind: int
    tag: int
    content: bytes


@dataclass
class Rig:
    """Models around a ``Front``.

    Parameters
    ----------
    dut
        The front.
    seed
        Of all stalls, latencies and orders.
    stall
        Probability that a model is not ready in a cycle.
    latency
        Cycles of a read of host memory.

    Members
    -------
    memory
        What the host has; regions are what the driver allocates.
    entries
        Commands that the engine has got, in order.
    under_way
        Those that it works on; it completes them at random, unless ``hold`` holds.
    answers
        What it has completed them with: (status, result).
    cancelled
        Those that a cancel has stopped.
    quota
        Messages of a function that may wait.
    messages
        For the firmware, by function.
    replies
        From the firmware, in order: (function, tag, kind, fields).
    interrupts
        How often each (function, vector) was raised.
    frozen
        Host memory takes nothing.
    unserved
        Functions whose reads fail.
    """

    dut: Front
    seed: int
    stall: float = 0.0
    latency: int = 40
    engine_latency: int = 30
    quota: int = 4
    hold: Any = lambda command: False
    frozen: bool = False
    memory: HostMemory = field(init=False)
    entries: list[Command] = field(default_factory=list)
    under_way: dict[tuple[int, int, int], Command] = field(default_factory=dict)
    answers: dict[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)
    cancelled: list[Command] = field(default_factory=list)
    messages: dict[int, deque[Message]] = field(default_factory=dict)
    replies: deque[tuple[int, int, int, dict[str, int]]] = field(default_factory=deque)
    interrupts: dict[tuple[int, int], int] = field(default_factory=dict)
    unserved: set[int] = field(default_factory=set)
    reads: list[tuple[int, int]] = field(default_factory=list)
    now: int = 0

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        self.memory = HostMemory(rng=random.Random(self.seed + 1))
        self.messages = {f: deque() for f in range(8)}
        #: Reads of each function that have not been answered.
        self.outstanding = [0] * 8
        self.in_reset = [False] * 8
        self.generation = [0] * 8
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        for process in (
            self._clock,
            self._read_commands,
            self._read_answers,
            self._writes,
            self._entries,
            self._completions,
            self._cancels,
            self._requests,
            self._replies,
            self._mailbox_resets,
        ):
            self.sim.add_testbench(process, background=True)

    def run(self, test: Any, limit: int = 60_000) -> None:
        """Run ``test(ctx)`` to its end."""
        ended = []

        async def process(ctx):
            await test(ctx)
            ended.append(True)

        async def watch(ctx):
            while not ended:
                await ctx.tick()
                assert self.now < limit, f"stuck after {limit} cycles (seed {self.seed})"

        self.sim.add_testbench(process)
        self.sim.add_testbench(watch)
        try:
            self.sim.run()
        except BaseException:
            print(f"seed {self.seed}, cycle {self.now}")
            raise

    def _ready(self) -> bool:
        return self.stall == 0 or self.rng.random() >= self.stall

    async def _clock(self, ctx):
        async for _ in ctx.tick():
            self.now += 1

    # Host memory.

    async def _read_commands(self, ctx):
        port = self.dut.read.command
        self._pending: deque[tuple[int, Any]] = deque()
        while True:
            ctx.set(port.ready, self._ready() and not self.frozen)
            _, _, valid, ready, command = await ctx.tick().sample(
                port.valid, port.ready, port.payload
            )
            if valid and ready:
                self.reads.append((command.function, command.length))
                self.outstanding[command.function] += 1
                jitter = self.rng.randrange(20) if self.stall else 0
                self._pending.append((self.now + self.latency + jitter, command))

    async def _read_answers(self, ctx):
        port = self.dut.read.answer
        while True:
            while not self._pending or self._pending[0][0] > self.now:
                await ctx.tick()
            _, command = self._pending.popleft()
            content = None
            if command.function not in self.unserved:
                content = self.memory.device_read(command.address, command.length)
            error = content is None
            if content is None:
                content = self.rng.randbytes(8 * self.rng.randint(1, command.length // 8))
            for at in range(0, len(content), BEAT_BYTES):
                while not self._ready():
                    ctx.set(port.valid, 0)
                    await ctx.tick()
                last = at + BEAT_BYTES >= len(content)
                beat = {
                    "data": int.from_bytes(content[at : at + BEAT_BYTES], "little"),
                    "last": last,
                    "error": last and error,
                }
                ctx.set(port.payload, {"packet": beat, "context": command.context})
                ctx.set(port.valid, 1)
                await self._taken(ctx, port)
            ctx.set(port.valid, 0)
            self.outstanding[command.function] -= 1

    async def _taken(self, ctx, port, patience=PATIENCE):
        for _ in range(patience):
            _, _, ready = await ctx.tick().sample(port.ready)
            if ready:
                return
        raise AssertionError("not taken in bounded time")

    async def _writes(self, ctx):
        port = self.dut.write
        commands, packets, content = deque(), deque(), b""
        while True:
            ctx.set(port.command.ready, self._ready() and not self.frozen)
            ctx.set(port.data.ready, self._ready() and not self.frozen)
            _, _, *sampled = await ctx.tick().sample(
                port.command.valid,
                port.command.ready,
                port.command.payload,
                port.data.valid,
                port.data.ready,
                port.data.payload,
            )
            if sampled[0] and sampled[1]:
                commands.append(sampled[2])
            if sampled[3] and sampled[4]:
                beat = sampled[5]
                assert not beat.error and not beat.empty
                content += int(beat.data).to_bytes(BEAT_BYTES, "little")
                if beat.last:
                    packets.append(content)
                    content = b""
            while commands and (commands[0].kind == WriteKind.INTERRUPT or packets):
                command = commands.popleft()
                if command.kind == WriteKind.INTERRUPT:
                    key = command.function, command.vector
                    self.interrupts[key] = self.interrupts.get(key, 0) + 1
                    continue
                written = packets.popleft()
                assert len(written) == command.length
                if command.function not in self.unserved:
                    self.memory.device_write(command.address, written)

    # The engine.

    async def _entries(self, ctx):
        port = self.dut.command.entry
        content = b""
        while True:
            # It begins to take an entry while it has tags left, and not otherwise.
            free = len(self.under_way) < self.dut.tags
            ctx.set(port.ready, self._ready() and (bool(content) or free))
            _, _, valid, ready, beat = await ctx.tick().sample(port.valid, port.ready, port.payload)
            assert free or content or not valid, "an entry for which the engine has no tag"
            if not (valid and ready):
                continue
            content += int(beat.packet.data).to_bytes(BEAT_BYTES, "little")
            assert bool(beat.packet.last) == (len(content) == 64)
            if beat.packet.last:
                command = Command(beat.function, beat.queue, content)
                assert command.key not in self.under_way, "an entry was fetched twice"
                self.entries.append(command)
                self.under_way[command.key] = command
                content = b""

    async def _completions(self, ctx):
        port = self.dut.command.completion
        while True:
            await ctx.tick()
            free = [c for c in self.under_way.values() if not self.hold(c)]
            if not free or self.rng.random() > 8 / self.engine_latency:
                continue
            command = self.rng.choice(free)
            del self.under_way[command.key]
            status, result = self.rng.getrandbits(15), self.rng.getrandbits(32)
            self.answers[command.key] = status, result
            function, queue, cid = command.key
            self.completing = command.key
            payload = {
                "function": function,
                "queue": queue,
                "cid": cid,
                "status": status,
                "result": result,
            }
            ctx.set(port.payload, payload)
            ctx.set(port.valid, 1)
            await self._taken(ctx, port, 4000)
            ctx.set(port.valid, 0)

    async def _cancels(self, ctx):
        port, done = self.dut.command.cancel, self.dut.command.cancelled
        while True:
            ctx.set(port.ready, 1)
            _, _, valid, cancel = await ctx.tick().sample(port.valid, port.payload)
            if not valid:
                continue
            ctx.set(port.ready, 0)
            await pause(ctx, self.rng.randrange(1, 40))
            stopped = [
                c
                for c in self.under_way.values()
                if c.function == cancel.function
                and (c.queue == cancel.queue or (cancel.every and cancel.queue == 0))
                and (cancel.every or c.cid == cancel.cid)
            ]
            for command in stopped:
                del self.under_way[command.key]
                self.cancelled.append(command)
            # A completion that is on offer must be gone before.
            completion = self.dut.command.completion
            while ctx.get(completion.valid):
                await ctx.tick()
            ctx.set(done.payload.found, bool(stopped))
            ctx.set(done.valid, 1)
            await self._taken(ctx, done, 400)
            ctx.set(done.valid, 0)

    # The mailbox, and its way to the firmware.

    async def _requests(self, ctx):
        port, credit = self.dut.mailbox.request, self.dut.mailbox.credit
        content = b""
        while True:
            credits = sum(1 << f for f in range(8) if len(self.messages[f]) < self.quota)
            ctx.set(credit, credits)
            ctx.set(port.ready, self._ready())
            _, _, valid, ready, beat, resets = await ctx.tick().sample(
                port.valid, port.ready, port.payload, self.dut.mailbox.reset
            )
            header = beat.header
            if valid and not content:
                assert credits >> header.function & 1, "a message without credit"
                assert not resets >> header.function & 1, "a message in a reset"
            if not (valid and ready):
                continue
            content += int(beat.packet.data).to_bytes(BEAT_BYTES, "little")
            if beat.packet.last:
                assert len(content) == header.length
                assert header.kind in list(RequestKind)
                message = Message(header.function, header.kind, header.tag, content)
                self.messages[header.function].append(message)
                content = b""

    async def _mailbox_resets(self, ctx):
        mailbox = self.dut.mailbox
        while True:
            _, _, resets = await ctx.tick().sample(mailbox.reset)
            for f in range(8):
                if resets >> f & 1 and not self.in_reset[f]:
                    if self.rng.random() < 0.1 and self._replying != f:
                        self.messages[f].clear()
                        self.replies = deque(r for r in self.replies if r[0] != f)
                        self.in_reset[f] = True
                        self.generation[f] += 1
                elif not resets >> f & 1:
                    self.in_reset[f] = False
            ctx.set(mailbox.reset_done, sum(1 << f for f in range(8) if self.in_reset[f]))

    async def _replies(self, ctx):
        port = self.dut.mailbox.reply
        self._replying = None
        while True:
            while not self.replies:
                await ctx.tick()
            function, tag, kind, fields = self.replies.popleft()
            self._replying = function
            content = _pack(fields)
            for at in range(0, 24, BEAT_BYTES):
                beat = {
                    "data": int.from_bytes(content[at : at + BEAT_BYTES], "little"),
                    "last": at == 16,
                }
                header = {"function": function, "kind": kind, "tag": tag, "length": 24}
                ctx.set(port.payload, {"packet": beat, "header": header})
                ctx.set(port.valid, 1)
                await self._taken(ctx, port, 4000)
            ctx.set(port.valid, 0)
            self._replying = None


def _pack(fields: dict[str, int]) -> bytes:
    """The content of a reply."""
    layout = data.Layout.cast(Reply)
    return sum(value << layout[name].offset for name, value in fields.items()).to_bytes(
        24, "little"
    )

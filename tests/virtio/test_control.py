"""The control queue with firmware behind it, which the test stands in for."""

import random
from collections import deque
from dataclasses import dataclass

import pytest

from niter.virtio.net.control import Control
from niter.virtio.net.messages import COMMAND_BYTES, CommandKind
from tests.support.host import Space, serve_reads, serve_writes, spread
from tests.support.stream import SEEDS, Bench

PAIRS, FUNCTIONS, PATIENCE = 2, 3, 1 << 11
OK, ERR = 0, 1
HOLE = 0xBAD000


@dataclass
class Message:
    """What the firmware has got."""

    function: int
    kind: int
    tag: int
    content: bytes


class Rig:
    """The device, host memory, an engine that pushes chains, and a mailbox."""

    def __init__(self, seed=1, stall=0.0):
        self.dut = dut = Control(PAIRS, functions=FUNCTIONS, patience=PATIENCE)
        self.bench = Bench(dut, seed)
        self.random = random.Random(seed)
        self.space = Space()
        self.reads = serve_reads(
            self.bench,
            dut.read,
            self.space,
            stall=stall,
            refuse=lambda read: read.address >> 12 == HOLE >> 12,
            at_once=False,
        )
        self.writes = serve_writes(self.bench, dut.write, stall=stall)
        self.stall = stall
        self.messages: deque[Message] = deque()
        self.used = []
        self.credit = 0xFF
        self.forgotten = 0
        self._next = 0x1000
        self.bench.sim.add_testbench(self._requests, background=True)
        self.bench.sim.add_testbench(self._used, background=True)
        self.bench.sim.add_testbench(self._resets, background=True)

    async def _requests(self, ctx):
        port = self.dut.mailbox.request
        content, began, gap = b"", False, 0
        while True:
            ready = self.random.random() >= self.stall
            ctx.set(port.ready, ready)
            ctx.set(self.dut.mailbox.credit, self.credit)
            _, _, valid, payload, reset = await ctx.tick().sample(
                port.valid, port.payload, self.dut.mailbox.reset
            )
            function = payload.header.function
            if valid and not began:
                assert not reset >> function & 1 and self.credit >> function & 1
            gap = 0 if valid else gap + 1
            assert gap <= 4 or not content, "a message is held back"
            began = bool(valid)
            if valid and ready:
                beat = payload.packet
                assert not beat.error and (beat.last or not beat.empty)
                content += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                if beat.last:
                    assert len(content) == payload.header.length
                    header = payload.header
                    self.messages.append(Message(function, header.kind, header.tag, content))
                    content, began = b"", False

    async def _used(self, ctx):
        ctx.set(self.dut.used.ready, 1)
        while True:
            _, _, valid, used = await ctx.tick().sample(self.dut.used.valid, self.dut.used.payload)
            if valid:
                assert used.queue.index == 2 * PAIRS and not used.more
                self.used.append((used.queue.function, used.head, used.length))

    async def _resets(self, ctx):
        """Forgets what the device asks it to, after a while."""
        done = before = 0
        while True:
            for _ in range(9):
                await ctx.tick()
                reset = ctx.get(self.dut.mailbox.reset)
                assert not before & ~done & ~reset, "a reset is withdrawn"
                before = reset
            self.forgotten += bin(reset & ~done).count("1")
            for function in range(8):
                if reset & ~done & 1 << function:
                    self.messages = deque(m for m in self.messages if m.function != function)
            done = reset
            ctx.set(self.dut.mailbox.reset_done, done)
            await ctx.tick()

    async def start(self, ctx):
        ctx.set(self.dut.ready, 0xFF)
        ctx.set(self.dut.multiqueue, 0xFF)
        ctx.set(self.dut.mailbox.credit, 0xFF)
        await ctx.tick().repeat(3)

    def place(self, content):
        """Bytes somewhere in memory, at any alignment."""
        at = self._next + self.random.randrange(8)
        self._next += len(content) + 24
        self.space.put(at, content)
        return at

    def segments(self, content, pieces):
        sizes = spread(self.random, len(content), pieces) if content else []
        found, at = [], 0
        for size in sizes:
            found.append((self.place(content[at : at + size]), size))
            at += size
        return found

    async def push(self, ctx, readable, writable, function=0):
        """A chain, as the engine pushes it; returns its head and the cycles that this took."""
        head = self.random.getrandbits(10)
        total = min(sum(size for _, size in readable), 131_071)
        every = [(*each, 0) for each in readable] + [(*each, 1) for each in writable]
        port, cycles = self.dut.i, 0
        for number, (address, length, write) in enumerate(every):
            segment = {
                "queue": {"index": 2 * PAIRS, "function": function},
                "head": head,
                "address": address,
                "length": length,
                "total": total if not number else self.random.getrandbits(17),
                "writable": write,
                "first": not number,
                "last": number == len(every) - 1,
            }
            ctx.set(port.payload, segment)
            ctx.set(port.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(port.ready)
                cycles += 1
            ctx.set(port.valid, 0)
        return head, cycles

    async def command(self, ctx, content, function=0, pieces=2, answer=None):
        """A command as drivers give it; returns its head and where its answer goes."""
        answer = self.place(b"\xee") if answer is None else answer
        head, _ = await self.push(ctx, self.segments(content, pieces), [(answer, 1)], function)
        return head, answer

    async def message(self, ctx, function):
        for _ in range(2000):
            for message in self.messages:
                if message.function == function:
                    self.messages.remove(message)
                    return message
            await ctx.tick()
        raise AssertionError("the firmware was not told")

    async def reply(self, ctx, message, status, *, beats=1, tag=None):
        port = self.dut.mailbox.reply
        for number in range(beats):
            header = {
                "function": message.function,
                "kind": self.random.getrandbits(8),
                "tag": message.tag if tag is None else tag,
                "length": 8 * beats,
            }
            # Only the first byte counts, and of that its lowest bit.
            value = self.random.getrandbits(63) << 1
            packet = {"data": value | (status if not number else 1), "last": number == beats - 1}
            ctx.set(port.payload, {"packet": packet, "header": header})
            ctx.set(port.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)

    async def back(self, ctx, function, head, length=1, cycles=2000):
        """A chain comes back."""
        for _ in range(cycles):
            if (function, head, length) in self.used:
                self.used.remove((function, head, length))
                return
            await ctx.tick()
        raise AssertionError(f"the chain is not given back: {self.used}")

    def answered(self, address):
        """What was written there, once."""
        found = [write for write in self.writes if write.address == address]
        assert len(found) == 1 and len(found[0].data) == 1
        self.writes.remove(found[0])
        return found[0].data[0]

    def run(self, test, limit=200_000):
        async def process(ctx):
            await self.start(ctx)
            await test(ctx)
            assert not self.used and not self.writes and not self.messages

        self.bench.add(process)
        self.bench.run(limit)


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("seed", SEEDS)
def test_commands_reach_the_firmware(seed, stall):
    """Cut anyhow; the first 64 bytes of them, and whether that is all."""
    rig = Rig(seed, stall)

    async def test(ctx):
        for length in (2, 3, 8, 9, 16, 40, 63, 64, 65, 100, 300):
            function = rig.random.randrange(FUNCTIONS)
            content = bytes([rig.random.choice((0, 1, 2, 3, 5, 255))])
            content += rig.random.randbytes(length - 1)
            head, answer = await rig.command(ctx, content, function, rig.random.randint(1, 15))
            message = await rig.message(ctx, function)
            assert message.content == content[:COMMAND_BYTES]
            assert message.kind == (
                CommandKind.CUT if length > COMMAND_BYTES else CommandKind.WHOLE
            )
            assert not rig.used and not rig.writes
            status = rig.random.randrange(2)
            await rig.reply(ctx, message, status, beats=rig.random.randint(1, 3))
            await rig.back(ctx, function, head)
            assert rig.answered(answer) == status

    rig.run(test)


def test_functions_do_not_wait_for_each_other():
    """One's command lies at the firmware; others', and multiqueue, go on."""
    rig = Rig()

    async def test(ctx):
        first = await rig.command(ctx, b"\x00\x00\x01", 0)
        second = await rig.command(ctx, b"\x02\x00\x05\x00", 1)
        slow = await rig.message(ctx, 0)
        fast = await rig.message(ctx, 1)
        pairs = await rig.command(ctx, b"\x04\x00\x02\x00", 2)
        await rig.back(ctx, 2, pairs[0])
        assert rig.answered(pairs[1]) == OK
        assert [ctx.get(rig.dut.active[n]) for n in range(3)] == [1, 1, 2]
        await rig.reply(ctx, fast, OK)
        await rig.back(ctx, 1, second[0])
        assert rig.answered(second[1]) == OK
        await rig.reply(ctx, slow, ERR)
        await rig.back(ctx, 0, first[0])
        assert rig.answered(first[1]) == ERR

    rig.run(test)


def test_chains_that_drivers_should_not_make():
    """No answer wanted, nothing asked, too short, too many pieces, pieces that cannot be read."""
    rig = Rig()

    async def test(ctx):
        head, _ = await rig.push(ctx, rig.segments(b"\x00\x00\x01", 2), [])
        await rig.back(ctx, 0, head, 0)
        for readable in (
            [],
            rig.segments(b"\x01", 1),
            rig.segments(bytes(range(16)), 16),
            [(HOLE, 4)],
            [*rig.segments(b"\x00\x00", 1), (HOLE, 100)],
            [(HOLE, 3), *rig.segments(b"\x00\x00", 1)],
        ):
            answer = rig.place(b"\xee")
            head, _ = await rig.push(ctx, readable, [(answer, 1 << 31), (answer + 9, 1)])
            await rig.back(ctx, 0, head)
            assert rig.answered(answer) == ERR
        # What is not read cannot fail.
        head, answer = await rig.command(ctx, bytes(64), pieces=1)
        await rig.reply(ctx, await rig.message(ctx, 0), OK)
        await rig.back(ctx, 0, head)
        rig.answered(answer)
        start = rig.place(bytes(64))
        answer = rig.place(b"\xee")
        readable = [(start, 0xFFFF_FFFF), (HOLE, 8)]
        head, _ = await rig.push(ctx, readable, [(answer, 1)])
        message = await rig.message(ctx, 0)
        assert (message.kind, message.content) == (CommandKind.CUT, bytes(64))
        await rig.reply(ctx, message, OK)
        await rig.back(ctx, 0, head)
        assert rig.answered(answer) == OK
        assert all(read.length <= COMMAND_BYTES for read in rig.reads)

    rig.run(test)


def test_the_engine_is_never_held_up():
    """A long chain is taken while another function's is being read, in bounded time."""
    rig = Rig()

    async def test(ctx):
        await rig.command(ctx, bytes(60), 0, 15)
        long = rig.segments(bytes(63), 63)
        head, cycles = await rig.push(ctx, long, [(rig.place(b"\xee"), 1)], 1)
        assert cycles <= 6 * 64 and not rig.used
        await rig.back(ctx, 1, head)
        await rig.reply(ctx, await rig.message(ctx, 0), OK)
        await ctx.tick().repeat(60)
        assert len(rig.used) == 1 and len(rig.writes) == 2
        rig.used.clear()
        rig.writes.clear()

    rig.run(test)


def test_a_firmware_that_is_silent():
    """The answer is an error after a while, and what comes later is for nobody."""
    rig = Rig()

    async def test(ctx):
        old = []
        for _ in range(3):
            head, answer = await rig.command(ctx, b"\x00\x00\x01", 1)
            old.append(await rig.message(ctx, 1))
            await ctx.tick().repeat(PATIENCE - 100)
            assert not rig.used
            await rig.back(ctx, 1, head, cycles=2 * PATIENCE)
            assert rig.answered(answer) == ERR
        head, answer = await rig.command(ctx, b"\x00\x00\x01", 1)
        new = await rig.message(ctx, 1)
        for message in old:
            await rig.reply(ctx, message, OK)
        # Nor what is for a function that waits for nothing, or that does not exist.
        await rig.reply(ctx, Message(0, 0, 0, b""), OK)
        await rig.reply(ctx, Message(7, 0, new.tag, b""), OK, beats=2)
        await ctx.tick().repeat(100)
        assert not rig.used
        await rig.reply(ctx, new, OK)
        await rig.back(ctx, 1, head)
        assert rig.answered(answer) == OK
        await rig.reply(ctx, new, OK)
        # The mailbox is full: nobody is there.
        rig.credit = 0xFD
        await ctx.tick().repeat(2)
        head, answer = await rig.command(ctx, b"\x00\x00\x01", 1)
        await rig.back(ctx, 1, head, cycles=300)
        assert rig.answered(answer) == ERR
        head, answer = await rig.command(ctx, b"\x04\x00\x02\x00", 1)
        await rig.back(ctx, 1, head, cycles=300)
        assert rig.answered(answer) == OK

    rig.run(test)


def test_resets():
    """A command that waits comes back with nothing written, and the mailbox forgets it."""
    rig = Rig()

    async def test(ctx):
        for number in range(1, 4):
            head, _ = await rig.command(ctx, b"\x00\x00\x01", 2)
            message = await rig.message(ctx, 2)
            ctx.set(rig.dut.ready, 0xFB)
            await rig.back(ctx, 2, head, 0, cycles=20)
            # One that the engine had begun.
            head, _ = await rig.command(ctx, b"\x00\x00\x01", 2)
            await rig.back(ctx, 2, head, 0, cycles=20)
            ctx.set(rig.dut.ready, 0xFF)
            head, answer = await rig.command(ctx, b"\x00\x00\x00", 2)
            new = await rig.message(ctx, 2)
            assert rig.forgotten == number
            if number != 3:
                await rig.reply(ctx, message, OK)
            await ctx.tick().repeat(50)
            assert not rig.used and not rig.writes
            await rig.reply(ctx, new, OK)
            await rig.back(ctx, 2, head)
            assert rig.answered(answer) == OK
        # In the middle of a message.
        head, answer = await rig.command(ctx, bytes(64), 1)
        while not ctx.get(rig.dut.mailbox.request.valid):
            await ctx.tick()
        ctx.set(rig.dut.ready, 0xFD)
        await rig.back(ctx, 1, head, 0, cycles=300)
        await ctx.tick().repeat(40)
        assert rig.forgotten == 4
        ctx.set(rig.dut.ready, 0xFF)

    rig.run(test)


def test_one_chain_of_a_function_is_begun():
    """Held from the cycle behind its beginning until it is given back or dropped."""
    rig = Rig()

    async def test(ctx):
        async def pulse(name, function):
            ctx.set(getattr(rig.dut, name), 1)
            ctx.set(getattr(rig.dut, f"{name}_of"), function)
            await ctx.tick()
            ctx.set(getattr(rig.dut, name), 0)
            return ctx.get(rig.dut.held)

        assert await pulse("begun", 1) == 0b010
        assert await pulse("begun", 2) == 0b110
        assert await pulse("dropped", 1) == 0b100
        head, _ = await rig.push(ctx, rig.segments(b"\x00\x00\x01", 1), [], 2)
        await rig.back(ctx, 2, head, 0)
        await ctx.tick()
        assert ctx.get(rig.dut.held) == 0

    rig.run(test)

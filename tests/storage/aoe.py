"""The AoE initiator in pysim, between a host in Python and a target model."""

import random

from niter.interface import BlockStatus
from niter.storage.aoe import Aoe, TargetRecord
from sim.models.aoe import SECTOR, AoeTarget, Impairment, Network
from tests.support.csr import read, write
from tests.support.stream import Bench, Packet

__all__ = ["Station"]

OURS = 0x020000000A0E


class Station:
    """An initiator, its host's memory by tag, and what it says.

    Parameters
    ----------
    answer
        What the network's other end answers to a frame; by default a target.
    """

    def __init__(
        self, *, seed=1, sectors=2, slots=8, tags=256, answer=None, impairment=None, **fields
    ):
        self.dut = Aoe(slots=slots, tags=tags)
        self.rng = random.Random(seed)
        disk = bytearray(self.rng.randbytes(256 * SECTOR))
        self.target = AoeTarget(7, 3, "02:00:00:00:00:07", disk, sectors=sectors, **fields)
        self.answer = answer or self.target.answer
        self.network = Network(self.rng, impairment or Impairment(usual=20))
        self.memory = {}
        self.ended = {}
        self.frames = []
        self.pulls, self.pushes = [], []
        self.broken = set()
        self.bench = Bench(self.dut, seed)
        i = self.dut.i
        for process in (
            self._listen(i.completion, self._end),
            self._listen(i.aborted, lambda tag: self.ended.setdefault(tag, []).append(None)),
            self._pull,
            self._push,
            self._from_wire,
            self._to_wire,
        ):
            self.bench.sim.add_testbench(process, background=True)

    def run(self, process, limit=60_000):
        """Run a process to its end."""
        self.bench.add(process)
        return self.bench.run(limit)

    async def set_up(
        self, ctx, *, floor=3, silence=100, lifetime=25, flags=TargetRecord.ENABLED, **limits
    ):
        """Write registers and tables."""
        for _ in range(300):
            await ctx.tick()
        find = self.dut.csr.memory_map.find
        for name, value in (
            ("seed", 0xABCDEF),
            ("floor", floor),
            ("silence", silence),
            ("lifetime", lifetime),
        ):
            await write(ctx, self.dut.csr, find("registers", name).start, value)
        for at, word in enumerate((OURS >> 32, OURS & 0xFFFFFFFF), find("sources", "words").start):
            await write(ctx, self.dut.csr, at, word)
        await write(ctx, self.dut.csr, find("volumes", "words").start, 16)
        await self.record(ctx, flags, **limits)

    async def record(self, ctx, flags, *, buffers=None, sectors=None):
        """Write the record of target 0, the flags last."""
        base = self.dut.csr.memory_map.find("targets", "words").start
        mac = int(self.target.mac.replace(":", ""), 16)
        limits = (
            self.target.sectors if sectors is None else sectors,
            self.target.buffers if buffers is None else buffers,
        )
        words = TargetRecord.words(mac, self.target.shelf, self.target.slot, *limits, flags)
        for at, word in enumerate(words):
            await write(ctx, self.dut.csr, base + at, word)
        for _ in range(20):
            await ctx.tick()

    async def counters(self, ctx, prefix="target_0_"):
        """What was counted for target 0, or whatever has names that begin like that."""
        info = self.dut.csr.memory_map.find("counters", "counters")
        return {
            name.removeprefix(prefix): await read(ctx, self.dut.csr, info.start + 2 * n)
            for n, name in enumerate(info.resource.names)
            if name.startswith(prefix)
        }

    async def issue(self, ctx, tag, opcode, lba=0, sectors=0, *, data=None, fua=0, volume=0):
        """Issue a request; returns when it was accepted."""
        self.memory[tag] = bytearray(data or sectors * SECTOR)
        request = {
            "tag": tag,
            "opcode": opcode,
            "lba": lba,
            "sectors": sectors,
            "fua": fua,
            "volume": volume,
        }
        await self.bench._put(ctx, self.dut.i.request, request)

    async def do(self, ctx, tag, *request, **fields):
        """Issue a request; returns its status."""
        await self.issue(ctx, tag, *request, **fields)
        return await self.end(ctx, tag)

    async def end(self, ctx, tag, count=1):
        """Wait for ``count`` ends of a tag; returns the last."""
        while len(self.ended.get(tag, [])) < count:
            await ctx.tick()
        return self.ended.pop(tag)[-1]

    async def abort(self, ctx, tag):
        """Abort; returns when it was accepted."""
        await self.bench._put(ctx, self.dut.i.abort, tag)

    def _listen(self, port, act):
        async def listen(ctx):
            while True:
                act(await self.bench._take(ctx, port, self.rng, 0))

        return listen

    def _end(self, payload):
        self.ended.setdefault(payload.tag, []).append(BlockStatus(payload.status))

    @staticmethod
    async def _put(ctx, port, payload):
        # Unlike ``until``, this can be left unfinished at the end of a test.
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)

    async def _packet(self, ctx, port, packet):
        data = packet.data
        for at in range(0, len(data), 8):
            last = at + 8 >= len(data)
            beat = {
                "data": int.from_bytes(data[at : at + 8].ljust(8, b"\xa5"), "little"),
                "empty": max(0, at + 8 - len(data)),
                "last": last,
                "error": last and packet.error,
            }
            if port is self.dut.i_wire:
                beat = {"packet": beat, "meta": {"length": len(data)}}
            await self._put(ctx, port, beat)

    async def _pull(self, ctx):
        while True:
            span = await self.bench._take(ctx, self.dut.i.pull, self.rng, 0)
            self.pulls.append((span.tag, span.first, span.sectors))
            at = span.first * SECTOR
            data = bytes(self.memory[span.tag][at : at + span.sectors * SECTOR])
            bad = span.tag in self.broken
            await self._packet(ctx, self.dut.i.pull_data, Packet(data[: 96 if bad else None], bad))

    async def _push(self, ctx):
        while True:
            span = await self.bench._take(ctx, self.dut.i.push, self.rng, 0)
            self.pushes.append((span.tag, span.first, span.sectors))
            data = await self._take_packet(ctx, self.dut.i.push_data)
            assert len(data) == span.sectors * SECTOR
            at = span.first * SECTOR
            self.memory[span.tag][at : at + len(data)] = data

    async def _take_packet(self, ctx, port):
        data = b""
        while True:
            payload = await self.bench._take(ctx, port, self.rng, 0)
            beat = payload.packet if port is self.dut.o_wire else payload
            data += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
            if beat.last:
                return None if beat.error else data

    async def _from_wire(self, ctx):
        while True:
            frame = await self._take_packet(ctx, self.dut.o_wire)
            if frame is not None:
                self.frames.append(frame)
                self.network.send(self.bench.cycles, frame, self._at_target)

    def _at_target(self, frame):
        answer = self.answer(frame)
        if answer is not None:
            self.network.send(self.bench.cycles, answer, self.incoming)

    def incoming(self, frame):
        """Let a frame come in."""
        self.queue = [*getattr(self, "queue", []), frame.ljust(60, b"\0")]

    async def _to_wire(self, ctx):
        self.queue = []
        while True:
            self.network.deliver(self.bench.cycles)
            if self.queue:
                await self._packet(ctx, self.dut.i_wire, Packet(self.queue.pop(0)))
            else:
                await ctx.tick()

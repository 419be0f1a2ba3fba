import os
import random
from dataclasses import dataclass

import pytest
from amaranth.sim import Simulator
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from niter.interface import BlockOpcode, BlockStatus
from niter.storage.encryption import Encryption
from niter.storage.volumes import VolumeMode

SECTOR = 512
SEED = int(os.environ.get("NITER_SEED", "1"))


def xts(key, sector, data, *, decrypt=False):
    """One sector in an independent library."""
    cipher = Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little")))
    one = cipher.decryptor() if decrypt else cipher.encryptor()
    return one.update(data)


@dataclass
class Request:
    """One request, what the host's memory holds of it, and how it ended."""

    tag: int
    volume: int
    opcode: BlockOpcode
    lba: int
    sectors: int
    memory: bytearray
    status: BlockStatus | None = None


class Bench:
    """The stage between a front end and a transport in Python.

    The transport keeps a disk of sectors for each volume and moves the data of up to four requests
    at once, in spans of any size and order. It never looks into a sector.
    """

    def __init__(self, *, seed=SEED, stall=0.2):
        self.dut = Encryption()
        self.rng = random.Random(seed)
        self.stall = stall
        self.disks = [{} for _ in range(16)]
        self.requests = {}
        self.seen = []
        #: Tags whose pulls end in an error of the host's memory, early.
        self.unreadable = set()
        self.wire_seen = b""
        self.cycles = 0
        self.pull_errors = 0
        self.push_errors = 0
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        self.wire, self.host = [], []
        self.to_push, self.to_complete = [], []
        self.pulling = []
        self.coming = []
        self.issuing = []
        for process in (
            self.take_requests,
            self.send_pulls,
            self.take_pulls,
            self.answer_pulls,
            self.take_pull_data,
            self.send_pushes,
            self.take_pushes,
            self.take_push_data,
            self.send_completions,
        ):
            self.sim.add_testbench(process, background=True)

    async def put(self, ctx, port, payload):
        while self.rng.random() < self.stall:
            await ctx.tick()
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)

    async def get(self, ctx, port):
        while self.rng.random() < self.stall:
            await ctx.tick()
        ctx.set(port.ready, 1)
        valid = False
        while not valid:
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
        ctx.set(port.ready, 0)
        return payload

    async def next_of(self, ctx, queue):
        while not queue:
            await ctx.tick()
        return queue.pop(0)

    async def put_packet(self, ctx, port, data, *, error=False):
        for at in range(0, len(data), 8):
            last = at + 8 >= len(data)
            word = int.from_bytes(data[at : at + 8], "little")
            await self.put(ctx, port, {"data": word, "last": last, "error": last and error})

    async def get_packet(self, ctx, port):
        data = b""
        while True:
            beat = await self.get(ctx, port)
            data += int(beat.data).to_bytes(8, "little")
            if beat.last:
                return data, bool(beat.error)

    def spans(self, request):
        """Cut it up at random, in any order."""
        cuts, at = [], 0
        while at < request.sectors:
            count = min(self.rng.choice((1, 1, 2, 3)), request.sectors - at)
            cuts.append((request.tag, at, count))
            at += count
        self.rng.shuffle(cuts)
        return cuts

    # The transport.

    async def take_requests(self, ctx):
        while True:
            got = await self.get(ctx, self.dut.o.request)
            request = self.requests[got.tag]
            self.seen.append(got.tag)
            assert got.lba == request.lba and got.sectors == request.sectors
            spans = self.spans(request)
            if request.opcode == BlockOpcode.WRITE:
                self.wire += spans
            elif request.opcode == BlockOpcode.READ:
                self.to_push += spans
            else:
                self.to_complete.append((request.tag, BlockStatus.OK))

    async def send_pulls(self, ctx):
        while True:
            tag, first, sectors = await self.next_of(ctx, self.wire)
            self.pulling.append((tag, first, sectors))
            span = {"tag": tag, "first": first, "sectors": sectors}
            await self.put(ctx, self.dut.o.pull, span)

    async def take_pull_data(self, ctx):
        failed, moved = set(), {}
        while True:
            data, error = await self.get_packet(ctx, self.dut.o.pull_data)
            tag, first, sectors = self.pulling.pop(0)
            request = self.requests[tag]
            assert len(data) == sectors * SECTOR
            moved[tag] = moved.get(tag, 0) + sectors
            if error:
                self.pull_errors += 1
                failed.add(tag)
            else:
                for at in range(sectors):
                    lba = request.lba + first + at
                    self.disks[request.volume][lba] = data[at * SECTOR : (at + 1) * SECTOR]
            self.wire_seen += data
            if moved[tag] == request.sectors:
                status = BlockStatus.DATA_TRANSFER if tag in failed else BlockStatus.OK
                self.to_complete.append((tag, status))

    async def send_pushes(self, ctx):
        moved = {}
        while True:
            tag, first, sectors = await self.next_of(ctx, self.to_push)
            request = self.requests[tag]
            span = {"tag": tag, "first": first, "sectors": sectors}
            await self.put(ctx, self.dut.o.push, span)
            disk = self.disks[request.volume]
            data = b"".join(disk[request.lba + first + at] for at in range(sectors))
            await self.put_packet(ctx, self.dut.o.push_data, data)
            moved[tag] = moved.get(tag, 0) + sectors
            if moved[tag] == request.sectors:
                self.to_complete.append((tag, BlockStatus.OK))

    async def send_completions(self, ctx):
        while True:
            tag, status = await self.next_of(ctx, self.to_complete)
            payload = {"tag": tag, "status": status}
            await self.put(ctx, self.dut.o.completion, payload)

    # The front end.

    async def take_pulls(self, ctx):
        while True:
            self.host.append(await self.get(ctx, self.dut.i.pull))

    async def answer_pulls(self, ctx):
        while True:
            span = await self.next_of(ctx, self.host)
            at = span.first * SECTOR
            data = bytes(self.requests[span.tag].memory[at : at + span.sectors * SECTOR])
            broken = span.tag in self.unreadable
            if broken:
                data = data[: self.rng.choice((8, 128, 512, len(data)))]
            await self.put_packet(ctx, self.dut.i.pull_data, data, error=broken)

    async def take_pushes(self, ctx):
        while True:
            self.coming.append(await self.get(ctx, self.dut.i.push))

    async def take_push_data(self, ctx):
        while True:
            data, error = await self.get_packet(ctx, self.dut.i.push_data)
            assert self.coming, "data without a push"
            span = self.coming.pop(0)
            request = self.requests[span.tag]
            assert request.status is None, "data behind the completion"
            assert len(data) == span.sectors * SECTOR
            self.push_errors += error
            at = span.first * SECTOR
            request.memory[at : at + len(data)] = data

    async def run_requests(self, ctx, requests, then=None):
        """Issue them all, and let something happen then; each is completed exactly once."""
        for request in requests:
            assert request.tag not in self.requests or self.requests[request.tag].status
            self.requests[request.tag] = request
        done = []

        async def issue(ctx):
            for request in requests:
                payload = {
                    "tag": request.tag,
                    "volume": request.volume,
                    "opcode": request.opcode,
                    "lba": request.lba,
                    "sectors": request.sectors,
                }
                await self.put(ctx, self.dut.i.request, payload)

        self.issuing += [issue] if then is None else [issue, then]
        while len(done) < len(requests):
            got = await self.get(ctx, self.dut.i.completion)
            request = self.requests[got.tag]
            assert request.status is None, "completed twice"
            request.status = BlockStatus(got.status)
            done.append(request)

    def run(self, testbench):
        async def issuer(ctx):
            while True:
                await (await self.next_of(ctx, self.issuing))(ctx)

        self.sim.add_testbench(issuer, background=True)

        self.sim.add_testbench(testbench)

        async def limit(ctx):
            while self.cycles < 60_000:
                await ctx.tick()
                self.cycles += 1
            raise AssertionError("stuck")

        self.sim.add_testbench(limit, background=True)
        self.sim.run()

    async def set_volume(self, ctx, volume, mode, slot=0):
        ctx.set(self.dut.key.volume, volume)
        ctx.set(self.dut.key.key, {"mode": mode, "slot": slot})
        ctx.set(self.dut.key.en, 1)
        await ctx.tick()
        ctx.set(self.dut.key.en, 0)

    async def load_key(self, ctx, slot, key):
        for index in range(16):
            word = int.from_bytes(key[4 * index : 4 * index + 4], "little")
            payload = {"slot": slot, "index": index, "erase": 0, "data": word}
            await self.put(ctx, self.dut.keys, payload)
        await ctx.tick().repeat(600)
        ctx.set(self.dut.usable, ctx.get(self.dut.usable) | 1 << slot)

    def request(self, tag, volume, opcode, lba, sectors):
        memory = bytearray(self.rng.randbytes(SECTOR * sectors))
        return Request(tag, volume, opcode, lba, sectors, memory)


def test_the_disk_holds_ciphertext_only():
    bench = Bench()
    keys = {5: bench.rng.randbytes(64), 6: bench.rng.randbytes(64)}
    slots = {1: 5, 2: 6}

    async def testbench(ctx):
        for slot, key in keys.items():
            await bench.load_key(ctx, slot, key)
        await bench.set_volume(ctx, 0, VolumeMode.PLAIN)
        for volume, slot in slots.items():
            await bench.set_volume(ctx, volume, VolumeMode.ENCRYPTED, slot)
        start = (1 << 56) - 8
        writes = [
            bench.request(tag, volume, BlockOpcode.WRITE, lba, sectors)
            for tag, (volume, lba, sectors) in enumerate(
                [(1, 0, 3), (0, 0, 2), (2, start, 2), (1, 0xFFFF_FFFE, 3)]
            )
        ]
        await bench.run_requests(ctx, writes)
        assert all(each.status == BlockStatus.OK for each in writes)
        for each in writes:
            for at in range(each.sectors):
                lba = each.lba + at
                data = bytes(each.memory[at * SECTOR : (at + 1) * SECTOR])
                if each.volume:
                    data = xts(keys[slots[each.volume]], lba, data)
                assert bench.disks[each.volume][lba] == data
        # Both ways at once; other sectors, so that the reads find what was written.
        again, more = [], []
        for number, each in enumerate(writes):
            again.append(bench.request(32 + number, each.volume, BlockOpcode.READ, each.lba, 1))
            more.append(bench.request(64 + number, each.volume, BlockOpcode.WRITE, 100 + number, 1))
        await bench.run_requests(
            ctx, [one for pair in zip(again, more, strict=True) for one in pair]
        )
        assert all(each.status == BlockStatus.OK for each in again + more)
        for first, second in zip(writes, again, strict=True):
            assert second.memory == first.memory[:SECTOR]

    bench.run(testbench)


def test_what_ends_in_the_stage():
    bench = Bench(stall=0.1)
    key = bench.rng.randbytes(64)

    async def testbench(ctx):
        await bench.set_volume(ctx, 1, VolumeMode.ENCRYPTED, 5)
        await bench.set_volume(ctx, 2, VolumeMode.ENCRYPTED, 6)
        await bench.load_key(ctx, 6, key)
        cases = [
            # A volume that nobody set up, one whose key is missing, and one that is in order.
            (0, BlockOpcode.READ, BlockStatus.INTERNAL),
            (0, BlockOpcode.FLUSH, BlockStatus.INTERNAL),
            (1, BlockOpcode.READ, BlockStatus.INTERNAL),
            (1, BlockOpcode.WRITE, BlockStatus.INTERNAL),
            (1, BlockOpcode.FLUSH, BlockStatus.OK),
            (2, BlockOpcode.WRITE_ZEROES, BlockStatus.UNSUPPORTED),
            (2, BlockOpcode.DISCARD, BlockStatus.OK),
            (2, BlockOpcode.WRITE, BlockStatus.OK),
        ]
        requests = [
            bench.request(tag, volume, opcode, 9, 1)
            for tag, (volume, opcode, _) in enumerate(cases)
        ]
        await bench.run_requests(ctx, requests)
        assert [each.status for each in requests] == [status for *_, status in cases]
        assert sorted(bench.seen) == [4, 6, 7]
        assert bench.disks[0] == bench.disks[1] == {}
        assert bench.disks[2][9] == xts(key, 9, bytes(requests[7].memory))

    bench.run(testbench)


def test_memory_that_cannot_be_read():
    bench = Bench()
    key = bench.rng.randbytes(64)
    bench.unreadable = {1, 3}

    async def testbench(ctx):
        await bench.load_key(ctx, 0, key)
        await bench.set_volume(ctx, 0, VolumeMode.ENCRYPTED, 0)
        await bench.set_volume(ctx, 1, VolumeMode.PLAIN)
        requests = [
            bench.request(tag, tag // 2 % 2, BlockOpcode.WRITE, 10 * tag, 2) for tag in range(5)
        ]
        await bench.run_requests(ctx, requests)
        for each in requests:
            broken = each.tag in bench.unreadable
            assert each.status == (BlockStatus.DATA_TRANSFER if broken else BlockStatus.OK)
        assert xts(key, 40, bench.disks[0][40], decrypt=True) == requests[4].memory[:SECTOR]

    bench.run(testbench)


@pytest.mark.parametrize("opcode", [BlockOpcode.WRITE, BlockOpcode.READ])
def test_a_key_that_vanishes(opcode):
    bench = Bench(stall=0)
    key, other = bench.rng.randbytes(64), bench.rng.randbytes(64)
    lost = bench.request(1, 1, opcode, 0, 5)
    kept = bench.request(2, 2, opcode, 0, 2)
    plain = bytes(lost.memory)
    cipher = [xts(key, at, plain[at * SECTOR : (at + 1) * SECTOR]) for at in range(5)]

    async def testbench(ctx):
        await bench.load_key(ctx, 5, key)
        await bench.load_key(ctx, 6, other)
        for volume, slot in ((1, 5), (2, 6)):
            await bench.set_volume(ctx, volume, VolumeMode.ENCRYPTED, slot)
            bench.disks[volume] = {
                at: xts((key, other)[volume - 1], at, plain[at * SECTOR : (at + 1) * SECTOR])
                for at in range(5)
            }

        async def vanish(ctx):
            for _ in range(700):
                await ctx.tick()
            ctx.set(bench.dut.usable, 1 << 6)
            for _ in range(16):
                await ctx.tick()
            erase = {"slot": 5, "index": 0, "erase": 1, "data": 0}
            await bench.put(ctx, bench.dut.keys, erase)

        bench.disks[1] = dict(enumerate(cipher))
        await bench.run_requests(ctx, [lost, kept], vanish)
        assert lost.status == BlockStatus.INTERNAL
        assert kept.status == BlockStatus.OK
        assert bench.pull_errors + bench.push_errors > 0
        if opcode == BlockOpcode.WRITE:
            # Nothing that left was in clear, and nothing under another key.
            blocks = {plain[at : at + 16] for at in range(0, len(plain), 16)}
            seen = bench.wire_seen
            assert not blocks & {seen[at : at + 16] for at in range(0, len(seen), 16)}
            for at, data in bench.disks[1].items():
                assert data == cipher[at]
        else:
            for at in range(0, len(plain), 16):
                assert lost.memory[at : at + 16] in (
                    plain[at : at + 16],
                    bytes(16),
                    lost.before[at : at + 16],
                )

    lost.before = bytes(lost.memory)
    bench.run(testbench)


@pytest.mark.parametrize("sectors", [1, 8])
def test_rate(sectors):
    """More than a gigabit a second at 62.5 MHz, both ways together, in spans of any length."""
    bench = Bench(stall=0)
    bench.spans = lambda request: [
        (request.tag, at, sectors) for at in range(0, request.sectors, sectors)
    ]
    key = bench.rng.randbytes(64)
    count = 8

    async def testbench(ctx):
        await bench.load_key(ctx, 3, key)
        await bench.set_volume(ctx, 0, VolumeMode.ENCRYPTED, 3)
        bench.disks[0] = {at: bench.rng.randbytes(SECTOR) for at in range(count)}
        requests = [
            bench.request(0, 0, BlockOpcode.READ, 0, count),
            bench.request(1, 0, BlockOpcode.WRITE, 100, count),
        ]
        before = bench.cycles
        await bench.run_requests(ctx, requests)
        moved = 8 * 2 * count * SECTOR
        # Without the way in and out of the first packet and the last.
        assert moved * 62.5e6 / (bench.cycles - before - 150) > 1e9

    bench.run(testbench)

"""Random commands of all kinds, all shapes of PRPs, and faults at each place.

What a command must end with, and what must then stand where, is worked out here from the
specification (NVM Command Set 1.0, Base 2.0) and from how its entry was made.
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from niter.interface import SECTOR_BYTES, BlockOpcode, BlockStatus
from niter.nvme.engine import DNR, StatusCode
from niter.nvme.engine.decode import Opcode
from tests.support.stream import SEEDS

from .prp import PAGE, Prp
from .rig import Entry, Namespace, Rig
from .target import sector

DATA = (Opcode.READ, Opcode.WRITE, Opcode.COMPARE)
#: Commands of a test.
COUNT = 14

CHANGES = (Opcode.WRITE, Opcode.WRITE_ZEROES, Opcode.DATASET_MANAGEMENT)

#: How the end of a request shows in the end of a command.
ENDS = {
    BlockStatus.OUT_OF_RANGE: 0x80 | DNR,
    BlockStatus.READ_ONLY: 0x20 | DNR,
    BlockStatus.NO_VOLUME: 0x0B | DNR,
    BlockStatus.UNSUPPORTED: 0x01 | DNR,
    BlockStatus.PATH: 0x360,
    BlockStatus.RESERVED: 0x83 | DNR,
    BlockStatus.DATA_TRANSFER: 0x04,
    BlockStatus.INTERNAL: 0x06,
}


@dataclass
class Command:
    """An entry, and what must come of it."""

    entry: Entry
    status: int
    prp: Prp | None = None
    #: Sectors, (volume, first, number), that a successful command reads or writes.
    extent: tuple[int, int, int] | None = None
    content: bytes = b""
    #: Requests without data that the target must see: opcode, volume, first sector, sectors.
    requests: list[tuple[BlockOpcode, int, int, int]] = field(default_factory=list)


class Maker:
    """Makes commands; each has sectors of its own, so that their order does not matter."""

    def __init__(self, rig: Rig, statuses: dict[int, BlockStatus]):
        self.rig, self.rng, self.statuses = rig, rig.rng, statuses
        self.cid = 0
        self.next = Counter()

    def place(self, key, blocks):
        """First of so many blocks that no other command has."""
        first = self.next[key]
        self.next[key] += blocks
        return first

    def command(self) -> Command:
        rng, rig = self.rng, self.rig
        self.cid += 1
        key = rng.choice([k for k, n in rig.namespaces.items() if n.active and not n.read_only])
        namespace = rig.namespaces[key]
        opcode = rng.choice(
            [
                *DATA,
                *DATA,
                Opcode.FLUSH,
                Opcode.WRITE_ZEROES,
                Opcode.DATASET_MANAGEMENT,
                Opcode.VERIFY,
            ]
        )
        largest = 32 if namespace.large else 256
        blocks = rng.choice([1, 1, rng.randint(1, 2 if namespace.large else 18)])
        if rng.random() < 0.02:
            blocks = rng.randint(largest // 2, largest)
        if opcode in (Opcode.WRITE_ZEROES, Opcode.VERIFY) and rng.random() < 0.3:
            blocks = rng.choice([4096, 4097, 65536])
        first = self.place(key, blocks)
        entry = Entry(
            opcode,
            self.cid,
            key[1],
            slba=first,
            dword12=(blocks - 1) | rng.getrandbits(1) << 30 | rng.getrandbits(1) << 31,
            function=key[0],
            queue=rng.randint(1, 16),
        )
        command = Command(entry, 0)
        shift = namespace.shift
        if opcode in DATA:
            length = blocks * SECTOR_BYTES << shift
            offset = rng.choice([0, 0, 4, PAGE - 4, 4 * rng.randrange(PAGE // 4)])
            list_offset = rng.choice([0, 8 * rng.randrange(PAGE // 8), PAGE - 8, PAGE - 16])
            command.prp = rig.prp(length, offset, list_offset)
            command.extent = namespace.volume, first << shift, blocks << shift
            self.data(command)
        elif opcode == Opcode.DATASET_MANAGEMENT:
            self.ranges(command, key)
        elif opcode == Opcode.FLUSH:
            self.flush(command, key)
        else:
            kind = BlockOpcode.VERIFY if opcode == Opcode.VERIFY else BlockOpcode.WRITE_ZEROES
            command.requests = self.parts(kind, namespace, first, blocks)
            if opcode == Opcode.WRITE_ZEROES and entry.dword12 >> 30 & 1:
                command.requests.append((BlockOpcode.FLUSH, namespace.volume, 0, 0))
        if command.prp:
            command.entry = replace(command.entry, prp1=command.prp.prp1, prp2=command.prp.prp2)
        return self.fault(command) if rng.random() < 0.4 else command

    @staticmethod
    def parts(kind, namespace, first, blocks):
        """A long command without data is several requests."""
        return [
            (
                kind,
                namespace.volume,
                first + at << namespace.shift,
                min(4096, blocks - at) << namespace.shift,
            )
            for at in range(0, blocks, 4096)
        ]

    def data(self, command):
        volume, first, sectors = command.extent
        if command.entry.opcode == Opcode.READ:
            return
        command.content = self.rng.randbytes(sectors * SECTOR_BYTES)
        if command.entry.opcode == Opcode.COMPARE:
            command.content = b"".join(sector(volume, first + at) for at in range(sectors))
            if self.rng.random() < 0.4:
                at = self.rng.randrange(len(command.content))
                wrong = bytearray(command.content)
                wrong[at] ^= 1 << self.rng.randrange(8)
                command.content = bytes(wrong)
                command.status = StatusCode.COMPARE_FAILURE | DNR
        self.rig.put(command.prp, command.content)

    def ranges(self, command, key):
        rng, namespace = self.rng, self.rig.namespaces[key]
        count = rng.choice([1, 1, 2, 5])
        content = b""
        for _ in range(count):
            blocks = rng.choice([0, 1, 8, 5000])
            first = self.place(key, blocks)
            content += rng.randbytes(4) + blocks.to_bytes(4, "little") + first.to_bytes(8, "little")
            command.requests += self.parts(BlockOpcode.DISCARD, namespace, first, blocks)
        command.prp = self.rig.prp(
            len(content), rng.choice([0, PAGE - 4, PAGE - 8, PAGE - 12, 4 * rng.randrange(1024)])
        )
        self.rig.put(command.prp, content)
        deallocate = rng.random() < 0.8
        if not deallocate:
            command.requests = []
        command.entry = replace(command.entry, slba=count - 1 | deallocate << 34)

    def flush(self, command, key):
        volumes = [self.rig.namespaces[key].volume]
        if self.rng.random() < 0.3:
            command.entry = replace(command.entry, nsid=0xFFFFFFFF)
            volumes = [
                n.volume for k, n in self.rig.namespaces.items() if k[0] == key[0] and n.active
            ]
        command.requests = [(BlockOpcode.FLUSH, volume, 0, 0) for volume in volumes]

    def fault(self, command) -> Command:
        """Something is wrong with it, and nothing else."""
        rng, entry = self.rng, command.entry
        namespace = self.rig.namespaces.get((entry.function, entry.nsid))
        kinds = ["opcode", "fused", "sgl", "nsid", "inactive"]
        if entry.opcode in DATA:
            kinds += ["prp1", "prp2", "status", "length"]
            kinds += ["list"] * 2 * bool(command.prp.lists)
            # A comparison may end with whichever comes first.
            kinds += ["host"] * 2 * (entry.opcode != Opcode.READ and not command.status)
            kinds += ["host list"] * 2 * bool(command.prp.lists)
        if entry.opcode not in (Opcode.FLUSH, Opcode.DATASET_MANAGEMENT):
            kinds += ["range", "protection"]
        if entry.opcode in CHANGES:
            kinds += ["read-only"]
        if entry.opcode == Opcode.DATASET_MANAGEMENT and command.requests:
            kinds += ["prp1", "host"]
        if entry.opcode in (Opcode.WRITE_ZEROES, Opcode.VERIFY):
            kinds += ["status"]
        kind = rng.choice(kinds)
        change = {}
        wrong = StatusCode.INVALID_FIELD | DNR
        blocks = (entry.dword12 & 0xFFFF) + 1
        if kind == "opcode":
            change["opcode"] = rng.choice([0x03, 0x04, 0x0D, 0x0E, 0x11, 0x15, 0x19, 0x80, 0xFF])
            wrong = StatusCode.INVALID_OPCODE | DNR
        elif kind == "fused":
            change["flags"] = rng.choice([1, 2])
        elif kind == "sgl":
            change["flags"] = rng.choice([0x40, 0x80, 0xC0])
        elif kind == "nsid":
            change["nsid"] = rng.choice([0, 5, 0x80000001, 0xFFFFFFFE])
            wrong = StatusCode.INVALID_NAMESPACE_OR_FORMAT | DNR
        elif kind == "inactive":
            change |= {"nsid": 4, "function": 2}
        elif kind == "protection":
            bits = [24, 26, 27, 28, 29] + [20, 23] * (entry.opcode == Opcode.WRITE)
            change["dword12"] = entry.dword12 | 1 << rng.choice(bits)
        elif kind == "length":
            change["dword12"] = (entry.dword12 & ~0xFFFF) | (32 if namespace.large else 256)
        elif kind == "range":
            # The last block that there is, and one more.
            beyond = rng.choice([namespace.blocks - blocks + 1, (1 << 56) + entry.slba])
            change["slba"] = rng.choice([beyond, namespace.blocks, (1 << 64) - 1])
            wrong = StatusCode.LBA_OUT_OF_RANGE | DNR
        elif kind == "read-only":
            change |= {"nsid": 2, "function": 2}
            if entry.opcode != Opcode.DATASET_MANAGEMENT:
                change |= {"slba": 0, "dword12": 0}
            wrong = StatusCode.NAMESPACE_WRITE_PROTECTED | DNR
            if entry.nsid == 0xFFFFFFFF or not (command.requests or command.prp):
                change = {"flags": 1}
                wrong = StatusCode.INVALID_FIELD | DNR
        elif kind == "prp1":
            change["prp1"] = entry.prp1 | rng.choice([1, 2, 3])
            wrong = StatusCode.PRP_OFFSET_INVALID | DNR
        elif kind == "prp2":
            pieces = len(command.prp.segments)
            if pieces == 1:
                return command
            low = (1, 2, 4) if pieces > 2 else (1, 4, 8, 2048)
            change["prp2"] = entry.prp2 | rng.choice(low)
            if change["prp2"] == entry.prp2:
                return command
            wrong = StatusCode.PRP_OFFSET_INVALID | DNR
        elif kind == "list":
            address, entries = rng.choice(command.prp.lists)
            at = rng.randrange(len(entries))
            bad = entries[at] | rng.choice([1, 8, 2048])
            self.rig.space.put(address + 8 * at, bad.to_bytes(8, "little"))
            wrong = StatusCode.PRP_OFFSET_INVALID | DNR
        elif kind == "host list":
            address, entries = rng.choice(command.prp.lists)
            self.rig.refused.add(address + 8 * rng.randrange(len(entries)))
            wrong = StatusCode.DATA_TRANSFER_ERROR
        elif kind == "host":
            address, length = rng.choice(command.prp.segments)
            self.rig.refused.add(address + rng.randrange(length))
            wrong = StatusCode.DATA_TRANSFER_ERROR
        elif kind == "status":
            status = rng.choice([*ENDS, BlockStatus.MEDIUM])
            if command.extent:
                self.statuses[command.extent[1]] = status
            else:
                self.statuses[rng.choice(command.requests[: -(-blocks // 4096)])[2]] = status
            reads = entry.opcode not in CHANGES
            wrong = ENDS.get(status, 0x281 if reads else 0x280)
        partly = kind in ("host", "status") and not command.extent
        return replace(
            command,
            entry=replace(entry, **change),
            status=int(wrong),
            extent=None,
            requests=None if partly else [],
        )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("stall", "tags"), [(0.0, 32), (0.3, 4)])
def test_random_commands(seed, stall, tags):
    rng = random.Random(seed)
    numbers = rng.sample(range(16), 12)
    namespaces = {
        (function, nsid): Namespace(
            # Far from each other, so that a fault is that of one request.
            numbers[3 * function + nsid - 1],
            blocks=[1 << 20, (1 << 53) - 9, 1 << 40][nsid - 1],
            large=(function + nsid) % 2 == 0,
        )
        for function in (0, 1, 3)
        for nsid in (1, 2, 3)
        if 3 * function + nsid - 1 < len(numbers)
    }
    namespaces[2, 2] = Namespace(15, 1000, read_only=True)
    namespaces[2, 4] = Namespace(15, 1000, active=False)
    statuses: dict[int, BlockStatus] = {}
    rig = Rig(seed, namespaces, tags=tags, stall=stall, statuses=statuses)
    maker = Maker(rig, statuses)
    # Sectors of different namespaces have different numbers, for ``statuses``.
    for number, (key, namespace) in enumerate(namespaces.items()):
        maker.next[key] = min(number << 16, namespace.blocks - 300_000) >> namespace.shift
    commands = [maker.command() for _ in range(COUNT)]

    async def run(ctx):
        await rig.attach(ctx)
        for command in commands:
            await rig.submit(ctx, command.entry)
        for command in commands:
            entry = command.entry
            status = await rig.end(ctx, (entry.function, entry.queue, entry.cid))
            assert status == command.status, f"{status:#x} for {command.entry} {command.status:#x}"

    rig.bench.add(run)
    rig.bench.run(limit=400_000)
    check(rig, commands)


def check(rig, commands):
    """Everything is where it has to be."""
    host = rig.host()
    expected = Counter()
    unsure = False
    for command in commands:
        unsure = unsure or command.requests is None
        expected.update(command.requests or [])
        if not command.extent or command.status:
            continue
        volume, first, sectors = command.extent
        if command.entry.opcode == Opcode.READ:
            want = b"".join(sector(volume, first + at) for at in range(sectors))
            got = b"".join(
                bytes(host.pop(address + at) for at in range(length))
                for address, length in command.prp.segments
            )
            assert got == want, command.entry
        elif command.entry.opcode == Opcode.WRITE:
            got = b"".join(rig.target.written.pop((volume, first + at)) for at in range(sectors))
            assert got == command.content, command.entry
    assert not rig.target.written
    moved = (BlockOpcode.READ, BlockOpcode.WRITE)
    seen = Counter()
    for request in rig.target.requests:
        if request.opcode == BlockOpcode.FLUSH:
            seen[request.opcode, request.volume, 0, 0] += 1
        elif request.opcode not in moved:
            seen[request.opcode, request.volume, request.lba, request.sectors] += 1
    assert not expected - seen
    assert unsure or expected == seen
    # What failed reads left behind lies in their pages.
    pages = {
        address // PAGE
        for command in commands
        if command.entry.opcode == Opcode.READ and command.status
        for address, _ in command.prp.segments
    }
    assert {address // PAGE for address in host} <= pages

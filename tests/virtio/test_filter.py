"""The receive filter against its rules in plain Python."""

import random
from dataclasses import dataclass, field

import pytest

from niter.virtio.net.filter import HASHES_FROM, Filter
from tests.support import csr
from tests.support.stream import SEEDS, STALLS, Bench, Packet

MODE, TABLE = 0, 1
PROMISCUOUS, ALL_MULTICAST, ALL_UNICAST, NO_MULTICAST = (1 << n for n in range(4))
NO_UNICAST, NO_BROADCAST, HASHES, VLANS = (1 << n for n in range(4, 8))
BROADCAST = b"\xff" * 6
GROUPS = [bytes.fromhex(each) for each in ("01005e000001", "333300000001", "3333ff123456")]
OWN = bytes.fromhex("020000000001")


def hash_of(mac: bytes) -> int:
    """6-bit groups from the low end of the first byte on, by exclusive or."""
    bits = int.from_bytes(mac, "little")
    found = 0
    while bits:
        found, bits = found ^ bits & 63, bits >> 6
    return found


@dataclass
class Wants:
    """A function's modes and tables, as its driver has asked for them."""

    modes: int = 0
    hashes: set[int] = field(default_factory=set)
    vlans: set[int] = field(default_factory=set)

    def takes(self, frame: bytes) -> bool:
        if self.modes & PROMISCUOUS:
            return True
        to = frame[:6]
        if to == BROADCAST:
            kind = not self.modes & NO_BROADCAST
        elif to[0] & 1:
            kind = not self.modes & NO_MULTICAST
            listed = not self.modes & HASHES or hash_of(to) in self.hashes
            kind &= listed or bool(self.modes & ALL_MULTICAST)
        else:
            kind = not self.modes & NO_UNICAST or self.modes & ALL_UNICAST
        tagged = frame[12:14] == b"\x81\x00"
        vlan = int.from_bytes(frame[14:16], "big") & 0xFFF
        return bool(kind and (not self.modes & VLANS or not tagged or vlan in self.vlans))


class Rig:
    """The filter, frames, and what software writes."""

    def __init__(self, functions=2, seed=1):
        self.dut = Filter(functions)
        self.bench = Bench(self.dut, seed)
        self.random = random.Random(seed)
        self.ready = 0xFF

    async def mode(self, ctx, function, modes):
        await csr.write(ctx, self.dut.csr, MODE, modes | function << 8)

    async def table(self, ctx, function, place, wanted, onward=0):
        value = place | function << 13 | wanted << 16 | onward << 17
        await csr.write(ctx, self.dut.csr, TABLE, value)
        while await csr.read(ctx, self.dut.csr, TABLE) >> 18:
            await ctx.tick()

    async def set(self, ctx, function, wants):
        await self.table(ctx, function, HASHES_FROM, 0, 1)
        for each in wants.hashes:
            await self.table(ctx, function, HASHES_FROM + each, 1)
        for each in wants.vlans:
            await self.table(ctx, function, each, 1)
        await self.mode(ctx, function, wants.modes)

    def frame(self, function, to, vlan=None, length=None):
        tag = b"" if vlan is None else b"\x81\x00" + (vlan | 0x6000).to_bytes(2, "big")
        content = to + OWN[::-1] + tag + b"\x08\x00"
        size = self.random.choice((14, 18, 60, 61)) if length is None else length
        content += self.random.randbytes(max(0, size - len(content)))
        return Packet(content, sideband={"meta": {"function": function, "length": len(content)}})

    def pass_frames(self, ctx_work, packets, expected, stalls=(0.0, 0.0)):
        """Do what software does, then frames; returns the cycles that the frames took."""
        began = []

        async def work(ctx):
            ctx.set(self.dut.ready, self.ready)
            await ctx.tick()
            await ctx_work(ctx)
            began.append(self.bench.cycles)

        self.bench.add(work)
        source = self.bench._put

        async def put(ctx, port, payload):
            while not began:
                await ctx.tick()
            await source(ctx, port, payload)

        self.bench._put = put
        self.bench.send(self.dut.i, packets, stall=stalls[0])
        got = self.bench.receive(self.dut.o, len(expected), stall=stalls[1])
        end = self.bench.run(60_000)
        assert [each.data for each in got] == [each.data for each in expected]
        for one, other in zip(got, expected, strict=True):
            assert one.sideband["meta"].function == other.sideband["meta"]["function"]
            assert one.error == other.error
        return end - began[0]


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_driver_wants(seed, stalls):
    rig = Rig(2, seed)
    draw = rig.random
    wants = [
        Wants(draw.randrange(256) & ~PROMISCUOUS, {hash_of(GROUPS[0])}, {1, 4094}),
        Wants(draw.choice((0xFF, HASHES | VLANS)), {hash_of(GROUPS[2])}, {0}),
    ]
    packets = [
        rig.frame(
            draw.randrange(2),
            draw.choice((BROADCAST, *GROUPS, OWN)),
            draw.choice((None, None, 0, 1, 2, 4094, 4095)),
        )
        for _ in range(50)
    ]
    packets.append(Packet(b"short", True, {"meta": {"function": 0, "length": 5}}))
    packets += [rig.frame(0, OWN), rig.frame(1, BROADCAST)]
    expected = [p for p in packets if wants[p.sideband["meta"]["function"]].takes(p.data)]

    async def work(ctx):
        for function, want in enumerate(wants):
            await rig.set(ctx, function, want)

    rig.pass_frames(work, packets, expected, stalls)


def test_all_modes_at_once():
    """Every combination of modes, for each kind of frame, in a function of four."""
    for modes in range(0, 256, 11):
        rig = Rig(4)
        want = Wants(modes, {hash_of(GROUPS[1])}, {7})
        packets = [
            rig.frame(3, to, vlan)
            for to in (BROADCAST, GROUPS[0], GROUPS[1], OWN)
            for vlan in (None, 7, 8)
        ]
        # Another function's, behind each, passes.
        packets += [rig.frame(2, BROADCAST, 9), rig.frame(2, GROUPS[0])]
        expected = [p for p in packets[:-2] if want.takes(p.data)] + packets[-2:]

        async def work(ctx, rig=rig, want=want):
            await rig.set(ctx, 3, want)

        rig.pass_frames(work, packets, expected)


def test_a_beat_a_cycle():
    rig = Rig()
    packets = [rig.frame(0, OWN, length=64) for _ in range(40)]
    packets[::2] = [rig.frame(0, BROADCAST, length=64) for _ in range(20)]

    async def work(ctx):
        await rig.set(ctx, 0, Wants(NO_BROADCAST))

    assert rig.pass_frames(work, packets, packets[1::2]) <= 40 * 8 + 12


def test_a_reset_brings_everything_back():
    """Modes are clear while no driver runs, and cannot be set."""
    rig = Rig()
    packets = [rig.frame(n, to) for n in range(2) for to in (BROADCAST, GROUPS[0], OWN)]

    async def work(ctx):
        for function in range(2):
            await rig.set(ctx, function, Wants(NO_BROADCAST | NO_MULTICAST | NO_UNICAST))
        ctx.set(rig.dut.ready, 0xFE)
        await ctx.tick()
        await rig.mode(ctx, 0, NO_UNICAST)
        await ctx.tick()
        ctx.set(rig.dut.ready, 0xFF)
        await ctx.tick()

    rig.pass_frames(work, packets, packets[:3])


def test_many_bits_at_once():
    """From a place on to the end of the function's table, and of no other."""
    rig = Rig()
    vlans = [0, 1, 99, 100, 101, 4095]
    packets = [rig.frame(n, OWN, vlan) for n in range(2) for vlan in vlans]
    packets += [rig.frame(n, GROUPS[0]) for n in range(2)]

    async def work(ctx):
        for function in range(2):
            await rig.table(ctx, function, 0, 1, 1)
            await rig.mode(ctx, function, HASHES | VLANS)
        await rig.table(ctx, 0, 100, 0, 1)

    rig.pass_frames(work, packets, packets[:3] + packets[6:12] + packets[13:])

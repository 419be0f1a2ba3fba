import random

import pytest
from amaranth import Module
from amaranth.lib import data
from amaranth.lib.wiring import connect

from niter.interface import Beat
from niter.stream import Checksum, HeaderInsert, HeaderRemove, WidthConverter
from tests.support.stream import SEEDS, STALLS, Bench, Packet, random_packets


class Tagged(data.Struct):
    packet: Beat
    tag: 9


OFFSETS = [0, 7, 8, 12, 19]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_insert_any(offset, stall, seed):
    dut = HeaderInsert(Tagged, offset=offset)
    rng = random.Random(seed)
    sent = random_packets(rng, 25, longest=60, errors=0.2)
    headers, expected = [], []
    for number, packet in enumerate(sent):
        packet.sideband = {"tag": number}
        packet.insert = rng.random() < 0.7
        data = packet.data
        if packet.insert:
            header = rng.randbytes(rng.randint(1, 40))
            headers.append(Packet(header))
            data = data[:offset] + header + data[offset:]
        short = packet.insert and len(packet.data) <= offset
        expected.append(Packet(data, packet.error or short, packet.sideband))
    bench = Bench(dut, seed)
    bench.send(dut.i, sent, stall=stall[0], extra=lambda ctx, p: ctx.set(dut.insert, p.insert))
    bench.send(dut.header, headers, stall=stall[0])
    taken = bench.receive(dut.o, len(sent), stall=stall[1])
    cycles = bench.run()
    assert [p.sideband for p in taken] == [p.sideband for p in expected]
    assert [p.error for p in taken] == [p.error for p in expected]
    assert [p for p in taken if not p.error] == [p for p in expected if not p.error]
    if stall == (0, 0):
        own = sum(-(-len(p.data) // 8) for p in sent + headers)
        assert cycles <= own + 2 * len(headers) + 8


@pytest.mark.parametrize("offset", [0, 12])
@pytest.mark.parametrize("lengths", [[8], [4], [50], [50, 70], [20, 40, 16]])
def test_insert_some(offset, lengths):
    dut = HeaderInsert(Beat, offset=offset, lengths=lengths)
    rng = random.Random(1)
    sent = [p for p in random_packets(rng, 25, longest=60) if len(p.data) > offset]
    headers = [Packet(rng.randbytes(rng.choice(lengths))) for _ in sent]
    bench = Bench(dut, 1)
    bench.send(dut.i, sent, extra=lambda ctx, p: ctx.set(dut.insert, 1))
    bench.send(dut.header, headers)
    taken = bench.receive(dut.o, len(sent))
    bench.run()
    assert [p.data for p in taken] == [
        p.data[:offset] + h.data + p.data[offset:] for p, h in zip(sent, headers, strict=True)
    ]


@pytest.mark.parametrize("seed", SEEDS[:1])
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("lengths", [None, [0, 4, 50]])
@pytest.mark.parametrize("offset", OFFSETS)
def test_remove(offset, lengths, stall, seed):
    dut = HeaderRemove(Tagged, offset=offset, lengths=lengths)
    rng = random.Random(seed)
    sent = random_packets(rng, 25, longest=100, errors=0.2)
    expected = []
    for number, packet in enumerate(sent):
        packet.sideband = {"tag": number}
        packet.length = rng.choice(lengths or [0, rng.randrange(30), rng.randrange(128)])
        left = packet.data[:offset] + packet.data[offset + packet.length :]
        short = packet.length and len(packet.data) <= offset + packet.length
        expected.append(Packet(left, packet.error or bool(short), packet.sideband))
    bench = Bench(dut, seed)
    bench.send(dut.i, sent, stall=stall[0], extra=lambda ctx, p: ctx.set(dut.length, p.length))
    taken = bench.receive(dut.o, len(sent), stall=stall[1])
    cycles = bench.run()
    assert [p.sideband for p in taken] == [p.sideband for p in expected]
    assert [p.error for p in taken] == [p.error for p in expected]
    assert [p for p in taken if not p.error] == [p for p in expected if not p.error]
    if stall == (0, 0):
        assert cycles <= sum(-(-len(p.data) // 8) + 2 for p in sent) + 8


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_width(lanes, stall, seed):
    # There and back again: the narrow side is checked by its length in cycles.
    down, up = WidthConverter(8, lanes), WidthConverter(lanes, 8)
    dut = Module()
    dut.submodules += [down, up]
    connect(dut, down.o, up.i)
    sent = random_packets(random.Random(seed), 40, longest=40, errors=0.2)
    bench = Bench(dut, seed)
    bench.send(down.i, sent, stall=stall[0])
    taken = bench.receive(up.o, len(sent), stall=stall[1])
    cycles = bench.run()
    assert taken == sent
    if stall == (0, 0):
        parts = sum(-(-len(p.data) // lanes) for p in sent)
        assert parts <= cycles <= parts + 4


@pytest.mark.parametrize("seed", SEEDS)
def test_checksum(seed):
    dut = Checksum()
    rng = random.Random(seed)
    packets = random_packets(rng, 80, longest=120)
    packets += [Packet(b"\xff" * 9728), Packet(b"\xff" * 9727), Packet(b"\0" * 64)]
    starts = [2 * rng.randrange(len(p.data) // 2 + 4) for p in packets]
    starts[-3:] = [0, 0, 0]
    expected = [_sum(p.data[s:]) for p, s in zip(packets, starts, strict=True)]
    bench = Bench(dut, seed)

    async def drive(ctx):
        for packet, start in zip(packets, starts, strict=True):
            ctx.set(dut.start, start)
            for at in range(0, len(packet.data), 8):
                chunk = packet.data[at : at + 8]
                junk = rng.randbytes(8 - len(chunk))
                last = at + 8 >= len(packet.data)
                word = int.from_bytes(chunk + junk, "little")
                ctx.set(dut.beat, {"data": word, "empty": len(junk), "last": last})
                ctx.set(dut.stb, 1)
                await ctx.tick()
                ctx.set(dut.stb, 0)
                if rng.random() < 0.2:
                    await ctx.tick()

    results = []

    async def collect(ctx):
        while len(results) < len(packets):
            results.append((await ctx.tick().sample(dut.sum).until(dut.done))[0])

    bench.add(drive)
    bench.add(collect)
    bench.run()
    assert results == expected


def _sum(octets):
    """RFC 1071, section 4.1, in plain Python."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total

"""The packet port: what it takes from the wire, word by word, and what it lets go."""

import random
from itertools import pairwise

from amaranth.sim import Simulator
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from niter.soc.packet import PacketPort
from tests.support.csr import read, write

PORT = 4660
AT = {
    ".".join(info.path): info.start
    for info in PacketPort(resolves=True).bus.memory_map.all_resources()
}


def datagram(length, port=PORT, **options):
    return bytes(Ether() / IP(**options) / UDP(dport=port) / bytes(range(256))[:length])


async def passes(ctx, dut, frame, *, error=False, wire=1):
    """Let a frame pass the tap, with gaps."""
    draw = random.Random(len(frame))
    ctx.set(dut.tap.length, len(frame))
    ctx.set(dut.tap.port, wire)
    for at in range(0, len(frame), 8):
        beat = frame[at : at + 8]
        last = at + 8 >= len(frame)
        packet = dut.tap.packet
        ctx.set(packet.data, int.from_bytes(beat, "little"))
        ctx.set(packet.empty, 8 - len(beat))
        ctx.set(packet.last, last)
        ctx.set(packet.error, error and last)
        ctx.set(dut.tap.transfer, 1)
        await ctx.tick()
        ctx.set(dut.tap.transfer, 0)
        for _ in range(draw.randrange(3)):
            await ctx.tick()


async def taken(ctx, dut):
    """The frame that waits for software, and where it came from; None if there is none."""
    word = await read(ctx, dut.bus, AT["port.receive"])
    length = word & 0x3FFF
    if not length:
        return None
    words = [await read(ctx, dut.bus, AT["frame.received"]) for _ in range(-(-length // 4))]
    await write(ctx, dut.bus, AT["port.done"], 0)
    return b"".join(each.to_bytes(4, "little") for each in words)[:length], word >> 14


def simulate(testbench, *others, resolves=False):
    dut = PacketPort(resolves=resolves)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def run(ctx):
        await write(ctx, dut.bus, AT["port.interval"], 1)
        await testbench(ctx, dut)

    sim.add_testbench(run)
    for other in others:
        sim.add_testbench(other, background=True)
    sim.run()


def test_datagrams_for_its_port_come_whole():
    async def testbench(ctx, dut):
        await passes(ctx, dut, datagram(20))
        assert await taken(ctx, dut) is None, "nobody listens"
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        for length in (18, 19, 20, 21, 22, 23, 24, 25, 200):
            frame = datagram(length)
            await passes(ctx, dut, frame, wire=length % 2)
            assert await taken(ctx, dut) == (frame, length % 2)
        assert await taken(ctx, dut) is None

    simulate(testbench)


def test_two_wait_and_a_third_is_lost():
    async def testbench(ctx, dut):
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        frames = [datagram(length) for length in (30, 40, 50)]
        for frame in frames:
            await passes(ctx, dut, frame)
        assert [await taken(ctx, dut) for _ in range(3)] == [(frames[0], 1), (frames[1], 1), None]
        assert await read(ctx, dut.bus, AT["port.lost"]) == 1

    simulate(testbench)


def test_one_may_come_ahead_of_its_interval():
    interval, count, now = 800, 8, 0

    async def clock(ctx):
        nonlocal now
        async for _ in ctx.tick():
            now += 1

    async def testbench(ctx, dut):
        await write(ctx, dut.bus, AT["port.interval"], interval)
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        came, frames, paused = [], 0, False
        while len(came) < count:
            # As fast as can be, and after a pause once more.
            if len(came) == count // 2 and not paused:
                await ctx.tick().repeat(3 * interval)
                paused = True
            await passes(ctx, dut, datagram(20))
            frames += 1
            if await taken(ctx, dut):
                came.append(now)
        for first in (0, count // 2):
            gaps = [after - before for before, after in pairwise(came[first:][: count // 2])]
            assert gaps[0] < interval / 10, "two at once"
            assert all(abs(gap - interval) < interval / 10 for gap in gaps[2:]), gaps
            assert abs(gaps[0] + gaps[1] - interval) < interval / 10
        assert await read(ctx, dut.bus, AT["port.lost"]) == (frames - count) % 256

    simulate(testbench, clock)


def request(address, **fields):
    """As it comes from the wire, with Ethernet's padding."""
    return bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=address, **fields)).ljust(60, b"\0")


def test_who_asks_for_its_address_is_heard():
    own = "198.51.100.1"
    others = ["198.51.100.2", "198.51.101.1", "198.50.100.1", "199.51.100.1", "0.0.0.0"]

    async def testbench(ctx, dut):
        number = int.from_bytes(bytes(map(int, own.split("."))), "big")
        await write(ctx, dut.bus, AT["port.resolve"], number)
        await passes(ctx, dut, request(own))
        assert await taken(ctx, dut) is None, "nobody listens"
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        for frame in (request(own), request(own)[:42], datagram(20), request(own)):
            await passes(ctx, dut, frame)
            assert await taken(ctx, dut) == (frame, 1)
        tagged = request(own)[:12] + b"\x81\0\0\1" + request(own)[12:]
        short, answer = request(own)[:40], request(own, op=2)
        for frame in (*map(request, others), tagged, short, answer):
            await passes(ctx, dut, frame)
            assert await taken(ctx, dut) is None
        await passes(ctx, dut, request(own), error=True)
        assert await taken(ctx, dut) is None
        assert await read(ctx, dut.bus, AT["port.lost"]) == 0

    simulate(testbench, resolves=True)


def test_where_the_overlay_answers_nobody_hears_who_asks():
    async def testbench(ctx, dut):
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        await passes(ctx, dut, request("0.0.0.0"))
        assert await taken(ctx, dut) is None

    simulate(testbench)


def test_what_is_not_for_it_goes_by():
    async def testbench(ctx, dut):
        await write(ctx, dut.bus, AT["port.listen"], PORT)
        for frame in (
            datagram(20, port=PORT + 1),
            datagram(20, flags="MF"),
            datagram(20, frag=3),
            bytes(Ether() / IP() / TCP(dport=PORT) / bytes(30)),
            bytes(Ether(type=0x86DD) / bytes(60)),
            datagram(20)[:38],
        ):
            await passes(ctx, dut, frame)
        await passes(ctx, dut, datagram(20), error=True)
        assert await taken(ctx, dut) is None
        assert await read(ctx, dut.bus, AT["port.lost"]) == 0

    simulate(testbench)

"""Chains taken in: their headers, and where each byte of their data is found."""

import random
from dataclasses import dataclass

import pytest
from amaranth import Module
from amaranth.lib import wiring

from niter.virtio.blk.intake import Intake
from niter.virtio.blk.layouts import MAX_SEGMENTS
from niter.virtio.blk.places import Places
from tests.support.host import spread
from tests.support.stream import SEEDS, Bench

TAGS = 8


class Both(wiring.Component):
    """The intake and the table behind it."""

    def __init__(self):
        self.intake, self.places = Intake(), Places(TAGS)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.intake, m.submodules.places = intake, places = self.intake, self.places
        m.d.comb += [
            places.store.eq(intake.store),
            places.store_valid.eq(intake.store_valid),
        ]
        return m


@dataclass
class Chain:
    """A chain: lengths of its readable and writable segments, and where they lie."""

    readable: list[int]
    writable: list[int]
    queue: dict
    head: int
    tag: int
    addresses: list[int]

    @property
    def total(self):
        return sum(self.readable)

    @property
    def header(self):
        """Bytes that are read as a header."""
        return 32 if self.total == 32 else 16 if self.total >= 16 else 0

    def data(self):
        """Address and length of each data segment, in order."""
        skip, parts = self.header, []
        lengths = self.readable + self.writable
        for number, (address, length) in enumerate(zip(self.addresses, lengths, strict=True)):
            if number < len(self.readable):
                gone = min(skip, length)
                skip -= gone
                address, length = address + gone, length - gone
            elif number == len(lengths) - 1:
                length -= 1
            if length:
                parts.append((address, length))
        return parts

    def segments(self, rng):
        lengths = [(n, 0) for n in self.readable] + [(n, 1) for n in self.writable]
        for number, (length, writable) in enumerate(lengths):
            yield {
                "queue": self.queue,
                "head": self.head,
                "address": self.addresses[number],
                "length": length,
                "total": min(self.total, 131071) if number == 0 else rng.getrandbits(17),
                "writable": writable,
                "first": number == 0,
                "last": number == len(lengths) - 1,
            }


def make_chain(rng, tag):
    total = rng.choice([0, 1, 15, 16, 17, 32, 33, 48, 528, 16 + 1024, 131072, 1 << 20])
    room = rng.choice([0, 1, 1, 2, 21, 513, 4097, 1 << 22])
    if not total + room:
        room = 1
    readable = spread(rng, total, rng.randint(1, 9)) if total else []
    writable = spread(rng, room, rng.randint(1, 9)) if room else []
    if rng.random() < 0.1:
        writable.append(rng.choice([1 << 25, (1 << 32) - 1]))
    if rng.random() < 0.1:
        readable += [rng.randint(1, 700) for _ in range(17)]
    return Chain(
        readable,
        writable,
        {"index": rng.getrandbits(4), "function": rng.getrandbits(3)},
        rng.getrandbits(10),
        tag,
        [rng.getrandbits(62) for _ in readable + writable],
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_every_byte_is_found_where_the_driver_has_put_it(seed, stall):
    rng = random.Random(seed)
    chains = [make_chain(rng, tag) for _ in range(6) for tag in rng.sample(range(TAGS), TAGS)]
    bench = Bench(dut := Both(), seed)
    intake, ask = dut.intake, dut.places.ask
    bench.put(intake.i, [s for c in chains for s in c.segments(rng)], stall=stall)
    tags = bench.rng()
    headers, arrivals, busy = [], [], set()

    async def give_tags(ctx):
        for chain in chains:
            # A tag is free again when its request has been looked at.
            while chain.tag in busy or tags.random() < stall:
                await ctx.tick()
            busy.add(chain.tag)
            await bench._put(ctx, intake.tags, chain.tag)

    async def take_reads(ctx):
        while True:
            command = await bench._take(ctx, intake.command, tags, stall)
            headers.append(command)

    async def question(ctx, port, tag, byte=None):
        """Where a byte stands, or what stands behind all of them."""
        request = {"tag": tag, "byte": byte or 0, "beyond": byte is None}
        ctx.set(port.request.payload, request)
        ctx.set(port.request.valid, 1)
        facts = None
        await ctx.tick().until(port.request.ready)
        ctx.set(port.request.valid, 0)
        while True:
            _, _, known, done, seen, address, left, total, function = await ctx.tick().sample(
                port.known,
                port.done,
                port.facts,
                port.address,
                port.left,
                port.total,
                port.function,
            )
            if known:
                facts = seen
            if done:
                return facts, address, left, total, function

    async def watch(ctx):
        while True:
            _, _, valid, arrival = await ctx.tick().sample(intake.arrived, intake.arrival)
            if valid:
                arrivals.append(arrival)

    async def look(ctx):
        for chain in chains:
            while not arrivals:
                await ctx.tick()
            arrival = arrivals.pop(0)
            assert (arrival.tag, arrival.headed) == (chain.tag, chain.total >= 16)
            await check(ctx, chain)
            busy.remove(chain.tag)

    async def check(ctx, chain):
        data = chain.data()
        length = sum(size for _, size in data)
        excess = len(data) > MAX_SEGMENTS or length >= 1 << 25
        facts, status, _, total, function = await question(ctx, ask[0], chain.tag)
        assert (facts.queue.index, facts.queue.function) == tuple(chain.queue.values())
        assert facts.head == chain.head
        assert facts.mute == (not chain.writable)
        assert facts.headless == (chain.total < 16)
        assert facts.excess == excess
        assert function == chain.queue["function"]
        assert facts.writes == (chain.total > chain.header)
        assert facts.reads == (sum(chain.writable) > 1)
        if chain.writable:
            assert status == chain.addresses[-1] + chain.writable[-1] - 1
        if excess:
            return
        assert total == length
        at = 0
        for address, size in data:
            for into in {0, size - 1, rng.randrange(size)}:
                port = ask[rng.randrange(3)]
                _, found, left, _, _ = await question(ctx, port, chain.tag, at + into)
                assert (found, left) == (address + into, min(size - into, 8191))
            at += size

    bench.sim.add_testbench(give_tags)
    bench.sim.add_testbench(take_reads, background=True)
    bench.sim.add_testbench(watch, background=True)
    bench.add(look)
    bench.run(limit=400_000)

    # What was read of headers is their bytes, each piece at its lane.
    reads = iter(headers)
    for chain in chains:
        at = 0
        for address, length in zip(chain.addresses, chain.readable, strict=False):
            if at == chain.header:
                break
            read = next(reads)
            size = min(length, chain.header - at)
            assert (read.address, read.length, read.lane) == (address, size, at % 8)
            assert read.function == chain.queue["function"]
            at += size
            assert read.context & 1 == (at == chain.header)
    assert next(reads, None) is None

"""Data of the block device on its way between a transport and segments of any length."""

import random

import pytest

from niter.interface import MAX_SPAN_SECTORS, SECTOR_BYTES
from niter.virtio.blk.pull import Pull
from niter.virtio.blk.push import Push
from tests.support.host import Space, serve_reads, serve_writes, spread
from tests.support.stream import SEEDS, STALLS, Bench, Packet


class Requests:
    """Requests with their data segments, and the table that finds bytes in them."""

    def __init__(self, rng, count=8):
        self.rng = rng
        self.parts = []
        for _ in range(count):
            length = SECTOR_BYTES * rng.choice((1, 2, 3, 5, 18))
            sizes = spread(rng, length, rng.randint(1, 15))
            self.parts.append([(rng.getrandbits(62), size) for size in sizes])

    def zeros(self):
        """Host memory with zeros in all segments."""
        space = Space()
        for parts in self.parts:
            for address, size in parts:
                space.put(address, bytes(size))
        return space

    def sectors(self, tag):
        return sum(size for _, size in self.parts[tag]) // SECTOR_BYTES

    def spans(self, count):
        spans = []
        for _ in range(count):
            tag = self.rng.randrange(len(self.parts))
            first = self.rng.randrange(self.sectors(tag))
            most = min(MAX_SPAN_SECTORS, self.sectors(tag) - first)
            spans.append((tag, first, self.rng.choice([1, 1, self.rng.randint(1, most)])))
        return spans

    def find(self, tag, byte):
        """Address of a byte, and how many follow in its segment, that included."""
        for address, size in self.parts[tag]:
            if byte < size:
                return address + byte, size - byte
            byte -= size
        raise AssertionError("a byte beyond the request's data")

    def scatter(self, tag, first, content):
        """Where each byte of a span stands."""
        at = first * SECTOR_BYTES
        for number, value in enumerate(content):
            yield self.find(tag, at + number)[0], value

    def serve(self, bench, port):
        rng = bench.rng()

        async def serve(ctx):
            while True:
                question = await bench._take(ctx, port.request, rng, 0.3)
                for _ in range(rng.randint(0, 5)):
                    await ctx.tick()
                address, left = self.find(question.tag, question.byte)
                ctx.set(port.address, address)
                ctx.set(port.left, min(left, 8191))
                ctx.set(port.function, question.tag % 8)
                ctx.set(port.done, 1)
                await ctx.tick()
                ctx.set(port.done, 0)

        bench.sim.add_testbench(serve, background=True)


def fields(spans):
    return [{"tag": tag, "first": first, "sectors": sectors} for tag, first, sectors in spans]


@pytest.mark.parametrize(("source", "sink"), STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_pulled_sectors_are_gathered(seed, source, sink):
    rng = random.Random(seed)
    requests = Requests(rng)
    space = Space()
    content = {}
    for tag, parts in enumerate(requests.parts):
        content[tag] = b""
        for address, size in parts:
            piece = rng.randbytes(size)
            space.put(address, piece)
            content[tag] += piece
    spans = requests.spans(16)
    bench = Bench(dut := Pull(), seed)
    requests.serve(bench, dut.place)
    reads = serve_reads(bench, dut.read, space, latency=40, stall=source)
    bench.put(dut.span, fields(spans), stall=source)
    got = bench.receive(dut.o, len(spans), stall=sink)
    bench.run(limit=200_000)
    for packet, (tag, first, sectors) in zip(got, spans, strict=True):
        at = first * SECTOR_BYTES
        assert packet.data == content[tag][at : at + sectors * SECTOR_BYTES]
        assert not packet.error
    assert all(read.length <= 1024 for read in reads)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_cannot_be_read_ends_in_error_and_the_rest_goes_on(seed):
    rng = random.Random(seed)
    requests = Requests(rng)
    space = Space()
    for parts in requests.parts:
        for address, size in parts:
            space.put(address, rng.randbytes(size))
    broken = {parts[rng.randrange(len(parts))][0] for parts in requests.parts[::2]}

    def segment(address):
        return next(a for parts in requests.parts for a, n in parts if a <= address < a + n)

    spans = requests.spans(40)
    bench = Bench(dut := Pull(), seed)
    requests.serve(bench, dut.place)
    serve_reads(bench, dut.read, space, refuse=lambda read: segment(read.address) in broken)
    bench.put(dut.span, fields(spans))
    got = bench.receive(dut.o, len(spans))
    bench.run(limit=200_000)
    failed = 0
    for packet, (tag, first, sectors) in zip(got, spans, strict=True):
        content = bytes(sectors * SECTOR_BYTES)
        touched = {segment(at) for at, _ in requests.scatter(tag, first, content)}
        assert packet.error == bool(touched & broken)
        if packet.error:
            failed += 1
            assert len(packet.data) <= len(content)
        else:
            assert len(packet.data) == len(content)
    assert 0 < failed < len(spans)


def test_no_more_is_read_than_the_buffer_holds():
    """While nobody takes data; then all of it comes."""
    requests = Requests(random.Random(1))
    space = requests.zeros()
    bench = Bench(dut := Pull(), 1)
    requests.serve(bench, dut.place)
    reads = serve_reads(bench, dut.read, space)
    spans = [(tag, 0, min(MAX_SPAN_SECTORS, requests.sectors(tag))) for tag in range(8)] * 3
    bench.put(dut.span, fields(spans))

    async def take_late(ctx):
        for _ in range(3):
            await ctx.tick().repeat(4000)
            assert 3000 < sum(read.length for read in reads) <= 4096
        ctx.set(dut.o.ready, 1)
        ended = 0
        while ended < len(spans):
            _, _, valid, last = await ctx.tick().sample(dut.o.valid, dut.o.payload.last)
            ended += valid & last

    bench.add(take_late)
    bench.run(limit=200_000)
    assert sum(read.length for read in reads) == sum(n for *_, n in spans) * SECTOR_BYTES


@pytest.mark.parametrize(("source", "sink"), STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_pushed_sectors_are_scattered(seed, source, sink):
    rng = random.Random(seed)
    requests = Requests(rng)
    spans = requests.spans(16)
    packets = [Packet(rng.randbytes(sectors * SECTOR_BYTES)) for _, _, sectors in spans]
    bench = Bench(dut := Push(), seed)
    requests.serve(bench, dut.place)
    writes = serve_writes(bench, dut.write, stall=sink)
    bench.put(dut.span, fields(spans), stall=source)
    bench.send(dut.i, packets, stall=source)
    bench.run(limit=200_000)
    expected, found = {}, {}
    for packet, (tag, first, _) in zip(packets, spans, strict=True):
        expected.update(requests.scatter(tag, first, packet.data))
    for write in writes:
        found.update(enumerate(write.data, write.address))
    assert found == expected
    assert sum(len(w.data) for w in writes) == sum(len(packet.data) for packet in packets)


def test_marks_wait_for_what_was_there_before_and_for_nothing_else():
    """``drained`` comes though others keep the mover busy."""
    requests = Requests(random.Random(1), count=2)
    space = requests.zeros()
    bench = Bench(dut := Pull(), 1)
    requests.serve(bench, dut.place)
    serve_reads(bench, dut.read, space, latency=200)
    spans = [(n % 2, 0, 1) for n in range(60)]
    bench.put(dut.span, fields(spans))
    ended = bench.receive(dut.o, len(spans))

    async def mark(ctx):
        await ctx.tick().repeat(300)
        begun = len(ended)
        _, _, drained = await ctx.tick().sample(dut.drained)
        assert drained
        ctx.set(dut.mark, 1)
        await ctx.tick()
        ctx.set(dut.mark, 0)
        _, _, drained = await ctx.tick().sample(dut.drained)
        assert not drained
        while not drained:
            _, _, drained = await ctx.tick().sample(dut.drained)
        assert begun < len(ended) < begun + 15 < len(spans)

    bench.add(mark)
    bench.run()

import random
from dataclasses import dataclass

import pytest

from niter.virtio.net import HEADER_BYTES, MAX_FRAME_BYTES, Event, Transmit
from tests.support.host import Space, serve_reads, spread
from tests.support.stream import SEEDS, STALLS, Bench

NEEDS_CSUM = 1
LENGTHS = [14, 15, 60, 61, 64, 67, 128, 590, 1514, 1518]


def header(*, flags=0, gso=0, start=0, offset=0):
    """``struct virtio_net_hdr`` as the specification lays it out (5.1.6)."""
    words = [0x11, 0x22, start, offset, 0x33]  # hdr_len and gso_size mean nothing here
    return bytes([flags, gso]) + b"".join(word.to_bytes(2, "little") for word in words)


@dataclass
class Chain:
    """A chain that the driver has put together, and what is to become of it."""

    queue: dict
    head: int
    content: bytes
    pieces: list[int]
    event: Event = Event.FRAME
    checksum: tuple | None = None
    writable: int = 0

    def segments(self, rng, space):
        lengths = [(length, 0) for length in self.pieces]
        lengths += [(rng.randint(1, 99), 1) for _ in range(self.writable)]
        at = 0
        for number, (length, writable) in enumerate(lengths):
            address = rng.getrandbits(63) + rng.randrange(8)
            if not writable:
                space.put(address, self.content[at : at + length])
                at += length
            yield {
                "queue": self.queue,
                "head": self.head,
                "address": address,
                "length": length,
                "total": len(self.content) if number == 0 else rng.getrandbits(17),
                "writable": writable,
                "first": number == 0,
                "last": number == len(lengths) - 1,
            }


def make_chain(rng, length, *, pieces=None, **fields):
    hdr = fields.pop("header", header())
    content = (hdr + rng.randbytes(max(length, 0)))[: HEADER_BYTES + length]
    queue = {"index": 1 + 2 * rng.randrange(4), "function": rng.randrange(4)}
    return Chain(
        queue,
        rng.getrandbits(10),
        content,
        spread(rng, len(content), pieces or rng.randint(1, 6)),
        **fields,
    )


def run(
    chains, seed, *, stall=0.0, sink_stall=0.0, refused=(), csum=True, latency=30, limit=60_000
):
    """Send ``chains``; returns frames, and cycles. Chains in ``refused`` cannot be read."""
    rng = random.Random(seed)
    dut = Transmit()
    bench = Bench(dut, seed)
    space = Space()
    segments = []
    bad = set()
    for chain in chains:
        parts = list(chain.segments(rng, space))
        if chain.head in refused:
            part = rng.choice([part for part in parts if not part["writable"]])
            bad.update(range(part["address"], part["address"] + part["length"]))
        segments += parts
    reads = serve_reads(
        bench, dut.host, space, latency=latency, stall=stall, refuse=lambda r: r.address in bad
    )
    bench.put(dut.i, segments, stall=stall)
    used = bench.get(dut.used, len(chains), stall=sink_stall)
    records = bench.get(dut.record, len(chains), stall=sink_stall)
    begun = [chain for chain in chains if chain.event == Event.FRAME]
    frames = bench.receive(dut.o, len(begun), stall=sink_stall)

    async def set_up(ctx):
        for function in range(8):
            ctx.set(dut.negotiated[function].csum, csum)

    bench.add(set_up)
    cycles = bench.run(limit)

    for chain, entry, record in zip(chains, used, records, strict=True):
        assert (entry.queue.index, entry.queue.function) == tuple(chain.queue.values())
        assert (entry.head, entry.length, entry.more) == (chain.head, 0, 0)
        assert Event(record.event) == chain.event
        assert record.function == chain.queue["function"]
    assert all(read.function in range(4) for read in reads)
    for chain, frame in zip(begun, frames, strict=True):
        assert not frame.error
        assert frame.data == chain.content[HEADER_BYTES:]
        meta = frame.sideband["meta"]
        assert meta.length == len(frame.data)
        assert meta.function == chain.queue["function"]
        slot = meta.inner_checksum
        assert slot.enable == (chain.checksum is not None and csum)
        if slot.enable:
            assert (slot.start, slot.position) == chain.checksum
    return reads, cycles


@pytest.mark.parametrize("stall,sink_stall", STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_frames_pass(seed, stall, sink_stall):
    rng = random.Random(seed)
    chains = [make_chain(rng, rng.choice(LENGTHS)) for _ in range(20)]
    run(chains, seed, stall=stall, sink_stall=sink_stall)


@pytest.mark.parametrize("first", range(1, 21))
def test_header_may_be_cut_anywhere(first):
    rng = random.Random(first)
    chains = []
    for second in (1, 3, 8, 12):
        chain = make_chain(rng, 70)
        chain.pieces = [first, second, 82 - first - second]
        chains.append(chain)
    run(chains, first)


def test_single_bytes():
    rng = random.Random(3)
    chain = make_chain(rng, 52)
    chain.pieces = [1] * 64
    run([chain, make_chain(rng, 60)], 3)


@pytest.mark.parametrize("pieces", [1, 3, 64])
def test_longest_frame(pieces):
    rng = random.Random(pieces)
    chains = [make_chain(rng, MAX_FRAME_BYTES, pieces=pieces) for _ in range(2)]
    reads, _ = run(chains, pieces)
    assert max(read.length for read in reads) <= 1024


@pytest.mark.parametrize("length", [-11, -1, 0, 13, MAX_FRAME_BYTES + 1, 16384, 65536 + 60])
def test_impossible_length_is_dropped(length):
    rng = random.Random(length)
    chains = [make_chain(rng, 60), make_chain(rng, length), make_chain(rng, 60)]
    chains[1].event = Event.DROPPED
    reads, _ = run(chains, 1)
    assert sum(read.length for read in reads) == 2 * 72


def test_segmentation_is_refused():
    rng = random.Random(1)
    chains = [
        make_chain(rng, 100),
        *(make_chain(rng, 100, header=header(gso=gso), event=Event.DROPPED) for gso in (1, 4, 128)),
        make_chain(rng, 100),
    ]
    run(chains, 1)


@pytest.mark.parametrize(
    "start,offset,fits",
    [
        (34, 16, True),
        (34, 6, True),
        (98, 0, True),
        (0, 98, True),
        (98, 2, False),
        (100, 0, False),
        (35, 16, False),
        (34, 5, False),
        (0xFFFE, 4, False),
        (34, 0xFFFE, False),
        (0x4022, 16, False),
        (34, 0x4010, False),
    ],
)
def test_checksum_slot(start, offset, fits):
    rng = random.Random(1)
    wanted = make_chain(
        rng,
        100,
        header=header(flags=NEEDS_CSUM, start=start, offset=offset),
        event=Event.FRAME if fits else Event.DROPPED,
        checksum=(start, start + offset),
    )
    run([make_chain(rng, 60), wanted, make_chain(rng, 60)], 1)


def test_checksum_flag_counts_only_when_negotiated():
    rng = random.Random(1)
    asked = header(flags=NEEDS_CSUM, start=4000, offset=16)
    run([make_chain(rng, 60, header=asked, checksum=(0, 0)) for _ in range(2)], 1, csum=False)


def test_writable_segments_are_not_touched():
    rng = random.Random(1)
    chains = [make_chain(rng, 60, writable=n) for n in (1, 0, 3)]
    chains.insert(1, Chain(chains[0].queue, 7, b"", [], Event.DROPPED, writable=2))
    run(chains, 1)


@pytest.mark.parametrize("stall", [0, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_failed_reads_end_their_frames_and_no_others(seed, stall):
    """Frames with a refused piece end in error or do not appear; the books say which."""
    rng = random.Random(seed)
    chains = [make_chain(rng, rng.choice(LENGTHS), pieces=rng.randint(1, 12)) for _ in range(40)]
    for chain, head in zip(chains, rng.sample(range(1024), len(chains)), strict=True):
        chain.head = head
    refused = set(rng.sample([chain.head for chain in chains], 12))
    dut = Transmit()
    bench = Bench(dut, seed)
    space = Space()
    segments, bad = [], set()
    for chain in chains:
        parts = list(chain.segments(rng, space))
        segments += parts
        if chain.head in refused:
            bad.add(rng.choice(parts)["address"])
    serve_reads(bench, dut.host, space, refuse=lambda read: read.address in bad, stall=stall)
    bench.put(dut.i, segments)
    used = bench.get(dut.used, len(chains), stall=0.3)
    records = bench.get(dut.record, len(chains))
    frames = []

    async def sink(ctx):
        content = b""
        ctx.set(dut.o.ready, 1)
        while True:
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                beat = payload.packet
                content += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                if beat.last:
                    frames.append((content, beat.error))
                    content = b""

    bench.sim.add_testbench(sink, background=True)
    bench.run()
    assert [entry.head for entry in used] == [chain.head for chain in chains]
    for chain, record in zip(chains, records, strict=True):
        wanted = Event.FAILED if chain.head in refused else Event.FRAME
        assert Event(record.event) == wanted
    whole = [content for content, error in frames if not error]
    assert whole == [c.content[HEADER_BYTES:] for c in chains if c.head not in refused]


def test_short_answers_cost_no_room():
    """More failures than the buffer has beats, each with a short answer: reading goes on."""
    rng = random.Random(5)
    chains = []
    for number in range(40):
        chain = make_chain(rng, 1500, pieces=1, event=Event.FAILED)
        chain.head = number
        chains.append(chain)
    chains.append(make_chain(rng, 9000, pieces=1))
    chains[-1].head = 100
    run(chains, 5, refused=range(40))


def test_many_reads_in_flight():
    """Two microseconds of latency at 62.5 MHz are hidden behind 4 KiB of reads."""
    rng = random.Random(1)
    _, cycles = run([make_chain(rng, 1500, pieces=2) for _ in range(40)], 1, latency=125)
    assert cycles < 40 * 1500 / 8 * 1.1
    _, cycles = run([make_chain(rng, 60, pieces=1) for _ in range(100)], 1, latency=125)
    assert cycles < 100 * 19

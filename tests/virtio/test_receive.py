import random
from collections import deque
from dataclasses import dataclass, field
from itertools import islice

import pytest

from niter.virtio.net import HEADER_BYTES, MAX_FRAME_BYTES, Event, Receive
from niter.virtio.queue.layouts import TakeOperation
from tests.support.host import serve_writes
from tests.support.stream import SEEDS, STALLS, Bench, Packet

DATA_VALID = 2
LENGTHS = [14, 15, 60, 61, 64, 67, 128, 590, 1514, 1518]


@dataclass
class Buffer:
    """A chain on a receive queue: the head, and its segments as (address, length)."""

    head: int
    segments: list[tuple[int, int]]
    readable: bool = False


@dataclass
class Host:
    """The receive queues and what comes back: a golden model of the pulled queues' contract."""

    rng: random.Random
    queues: dict[tuple[int, int], deque[Buffer]] = field(default_factory=dict)
    taken: dict[tuple[int, int], list[Buffer]] = field(default_factory=dict)
    owned: dict[tuple[int, int], dict[int, Buffer]] = field(default_factory=dict)
    latency: int = 8

    def post(self, function, index, lengths, *, readable=False):
        """Put a chain of segments of ``lengths`` on a queue."""
        head = self.rng.getrandbits(10)
        segments = [(self.rng.getrandbits(63), length) for length in lengths]
        buffer = Buffer(head, segments, readable)
        self.queues.setdefault((function, index), deque()).append(buffer)
        return buffer

    def serve(self, bench, dut):
        """Answer ``take`` on ``offer``."""

        async def process(ctx):
            while True:
                ctx.set(dut.take.ready, 1)
                valid = False
                while not valid:
                    _, _, valid, take = await ctx.tick().sample(dut.take.valid, dut.take.payload)
                ctx.set(dut.take.ready, 0)
                key = (take.queue.function, take.queue.index)
                queue = self.queues.setdefault(key, deque())
                taken = self.taken.setdefault(key, [])
                match TakeOperation(take.operation):
                    case TakeOperation.COMMIT:
                        owned = self.owned.setdefault(key, {})
                        for buffer in taken:
                            assert buffer.head not in owned
                            owned[buffer.head] = buffer
                        taken.clear()
                    case TakeOperation.ROLLBACK:
                        queue.extendleft(reversed(taken))
                        taken.clear()
                    case TakeOperation.CHAIN:
                        await ctx.tick().repeat(self.latency)
                        await self._offer(ctx, dut, queue, taken, take.queue)

        bench.sim.add_testbench(process, background=True)

    async def _offer(self, ctx, dut, queue, taken, identity):
        async def put(none, segment):
            ctx.set(dut.offer.payload, {"none": none, "segment": segment})
            ctx.set(dut.offer.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(dut.offer.ready)
            ctx.set(dut.offer.valid, 0)

        if not queue:
            await put(1, {})
            return
        taken.append(queue.popleft())
        for number, (address, length) in enumerate(taken[-1].segments):
            await put(
                0,
                {
                    "queue": identity,
                    "head": taken[-1].head,
                    "address": address,
                    "length": length,
                    "total": self.rng.getrandbits(17),
                    "writable": not (taken[-1].readable and number == 0),
                    "first": number == 0,
                    "last": number == len(taken[-1].segments) - 1,
                },
            )


@dataclass
class Frame:
    """A frame that comes from the wire."""

    content: bytes
    function: int
    flow: int = 0
    good: bool = False
    error: bool = False

    def packet(self):
        meta = {
            "length": len(self.content),
            "function": self.function,
            "hash": self.flow,
            "checksum_good": self.good,
        }
        return Packet(self.content, self.error, {"meta": meta})


class Trial:
    """A receive mover with host memory and queues around it."""

    def __init__(self, seed, *, mergeable=True, pairs=1, guest_csum=True):
        self.rng = random.Random(seed)
        self.seed = seed
        self.dut = Receive()
        self.bench = Bench(self.dut, seed)
        self.host = Host(self.rng)
        self.host.serve(self.bench, self.dut)
        self.negotiated = {"mrg_rxbuf": mergeable, "pairs": pairs, "guest_csum": guest_csum}

    def run(self, frames, *, used, faults=0, stall=0.0, sink_stall=0.0, limit=60_000):
        """Send ``frames`` and wait for one record each and so many used chains."""
        bench, dut = self.bench, self.dut
        self.writes = serve_writes(bench, dut.host, stall=sink_stall)
        self.at_used = []

        async def set_up(ctx):
            for function in range(8):
                ctx.set(dut.negotiated[function], self.negotiated)

        async def take_used(ctx):
            rng = bench.rng()
            self.used = []
            while len(self.used) < used:
                ctx.set(dut.used.ready, rng.random() >= sink_stall)
                _, _, valid, ready, entry = await ctx.tick().sample(
                    dut.used.valid, dut.used.ready, dut.used.payload
                )
                if valid and ready:
                    self.used.append(entry)
                    # What the write port has accepted by now is ahead of this entry.
                    self.at_used.append(len(self.writes))

        bench.add(set_up)
        bench.add(take_used)
        bench.send(dut.i, [frame.packet() for frame in frames], stall=stall)
        self.records = bench.get(dut.record, len(frames), stall=sink_stall)
        self.faults = bench.get(dut.faults, faults)
        cycles = bench.run(limit)
        return cycles

    def events(self):
        return [Event(record.event) for record in self.records]

    def delivered(self):
        """The frames that a driver sees: groups of chains by the rules of the used ring."""
        memory = {}
        position = 0
        groups = []
        group = []
        for entry, count in zip(self.used, self.at_used, strict=True):
            for write in self.writes[position:count]:
                for at, byte in enumerate(write.data):
                    memory[write.address + at] = byte
            position = max(position, count)
            key = (entry.queue.function, entry.queue.index)
            buffer = self.host.owned[key].pop(entry.head)
            assert entry.length <= sum(length for _, length in buffer.segments)
            room = (a + at for a, length in buffer.segments for at in range(length))
            group.append(bytes(memory.pop(address) for address in islice(room, entry.length)))
            if not entry.more:
                groups.append((key, group))
                group = []
        assert not group
        assert not memory, "bytes were written that belong to no used chain"
        return groups


def header(buffers, flags=0):
    return bytes([flags, *[0] * 9]) + buffers.to_bytes(2, "little")


def lengths_for(rng, total, *, pieces):
    """Segment lengths that hold at least ``total`` bytes."""
    lengths = []
    while sum(lengths) < total:
        lengths.append(rng.randint(1, 2 * total // pieces + 1))
    return lengths


@pytest.mark.parametrize("stall,sink_stall", STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_chain_holds_a_frame(seed, stall, sink_stall):
    trial = Trial(seed, mergeable=False)
    rng = trial.rng
    frames = [
        Frame(rng.randbytes(rng.choice(LENGTHS)), rng.randrange(4), good=rng.random() < 0.5)
        for _ in range(16)
    ]
    for frame in frames:
        total = len(frame.content) + HEADER_BYTES
        lengths = lengths_for(rng, total, pieces=rng.randint(1, 5)) + [9] * rng.randrange(3)
        trial.host.post(frame.function, 0, lengths)
    trial.run(frames, used=len(frames), stall=stall, sink_stall=sink_stall)
    assert trial.events() == [Event.FRAME] * len(frames)
    for frame, (key, group) in zip(frames, trial.delivered(), strict=True):
        assert key == (frame.function, 0)
        assert group == [header(1, DATA_VALID * frame.good) + frame.content]


@pytest.mark.parametrize("stall,sink_stall", STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_frames_spread_over_chains(seed, stall, sink_stall):
    trial = Trial(seed, guest_csum=False)
    rng = trial.rng
    frames = [Frame(rng.randbytes(rng.choice(LENGTHS)), 2, good=True) for _ in range(12)]
    wanted = []
    for frame in frames:
        left = len(frame.content) + HEADER_BYTES
        parts = []
        while left > 0:
            lengths = [rng.randint(1, 700) for _ in range(rng.randint(1, 3))]
            trial.host.post(2, 0, lengths)
            parts.append(min(left, sum(lengths)))
            left -= sum(lengths)
        wanted.append(parts)
    trial.run(frames, used=sum(map(len, wanted)), stall=stall, sink_stall=sink_stall, limit=100_000)
    for frame, parts, (_, group) in zip(frames, wanted, trial.delivered(), strict=True):
        assert [len(part) for part in group] == parts
        assert b"".join(group) == header(len(parts)) + frame.content


@pytest.mark.parametrize("first", range(1, 21))
def test_buffers_may_end_anywhere(first):
    trial = Trial(first, mergeable=first % 2)
    content = trial.rng.randbytes(70)
    for second in (1, 3, 8, 12, 50):
        trial.host.post(1, 0, [first, second, 100])
    trial.run([Frame(content, 1)] * 5, used=5)
    assert [group for _, group in trial.delivered()] == [[header(1) + content]] * 5


@pytest.mark.parametrize("length", [84, 85, 2036, 2037, 4084, 8180, 8181, MAX_FRAME_BYTES])
def test_large_segments_are_split(length):
    """A span of any length in one descriptor, at the limits of one write command."""
    trial = Trial(length, mergeable=False)
    content = trial.rng.randbytes(length)
    trial.host.post(1, 0, [length + HEADER_BYTES])
    trial.host.post(1, 0, [2**32 - 1])
    trial.run([Frame(content, 1)] * 2, used=2)
    assert [group for _, group in trial.delivered()] == [[header(1) + content]] * 2
    assert len(trial.writes) == 2 * -(-(length + HEADER_BYTES) // 2048)


def test_address_carries_into_its_upper_half():
    trial = Trial(1, mergeable=False)
    content = trial.rng.randbytes(9000)
    buffer = trial.host.post(1, 0, [9012])
    buffer.segments = [(0x1234_5678_FFFF_F123, 9012)]
    trial.run([Frame(content, 1)], used=1)
    assert trial.delivered() == [((1, 0), [header(1) + content])]


@pytest.mark.parametrize("mergeable", [False, True])
def test_frames_without_buffers_are_dropped_and_hold_up_nobody(mergeable):
    """Function 0 has nothing, 1 too little for a long frame, 2 enough."""
    trial = Trial(1, mergeable=mergeable)
    rng = trial.rng
    trial.host.post(1, 0, [50, 50])
    trial.host.post(2, 0, [1600])
    trial.host.post(2, 0, [1600])
    frames = [
        Frame(rng.randbytes(60), 0),
        Frame(rng.randbytes(1500), 1),
        Frame(rng.randbytes(1500), 2),
        Frame(rng.randbytes(88), 1),
        Frame(rng.randbytes(9000), 0),
        Frame(rng.randbytes(60), 2),
        Frame(rng.randbytes(60), 1),
    ]
    trial.run(frames, used=3)
    drop, keep = Event.DROPPED, Event.FRAME
    assert trial.events() == [drop, drop, keep, keep, drop, keep, drop]
    kept = [frames[number] for number in (2, 3, 5)]
    assert trial.delivered() == [
        ((frame.function, 0), [header(1) + frame.content]) for frame in kept
    ]


def test_plan_larger_than_its_ring_is_dropped():
    trial = Trial(1, mergeable=False)
    content = trial.rng.randbytes(400)
    trial.host.post(3, 0, [1] * 412)
    trial.host.post(1, 0, [2] * 169 + [500])
    trial.run([Frame(content, 3), Frame(content, 1), Frame(content, 3)], used=1)
    assert trial.events() == [Event.DROPPED, Event.FRAME, Event.DROPPED]
    assert trial.delivered() == [((1, 0), [header(1) + content])]


def test_readable_segment_is_a_fault_of_its_function():
    trial = Trial(1)
    content = trial.rng.randbytes(400)
    trial.host.post(3, 0, [100, 800], readable=True)
    trial.host.post(1, 0, [800])
    trial.run([Frame(content, 3), Frame(content, 1)], used=1, faults=1)
    assert trial.events() == [Event.DROPPED, Event.FRAME]
    assert trial.faults[0].function == 3


@pytest.mark.parametrize("length,announced", [(64, 64), (40, 1500), (2000, 60)])
def test_errored_frame_gives_its_buffers_back_empty(length, announced):
    """Also when its length is not what was announced."""
    trial = Trial(1)
    rng = trial.rng
    good = Frame(rng.randbytes(100), 1)
    bad = Frame(rng.randbytes(length), 1, error=True)
    for _ in range(3):
        trial.host.post(1, 0, [rng.randint(200, 1400), 1600])
    packets = [good.packet(), bad.packet(), good.packet()]
    packets[1].sideband["meta"]["length"] = announced
    trial.bench.send(trial.dut.i, packets)
    records = trial.bench.get(trial.dut.record, 3)
    used = trial.bench.get(trial.dut.used, 3)
    serve_writes(trial.bench, trial.dut.host)

    async def set_up(ctx):
        ctx.set(trial.dut.negotiated[1], trial.negotiated)

    trial.bench.add(set_up)
    trial.bench.run()
    assert [Event(r.event) for r in records] == [Event.FRAME, Event.FAILED, Event.FRAME]
    assert used[0].length == 112
    assert used[1].length == 0


@pytest.mark.parametrize("pairs", [1, 2, 3, 4])
def test_flows_choose_the_queue(pairs):
    trial = Trial(pairs, pairs=pairs)
    flows = range(16)
    content = trial.rng.randbytes(60)
    for pair in range(pairs):
        for _ in flows:
            trial.host.post(1, 2 * pair, [100])
    trial.run([Frame(content, 1, flow=0xABC0 | flow) for flow in flows], used=len(flows))
    keys = [key for key, _ in trial.delivered()]
    assert keys == [(1, 2 * (flow * pairs // 16)) for flow in flows]


def test_rate():
    """The queue's latency hides behind the frame before: 2 Gb/s and 1.5 Mpps at 62.5 MHz."""
    trial = Trial(1, mergeable=False)
    for _ in range(60):
        trial.host.post(1, 0, [1600])
    trial.host.latency = 16
    small = [Frame(trial.rng.randbytes(60), 1) for _ in range(40)]
    assert trial.run(small, used=40) < 40 * 62.5 / 1.5
    trial = Trial(1, mergeable=False)
    for _ in range(20):
        trial.host.post(1, 0, [1600])
    trial.host.latency = 16
    large = [Frame(trial.rng.randbytes(1500), 1) for _ in range(20)]
    assert trial.run(large, used=20) < 20 * (1500 / 8) * 1.2

"""The receive mover on a queue engine: what frames do that find no buffer at hand.

Rings are written by hand, as virtio 1.2, 2.7 lays them out; there is no driver.
"""

import struct

import pytest
from amaranth import Module
from amaranth.hdl import Elaboratable
from amaranth.lib.wiring import connect

from niter.virtio.net import Event, Receive
from niter.virtio.queue import QueueEngine, QueueOperation, RingArea
from tests.support.host import Space, serve_reads, serve_writes
from tests.support.stream import Bench

NEXT, WRITE = 1, 2
SIZE = 256
#: Where a function's areas stand; they lie apart by more than any of them takes.
AREAS = {RingArea.DESCRIPTOR: 0x10_0000, RingArea.DRIVER: 0x20_0000, RingArea.DEVICE: 0x30_0000}
BUFFERS = 0x1000_0000

#: Cycles that a frame may hold up others whose turn it would be, and that it takes to drop one.
LONGEST_WAIT, DROP = 1900, 120


class Room(Elaboratable):
    """Engine and mover, as the device connects them."""

    def __init__(self):
        self.engine = QueueEngine(functions=2, pulled=(0, 2))
        self.receive = Receive()

    def elaborate(self, platform):
        m = Module()
        m.submodules.engine = engine = self.engine
        m.submodules.receive = receive = self.receive
        connect(m, receive.take, engine.take)
        connect(m, engine.offers, receive.offer)
        connect(m, receive.used, engine.used)
        return m


class Trial:
    """Rings in memory, frames that come, and when a record was made of each."""

    def __init__(self, *, latency):
        self.latency = latency
        self.room = Room()
        self.bench = Bench(self.room, 1)
        self.engine, self.receive = self.room.engine, self.room.receive
        self.space = Space()
        self.held = self.refused = False
        self.posted = {}
        self.events = []
        self.ended = []
        self.now = 0
        serve_reads(
            self.bench,
            self.engine.read,
            self.space,
            latency=latency,
            refuse=lambda read: self.refused,
            hold=lambda: self.held,
            at_once=False,
        )
        serve_writes(self.bench, self.engine.write)
        serve_writes(self.bench, self.receive.host)
        self.bench.sim.add_testbench(self._watch, background=True)

    async def _watch(self, ctx):
        for function in range(2):
            negotiated = {"mrg_rxbuf": 1, "pairs": 1, "guest_csum": 1}
            ctx.set(self.receive.negotiated[function], negotiated)
        ctx.set(self.receive.record.ready, 1)
        ctx.set(self.engine.faults.ready, 1)
        ctx.set(self.receive.faults.ready, 1)
        ctx.set(self.engine.commands_done.ready, 1)
        record = self.receive.record
        while True:
            _, _, valid, what = await ctx.tick().sample(record.valid, record.payload)
            self.now += 1
            if valid:
                self.events.append((int(what.function), Event(what.event)))
                self.ended.append(self.now)

    def post(self, function, chains, *, segments=1, length=100):
        """Put ``chains`` behind those that stand in the ring of a function's queue 0."""
        base = function << 32
        first = self.posted.get(function, 0)
        for chain in range(first, first + chains):
            for number in range(segments):
                at = chain * segments + number
                assert at < SIZE
                flags = WRITE | NEXT * (number + 1 < segments)
                descriptor = struct.pack("<QIHH", base + BUFFERS + at * 4096, length, flags, at + 1)
                self.space.put(base + AREAS[RingArea.DESCRIPTOR] + 16 * at, descriptor)
            entry = struct.pack("<H", chain * segments)
            self.space.put(base + AREAS[RingArea.DRIVER] + 4 + 2 * chain, entry)
        self.posted[function] = first + chains
        self.space.put(base + AREAS[RingArea.DRIVER], struct.pack("<HH", 0, first + chains))

    async def _put(self, ctx, port, payload):
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def command(self, ctx, operation, function, **fields):
        """One step of starting or stopping queue 0 of a function."""
        what = {"operation": operation, "queue": {"index": 0, "function": function}, **fields}
        await self._put(ctx, self.engine.commands, what)

    async def start(self, ctx, function):
        """Enable queue 0, ring it, and let the engine take what it keeps at hand."""
        for area, address in AREAS.items():
            address += function << 32
            await self.command(ctx, QueueOperation.ADDRESS, function, area=area, address=address)
        options = {"size": SIZE, "pulled": 1, "event_idx": 1}
        await self.command(ctx, QueueOperation.ENABLE, function, **options)
        await self.ring(ctx, function)
        await ctx.tick().repeat(400 + 16 * self.latency)

    def disable(self, ctx):
        """Ask for the end of function 0's queue."""
        what = {"operation": QueueOperation.DISABLE, "queue": {"index": 0, "function": 0}}
        ctx.set(self.engine.commands.payload, what)
        ctx.set(self.engine.commands.valid, 1)

    async def disabled(self, ctx):
        """Wait for it."""
        await ctx.tick().until(self.engine.commands.ready)
        ctx.set(self.engine.commands.valid, 0)
        await ctx.tick().until(self.engine.commands_done.valid)

    async def ring(self, ctx, function):
        """A doorbell."""
        what = {"queue": {"index": 0, "function": function}}
        await self._put(ctx, self.engine.notifications, what)

    async def deliver(self, ctx, function, length):
        """A frame from the wire, a beat a cycle."""
        meta = {"length": length, "function": function}
        for at in range(0, length, 8):
            last = at + 8 >= length
            beat = {"data": at, "empty": at + 8 - length if last else 0, "last": last}
            await self._put(ctx, self.receive.i, {"packet": beat, "meta": meta})

    async def until(self, ctx, records):
        """Wait for so many records."""
        while len(self.events) < records:
            await ctx.tick()

    def run(self, process, limit=40_000):
        """Run ``process`` to its end."""
        self.bench.add(process)
        self.bench.run(limit)


FEW_AT_HAND = [
    # Frames, their length, segments of a chain and of which length, chains.
    pytest.param(80, 60, 1, 100, 200, id="small-frames"),
    pytest.param(8, 3000, 1, 256, 200, id="many-chains-a-frame"),
    # As many as a plain driver posts without merging: one such chain is at hand.
    pytest.param(3, 200, 19, 100, 12, id="long-chains"),
    # Four are, and each frame takes all of them: nothing comes before it has.
    pytest.param(5, 2380, 6, 100, 40, id="all-at-hand-for-one-frame"),
]


@pytest.mark.parametrize("frames,length,segments,segment_bytes,chains", FEW_AT_HAND)
def test_a_burst_loses_nothing_while_the_ring_has_buffers(
    frames, length, segments, segment_bytes, chains
):
    trial = Trial(latency=100)
    trial.post(0, chains, segments=segments, length=segment_bytes)

    async def process(ctx):
        await trial.start(ctx, 0)
        for _ in range(frames):
            await trial.deliver(ctx, 0, length)
        await trial.until(ctx, frames)

    trial.run(process)
    assert trial.events == [(0, Event.FRAME)] * frames


async def empty_the_first_of_two(ctx, trial):
    """Two queues are up, and frames have taken the four buffers of the first."""
    await trial.start(ctx, 0)
    await trial.start(ctx, 1)
    for _ in range(4):
        await trial.deliver(ctx, 0, 60)
    await trial.until(ctx, 4)


def test_an_empty_ring_drops_at_once():
    """And a frame waits for what a doorbell has told of."""
    trial = Trial(latency=60)
    trial.post(0, 4)
    trial.post(1, 4)

    async def process(ctx):
        await empty_the_first_of_two(ctx, trial)
        await ctx.tick().repeat(300)
        start = trial.now
        for _ in range(5):
            await trial.deliver(ctx, 0, 60)
        await trial.deliver(ctx, 1, 60)
        await trial.until(ctx, 10)
        assert trial.now - start < 6 * DROP
        trial.post(0, 1)
        await trial.ring(ctx, 0)
        await ctx.tick().repeat(20)
        await trial.deliver(ctx, 0, 60)
        await trial.until(ctx, 11)

    trial.run(process)
    kept, dropped = (0, Event.FRAME), (0, Event.DROPPED)
    assert trial.events == [kept] * 4 + [dropped] * 5 + [(1, Event.FRAME), kept]


def test_a_queue_that_brings_nothing_holds_up_others_once():
    """Its buffers are posted, but the host does not answer."""
    trial = Trial(latency=10)
    trial.post(0, 4)
    trial.post(1, 8)
    gaps = []

    async def process(ctx):
        await empty_the_first_of_two(ctx, trial)
        trial.held = True
        trial.post(0, 4)
        await trial.ring(ctx, 0)
        await ctx.tick().repeat(50)
        for number in range(4):
            start = trial.now
            await trial.deliver(ctx, 0, 60)
            await trial.deliver(ctx, 1, 60)
            await trial.until(ctx, 4 + 2 * (number + 1))
            gaps.append(trial.now - start)
        trial.held = False
        await ctx.tick().repeat(500)
        await trial.deliver(ctx, 0, 60)
        await trial.until(ctx, 13)

    trial.run(process)
    assert trial.events[4:12] == [(0, Event.DROPPED), (1, Event.FRAME)] * 4
    assert trial.events[12] == (0, Event.FRAME)
    assert 500 < gaps[0] < LONGEST_WAIT
    assert max(gaps[1:]) < 2 * DROP


@pytest.mark.parametrize("ends_by", ["disable", "fault"])
@pytest.mark.parametrize("taken", [0, 3])
def test_waiting_ends_with_the_queue(ends_by, taken):
    """A frame waits, with ``taken`` chains in its hands, when its queue is disabled or fails."""
    trial = Trial(latency=10)
    trial.post(0, taken)

    async def process(ctx):
        await trial.start(ctx, 0)
        trial.held = True
        trial.post(0, 9)
        await trial.ring(ctx, 0)
        await ctx.tick().repeat(50)
        await trial.deliver(ctx, 0, 400)
        await ctx.tick().repeat(200)
        assert not trial.events, "it did not wait"
        start = trial.now
        if ends_by == "fault":
            trial.refused, trial.held = True, False
            await ctx.tick().until(trial.engine.faults.valid)
        else:
            trial.disable(ctx)
        await trial.until(ctx, 1)
        assert trial.now - start < DROP
        trial.held = False
        if ends_by == "fault":
            trial.disable(ctx)
        await trial.disabled(ctx)

    trial.run(process)
    assert trial.events == [(0, Event.DROPPED)]

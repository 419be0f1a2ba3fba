"""The write ports against a root complex in plain Python."""

import random
from functools import partial

import pytest
from amaranth.sim import Simulator

from niter.interface import MAX_FUNCTIONS, WriteKind
from niter.pcie.tl.write import WriteDma
from tests.pcie.host import BUS, DEVICE, Host, Link
from tests.support.stream import SEEDS

INTERRUPT = WriteKind.INTERRUPT
MEMORY = WriteKind.MEMORY

#: Bytes of memory on either side of what is written, which must stay as they are.
GUARD = 64


class Bench:
    """A ``WriteDma`` with a host before it and writers behind it."""

    def __init__(self, seed, *, weights=(1, 2, 1), stall=0.0, payload=128):
        self.rng = random.Random(seed)
        self.dut = WriteDma(weights=weights)
        self.host = Host(self.rng, payload=payload)
        self.link = Link(self.host, stall=stall)
        self.stall = stall
        self.expected = {}
        #: What reached the host, or was raised, in this order.
        self.events = self.host.log
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        self.sim.add_testbench(self._setup)
        self.sim.add_testbench(self.link.requests(self.dut.o), background=True)
        self.sim.add_testbench(self._interrupts, background=True)
        self.sources = 0

    async def _setup(self, ctx):
        ctx.set(self.dut.link.bus, BUS)
        ctx.set(self.dut.link.device, DEVICE)
        for function in range(MAX_FUNCTIONS - 1):
            ctx.set(self.dut.states[function].master, 1)
            ctx.set(self.dut.states[function].payload, self.host.payload.bit_length() - 8)

    async def _interrupts(self, ctx):
        port = self.dut.interrupt
        while True:
            ctx.set(port.ready, self.rng.random() >= self.stall)
            _, _, valid, ready, payload = await ctx.tick().sample(
                port.valid, port.ready, port.payload
            )
            if valid and ready:
                self.host.log.append((payload.function, payload.vector))

    def place(self, base, address, length):
        """Memory for a write, with guard bytes around it; returns what to write."""
        self.host.put(address - GUARD, bytes([0xEE]) * (length + 2 * GUARD))
        content = self.rng.randbytes(length)
        self.expected.update(enumerate(content, address))
        return content

    def write(self, port, items, *, data_first=False):
        """Do ``items`` on a port: (address, content, function, error) or (vector, function)."""
        stream = self.dut.write[port]
        rng = random.Random(self.rng.random())
        lanes = {id(item): rng.choice((0, rng.randrange(8))) for item in items}

        async def commands(ctx):
            for item in items:
                while rng.random() < self.stall:
                    await ctx.tick()
                payload = {"kind": INTERRUPT, "vector": item[0], "function": item[1]}
                if len(item) > 2:
                    address, content, function, _ = item
                    payload = {
                        "kind": MEMORY,
                        "address": address,
                        "length": len(content),
                        "function": function,
                        "lane": lanes[id(item)],
                    }
                if data_first:
                    await ctx.tick().repeat(40)
                ctx.set(stream.command.payload, payload)
                ctx.set(stream.command.valid, 1)
                await ctx.tick().until(stream.command.ready)
                ctx.set(stream.command.valid, 0)

        async def data(ctx):
            for item in items:
                if len(item) == 2:
                    continue
                _, content, _, error = item
                content = rng.randbytes(lanes[id(item)]) + content
                for at in range(0, len(content), 8):
                    while rng.random() < self.stall:
                        await ctx.tick()
                    last = at + 8 >= len(content)
                    chunk = content[at : at + 8]
                    ctx.set(
                        stream.data.payload,
                        {
                            "data": int.from_bytes(chunk, "little"),
                            "empty": 8 - len(chunk),
                            "last": last,
                            "error": last and error,
                        },
                    )
                    ctx.set(stream.data.valid, 1)
                    await ctx.tick().until(stream.data.ready)
                    ctx.set(stream.data.valid, 0)

        async def counted(ctx, process):
            self.sources += 1
            await process(ctx)
            self.sources -= 1

        self.sim.add_testbench(partial(counted, process=commands))
        self.sim.add_testbench(partial(counted, process=data))

    def run(self, limit=50_000):
        """Run until all is accepted, and then until all has left."""

        async def settle(ctx):
            order = self.dut.order
            quiet = 0
            for _ in range(limit):
                _, _, accepted, retired = await ctx.tick().sample(order.accepted, order.retired)
                quiet = quiet + 1 if accepted == retired and not self.sources else 0
                if quiet > 100:
                    return
            raise AssertionError("stuck")

        self.sim.add_testbench(settle)
        self.sim.run()
        for address, byte in self.host.memory.items():
            assert byte == self.expected.get(address, 0xEE), f"wrong byte at {address:#x}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("stall", "payload", "data_first"),
    [(0.0, 128, False), (0.3, 256, True), (0.3, 128, False)],
)
def test_any_span_from_any_port(seed, stall, payload, data_first):
    bench = Bench(seed, stall=stall, payload=payload)
    for port, longest in enumerate((16, 64, 1500)):
        items = []
        for number in range(8):
            base = (bench.rng.choice((0x10, 1 << 30)) + port) << 24 | number * 0x4000
            length = bench.rng.choice((bench.rng.randint(1, 9), bench.rng.randint(1, longest)))
            address = base + 0x1000 - bench.rng.randint(0, 300)
            items.append((address, bench.place(base, address, length), 0, False))
        bench.write(port, items, data_first=data_first)
    bench.run()
    assert all(tlp.get_payload_size() <= payload for tlp in bench.host.log)


def test_longest_packets_fill_the_ring():
    bench = Bench(1)
    items = []
    for number in range(3):
        address = 0x10_0000 + 0x3000 * number + 5 * number
        items.append((address, bench.place(0, address, 4096), 0, False))
    bench.write(0, items)
    bench.run()


def test_a_packet_in_error_never_leaves():
    bench = Bench(1)
    items = []
    for number in range(12):
        address = 0x2_0000 + 0x1000 * number + number
        bad = number % 3 == 1
        if bad:
            items.append((0xDEAD_0000, bytes(700), 0, True))
        else:
            items.append((address, bench.place(0, address, 300), 0, False))
    bench.write(0, items)
    bench.run()


def test_a_function_that_may_not_send_is_silent():
    bench = Bench(1)
    mute = MAX_FUNCTIONS - 1
    content = bench.place(0, 0x1234, 100)
    bench.write(
        0, [(0xDEAD_0000, bytes(500), mute, False), (9, mute), (0x1234, content, 0, False), (3, 1)]
    )
    bench.run()
    assert bench.host.log[-1] == (1, 3)
    assert len(bench.host.log) == 3, "two pieces and an interrupt"
    assert all(isinstance(e, tuple) or e.requester_id.function == 0 for e in bench.host.log)


@pytest.mark.parametrize("data_first", [False, True])
def test_interrupts_stay_behind_the_writes_before_them(data_first):
    bench = Bench(1, stall=0.3)
    items = []
    for number in range(10):
        address = 0x5_0000 + 0x1000 * number
        items.append((address, bench.place(0, address, 130), 0, False))
        items.append((number, 0))
    bench.write(1, items, data_first=data_first)
    bench.run()
    written = set()
    for event in bench.host.log:
        if isinstance(event, tuple):
            _, vector = event
            assert {0x5_0000 + 0x1000 * vector, 0x5_0080 + 0x1000 * vector} <= written
        else:
            written.add(event.address)
    assert [event[1] for event in bench.host.log if isinstance(event, tuple)] == list(range(10))


@pytest.mark.parametrize("offset", [0, 5])
@pytest.mark.parametrize("base", [0x10_0000, 1 << 40])
def test_a_beat_is_lost_at_most_between_packets(offset, base):
    """128-byte TLPs follow each other within 19 cycles."""
    bench = Bench(1)
    items = []
    for number in range(6):
        address = base + 0x1000 * number + offset
        items.append((address, bench.place(0, address, 1024), 0, False))
    bench.write(0, items[:3])
    bench.write(1, items[3:])
    times = []

    async def watch(ctx):
        cycle = 0
        while True:
            _, _, valid, ready, beat = await ctx.tick().sample(
                bench.dut.o.valid, bench.dut.o.ready, bench.dut.o.payload
            )
            cycle += 1
            if valid and ready and beat.last:
                times.append(cycle)

    bench.sim.add_testbench(watch, background=True)
    bench.run()
    # What the link needs for them at one byte a lane and beat: framing is eight bytes.
    first = 128 - offset
    header = 16 if base >> 32 else 12
    sizes = [first, *[128] * 7, offset] if offset else [128] * 8
    needed = sum(header + 8 + -(-size // 4) * 4 for size in sizes) / 8
    assert (times[-1] - times[0]) / (len(times) - 1) * len(sizes) <= needed + 1

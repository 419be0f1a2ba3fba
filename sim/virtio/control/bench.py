"""The control queue of virtio-net: chains in any arrangement, of which one command is known."""

from collections.abc import Sequence

import cocotb
from cocotb.triggers import ClockCycles

from niter.virtio.net.multiqueue import Multiqueue
from niter.virtio.queue.layouts import Segment, Used
from sim.harness import Bench, rng
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory, Region
from sim.models.streams import StreamSink, StreamSource, stalls
from sim.models.virtio.specification import Control as Answer

PAIRS = 4
BENCH = Bench(dut=lambda: Multiqueue(PAIRS), tier="fast", clock_ns=16, fuzz=True)


class Room:
    """The device under test, host memory, and chains out of the test's hands."""

    def __init__(self, dut, stalled: bool = True):
        def pauses(name):
            return stalls(rng(name), 0.3) if stalled else None

        self.dut = dut
        self.random = rng("chains")
        self.memory = HostMemory(rng=self.random)
        self.ports = HostPorts(dut, self.memory, latency_ns=200)
        self.ports.serve_read(
            "read", command_stalls=pauses("reads"), answer_stalls=pauses("answers")
        )
        self.ports.serve_write("write", command_stalls=pauses("writes"), data_stalls=pauses("data"))
        self.chains = StreamSource(dut, "i", Segment, stalls=pauses("chains"))
        self.used = StreamSink(dut, "used", Used, stalls=pauses("used"))
        dut.ready.value = dut.multiqueue.value = 0xFF

    def region(self, size: int, content: bytes = b"") -> Region:
        """A segment at any address, readable if it has content."""
        region = self.memory.allocate(
            size, align=1, name="segment", readable=bool(content), writable=not content
        )
        region.write(0, content)
        return region

    async def execute(
        self, readable: Sequence[Region], writable: Sequence[Region], function: int = 0
    ) -> int:
        """Give a chain to the device and take it back; returns the length that was written."""
        head = self.random.randrange(1024)
        segments = [(region, 0) for region in readable] + [(region, 1) for region in writable]
        for number, (region, write) in enumerate(segments):
            self.chains.put(
                {
                    "queue": {"index": 2 * PAIRS, "function": function},
                    "head": head,
                    "address": region.address,
                    "length": region.size,
                    "total": sum(part.size for part in readable) if not number else 0,
                    "writable": write,
                    "first": number == 0,
                    "last": number == len(segments) - 1,
                }
            )
        used = await self.used.recv()
        assert used.head == head and not used.more
        assert (used.queue.index, used.queue.function) == (2 * PAIRS, function)
        return used.length

    async def command(self, content: bytes, function: int = 0, answers: Sequence[int] = (1,)):
        """Execute a command cut at random; returns its answer."""
        places = range(1, len(content))
        cuts = sorted(self.random.sample(places, k=min(len(places), self.random.randrange(3))))
        parts = [
            self.region(end - start, content[start:end])
            for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
        ]
        spaces = [self.region(size, b"") for size in answers]
        for space in spaces:
            space.fill(0xEE)
        assert await self.execute(parts, spaces, function) == 1
        for space in spaces:
            assert space.read()[1:] == b"\xee" * (space.size - 1)
        assert all(space.read(0, 1) == b"\xee" for space in spaces[1:])
        for region in (*parts, *spaces):
            self.memory.free(region)
        return spaces[0].read(0, 1)[0]

    async def set_pairs(self, pairs: int, function: int = 0) -> int:
        """VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET."""
        return await self.command(b"\x04\x00" + pairs.to_bytes(2, "little"), function)

    def active(self, function: int) -> int:
        """Queue pairs that the device says it uses."""
        return int(self.dut.active.value) >> 3 * function & 7


async def begin(dut, **how) -> Room:
    await BENCH.start(dut)
    room = Room(dut, **how)
    await ClockCycles(dut.clk, 2)
    return room


@cocotb.test()
async def test_pairs(dut):
    """VQ_PAIRS_SET takes every number up to what there is, for its function alone."""
    room = await begin(dut)
    expected = [1] * 8
    for _ in range(60):
        function, pairs = room.random.randrange(8), room.random.choice((1, 2, 3, PAIRS))
        assert await room.set_pairs(pairs, function) == Answer.OK
        expected[function] = pairs
        assert [room.active(n) for n in range(8)] == expected
        wrong = room.random.choice((0, PAIRS + 1, 7, 8, 256, 257, 0x8000, 0xFFFF))
        assert await room.set_pairs(wrong, function) == Answer.ERR
        assert [room.active(n) for n in range(8)] == expected


@cocotb.test()
async def test_cuts(dut):
    """The same command is understood however its bytes are cut."""
    room = await begin(dut)
    for cuts in range(8):
        parts, content = [b""], b"\x04\x00\x03\x00"
        for at, byte in enumerate(content):
            parts[-1] += bytes([byte])
            if cuts >> at & 1 and at < 3:
                parts.append(b"")
        regions = [room.region(len(part), part) for part in parts]
        answer = room.region(1)
        answer.fill(0xEE)
        assert await room.execute(regions, [answer]) == 1
        assert answer.read() == b"\x00" and room.active(0) == 3
        await room.set_pairs(1)
    for answers in ((1, 1), (8,), (3, 5, 2)):
        assert await room.command(b"\x04\x00\x02\x00", answers=answers) == Answer.OK


@cocotb.test()
async def test_refused(dut):
    """Every other command is answered VIRTIO_NET_ERR, and changes nothing."""
    room = await begin(dut)
    await room.set_pairs(3)
    for kind in range(8):
        for command in range(4):
            if (kind, command) != (4, 0):
                content = bytes([kind, command]) + b"\x02\x00"
                assert await room.command(content) == Answer.ERR
    for content in (b"\x04", b"\x04\x00", b"\x04\x00\x02", b"\x04\x00\x02\x00\x00", bytes(300)):
        assert await room.command(content + b"") == Answer.ERR
    for _ in range(30):
        content = room.random.randbytes(room.random.randrange(2, 40))
        if content[:2] != b"\x04\x00":
            assert await room.command(content) == Answer.ERR
    dut.multiqueue.value = 0xFE
    assert await room.set_pairs(2) == Answer.ERR
    assert room.active(0) == 3


@cocotb.test()
async def test_broken_chains(dut):
    """Chains without a command, without room for an answer, and with memory that is refused."""
    room = await begin(dut)
    request = room.region(4, b"\x04\x00\x02\x00")
    assert await room.execute([request], []) == 0
    assert room.active(0) == 1
    answer = room.region(1)
    answer.fill(0xEE)
    assert await room.execute([], [answer]) == 1
    assert answer.read()[0] == Answer.ERR

    room.memory.refuse(0x10, 0x100)
    hole = Region(0x20, 2, "hole")
    for parts in ([hole, request], [request, hole], [hole]):
        answer.fill(0xEE)
        assert await room.execute(parts, [answer]) == 1
        assert answer.read()[0] == Answer.ERR
    assert room.active(0) == 1
    # Nobody hears the answer, but the device works on.
    assert await room.execute([request], [Region(0x30, 1, "hole")]) == 1
    assert await room.set_pairs(4) == Answer.OK
    assert room.active(0) == 4


@cocotb.test()
async def test_reset(dut):
    """A function whose driver is not running uses one pair."""
    room = await begin(dut)
    for function in range(8):
        await room.set_pairs(4, function)
    dut.ready.value = 0b1101_1111
    await ClockCycles(dut.clk, 2)
    assert [room.active(n) for n in range(8)] == [4, 4, 4, 4, 4, 1, 4, 4]
    room.ports.disabled.add(5)
    request, answer = room.region(4, b"\x04\x00\x02\x00"), room.region(1)
    answer.fill(0xEE)
    assert await room.execute([request], [answer], 5) == 1
    assert answer.read()[0] == 0xEE and room.active(5) == 1
    dut.ready.value = 0xFF
    room.ports.disabled.clear()
    assert room.active(5) == 1
    assert await room.set_pairs(2, 5) == Answer.OK
    assert room.active(5) == 2

"""The MAC against cocotbext-eth, an independent GMII peer that makes and checks the FCS."""

import struct

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum

from niter.net.mac import Mac
from sim.harness import Bench, record, rng
from sim.models.control import ControlBus
from sim.models.limits import ethernet_frames_per_second
from sim.models.streams import Frame, FrameSink, FrameSource, stalls

BENCH = Bench(
    dut={
        "standard": lambda: Mac(port=1, frame_bytes=2000, sums=True),
        "jumbo": lambda: Mac(port=1, frame_bytes=9600),
    }
)
CORE_NS = 16
PAUSE_ADDRESS = bytes.fromhex("0180c2000001")


class Station:
    """The MAC, its control bus, and a peer on the wire."""

    def __init__(self, dut, core_stalls=None):
        self.dut = dut
        self.mac = BENCH.component
        self.source = FrameSource(dut, "i")
        self.sink = FrameSink(dut, "o", stalls=core_stalls)
        self.before = {}
        self.control = ControlBus(dut, "csr", self.mac.csr)
        self.wire_in = GmiiSource(
            dut.receive__d, dut.receive__er, dut.receive__dv, dut.gmii_rx_clk, dut.gmii_rx_rst
        )
        self.wire_out = GmiiSink(
            dut.transmit__d, dut.transmit__er, dut.transmit__en, dut.gmii_tx_clk, dut.gmii_tx_rst
        )

    @classmethod
    async def start(cls, dut, *, longest=None, core_stalls=None, skew_ns=8.0):
        """Clocks, reset, and both directions switched on."""
        dut.gmii_rx_rst.value = 1
        dut.gmii_tx_rst.value = 1
        cocotb.start_soon(Clock(dut.gmii_tx_clk, 8, unit="ns").start())
        cocotb.start_soon(Clock(dut.gmii_rx_clk, skew_ns, unit="ns").start())
        await BENCH.start(dut)
        await ClockCycles(dut.gmii_rx_clk, 5)
        dut.gmii_rx_rst.value = 0
        dut.gmii_tx_rst.value = 0
        station = cls(dut, core_stalls)
        longest = longest or (9600 if BENCH.component.depth > 1000 else 2000)
        await station.control.write(
            "registers.control", receive=1, transmit=1, honour_pause=1, longest=longest
        )
        await ClockCycles(dut.clk, 20)
        station.longest = longest
        station.before = await station.counters()
        return station

    async def counters(self):
        """All counters, from the start of the test on: a reset leaves them alone."""
        now = await self.control.counters("counters.counters")
        return {name: value - self.before.get(name, 0) for name, value in now.items()}

    async def from_wire(self, data: bytes, *, fcs: bool = True, error_at: int | None = None):
        """Put a frame on the wire; returns when it has gone."""
        frame = GmiiFrame.from_payload(data, min_len=0)
        if not fcs:
            frame.data[-1] ^= 0x55
        frame.error = [0] * len(frame.data)
        if error_at is not None:
            frame.error[error_at] = 1
        done = Event()
        frame.tx_complete = lambda _: done.set()
        await self.wire_in.send(frame)
        await done.wait()

    async def quiet(self):
        """Wait until what is on its way has arrived."""
        await Timer(200 * CORE_NS, "ns")


def payloads(rand, count, low, high):
    """Random frames."""
    return [rand.randbytes(rand.randint(low, high)) for _ in range(count)]


@cocotb.test()
async def both_ways(dut):
    """Frames of all sizes cross in both directions at once, and are counted."""
    rand = rng("both")
    station = await Station.start(dut, core_stalls=stalls(rng("stalls"), 0.1))
    sizes = [60, 61, 62, 63, 64, 65, 66, 67, 68, 1514, station.longest]
    outgoing = [rand.randbytes(n) for n in sizes] + payloads(rand, 20, 14, 300)
    incoming = [b"\2" + rand.randbytes(n - 1) for n in sizes] + [b"\1" + rand.randbytes(99)]
    for frame in outgoing:
        station.source.put(frame)
    for frame in incoming:
        await station.wire_in.send(GmiiFrame.from_payload(frame, min_len=0))
    for expected in outgoing:
        frame = await station.wire_out.recv()
        assert frame.check_fcs() and frame.error is None
        assert frame.get_payload() == expected.ljust(60, b"\0")
    for expected in incoming:
        frame = await station.sink.recv()
        assert frame.data == expected and not frame.error
        assert frame.meta.length == len(expected) and frame.meta.port == 1
        if station.mac.sums:
            total = ~checksum(expected) & 0xFFFF
            assert frame.meta.sums[0] % 0xFFFF == total % 0xFFFF
    await station.quiet()
    counters = await station.counters()
    assert counters["tx_frames"] == len(outgoing)
    assert counters["tx_bytes"] == sum(map(len, outgoing))
    assert counters["rx_unicast_frames"] == len(sizes)
    assert counters["rx_multicast_frames"] == 1
    assert counters["rx_bytes"] == sum(map(len, incoming))


@cocotb.test()
async def bad_frames(dut):
    """Each kind of bad frame is dropped and counted; the next one is not touched."""
    rand = rng("bad")
    station = await Station.start(dut, longest=1000, skew_ns=7.998)
    good = [rand.randbytes(n) for n in (60, 1000)]
    bad = [
        ({"data": rand.randbytes(200), "fcs": False}, "rx_bad_fcs"),
        ({"data": rand.randbytes(200), "error_at": 100}, "rx_symbol_errors"),
        *(({"data": rand.randbytes(n)}, "rx_runts") for n in (1, 7, 8, 9, 30, 59)),
        *(({"data": rand.randbytes(n)}, "rx_giants") for n in (1001, 1500)),
        (
            {"data": PAUSE_ADDRESS + rand.randbytes(6) + b"\x88\x08\0\2" + bytes(44)},
            "rx_control_frames",
        ),
    ]
    expected = dict.fromkeys((name for _, name in bad), 0)
    for arguments, name in bad:
        await station.from_wire(**arguments)
        expected[name] += 1
        for frame in good:
            await station.from_wire(frame)
    for _ in bad:
        for frame in good:
            received = await station.sink.recv()
            assert received.data == frame and not received.error
    await station.quiet()
    assert station.sink.waiting == 0
    counters = await station.counters()
    for name, count in expected.items():
        assert counters[name] == count, (name, counters)


@cocotb.test()
async def overflow(dut):
    """When the core does not take frames, whole frames are dropped and counted."""
    rand = rng("overflow")
    station = await Station.start(dut)
    station.sink.pause()
    size = station.longest // 2
    frames = [rand.randbytes(size) for _ in range(12)]
    for frame in frames:
        await station.from_wire(frame)
    station.sink.resume()
    await Timer(len(frames) * size * 4, "ns")
    received = [frame.data for frame in station.sink.take()]
    counters = await station.counters()
    assert counters["rx_overflows"] > 0
    assert counters["rx_overflows"] + len(received) == len(frames)
    assert received == frames[: len(received)]
    await station.from_wire(frames[0])
    assert (await station.sink.recv()).data == frames[0]


@cocotb.test()
async def pause(dut):
    """A PAUSE frame stops transmission for its quanta, a zero one lets it go on."""
    station = await Station.start(dut)

    def frame(quanta):
        return PAUSE_ADDRESS + bytes(6) + b"\x88\x08\0\1" + struct.pack(">H", quanta) + bytes(42)

    quanta = 20
    await station.from_wire(frame(quanta))
    begin = get_sim_time("ns")
    await station.quiet()
    station.source.put(bytes(60))
    sent = await station.wire_out.recv()
    waited = sent.sim_time_sfd / 1000 - begin
    assert quanta * 512 - 200 < waited < quanta * 512 + 400, waited
    await station.from_wire(frame(0xFFFF))
    station.source.put(bytes(60))
    await Timer(20, "us")
    assert station.wire_out.empty()
    await station.from_wire(frame(0))
    await station.wire_out.recv()
    await station.quiet()
    assert (await station.counters())["rx_control_frames"] == 3
    assert station.sink.waiting == 0


@cocotb.test()
async def discarded_on_transmit(dut):
    """A frame that ends in error never begins on the wire."""
    station = await Station.start(dut)
    rand = rng("discard")
    frames = [(rand.randbytes(rand.randint(14, 400)), rand.random() < 0.5) for _ in range(20)]
    for content, error in frames:
        station.source.put(Frame(content, error=error))
    for content in [content for content, error in frames if not error]:
        sent = await station.wire_out.recv()
        assert sent.get_payload() == content.ljust(60, b"\0")
    await station.quiet()
    counters = await station.counters()
    assert counters["tx_discarded"] == sum(error for _, error in frames)


def partial(rand, inner_size, transport):
    """A datagram whose checksum is left to the card: the frame, its slot and the whole frame."""
    layer = transport(sport=rand.randrange(65536), dport=rand.randrange(65536))
    whole = Ether(bytes(Ether() / IP(dst="10.0.0.2") / layer / Raw(rand.randbytes(inner_size))))
    content = bytearray(bytes(whole))
    start, offset = 34, 16 if transport is TCP else 6
    # The seed is the folded sum of the pseudo header.
    total = len(content) - start
    pseudo = content[26:34] + bytes([0, content[23]]) + struct.pack(">H", total)
    folded = sum(struct.unpack(">6H", pseudo))
    folded = (folded & 0xFFFF) + (folded >> 16)
    content[start + offset : start + offset + 2] = struct.pack(">H", folded)
    return bytes(content), start, start + offset, bytes(whole)


@cocotb.test()
async def checksum_slots(dut):
    """Slots are filled as scapy fills them, alone and nested, and the slots of bad frames never."""
    rand = rng("checksum")
    station = await Station.start(dut)
    expected = []
    for number in range(60):
        content, start, position, whole = partial(
            rand, rand.randint(0, 900), (TCP, UDP)[number % 2]
        )
        inner = {"enable": 1, "start": start, "position": position}
        if number % 3 == 0:
            station.source.put(Frame(content, meta={"inner_checksum": inner}))
            expected.append(whole)
        elif number % 3 == 1:
            station.source.put(Frame(content, error=True, meta={"inner_checksum": inner}))
        else:
            # As a tunnel does it: an outer datagram around the whole, both sums open.
            outer, at, slot, _ = partial(rand, len(content), UDP)
            head = outer[:42]
            shifted = {"enable": 1, "start": start + 42, "position": position + 42}
            own = {"enable": 1, "start": at, "position": slot}
            station.source.put(
                Frame(head + content, meta={"inner_checksum": shifted, "outer_checksum": own})
            )
            reference = Ether(head + whole)
            del reference[UDP].chksum
            expected.append(bytes(reference))
    for whole in expected:
        sent = await station.wire_out.recv()
        assert sent.get_payload()[: len(whole)] == whole


async def line_rate(station, size, count):
    """Both directions back to back; records what each carried."""
    rand = rng("rate", size)
    frames = [b"\2" + rand.randbytes(size - 1) for _ in range(count)]
    limit = ethernet_frames_per_second(size) * size * 8 / 1e9
    for frame in frames:
        station.source.put(frame)
        await station.wire_in.send(GmiiFrame.from_payload(frame, min_len=0))
    first = await station.wire_out.recv()
    for _ in range(count - 2):
        await station.wire_out.recv()
    last = await station.wire_out.recv()
    ns = (last.sim_time_sfd - first.sim_time_sfd) / 1000
    cycles = round(ns / CORE_NS)
    tx = record(
        f"mac_tx_{size}", frames=count - 1, bytes=(count - 1) * size, cycles=cycles, limit=limit
    )
    assert tx.of_limit > 0.999
    received = [await station.sink.recv() for _ in frames]
    assert [frame.data for frame in received] == frames
    # Frames leave as they come, so that their number in the time of the wire is the rate.
    record(f"mac_rx_{size}", frames=count - 1, bytes=(count - 1) * size, cycles=cycles, limit=limit)


@cocotb.test()
async def rates(dut):
    """Shortest and longest frames at the rate of the wire, both ways at once."""
    station = await Station.start(dut)
    await line_rate(station, 60, 60)
    await line_rate(station, station.longest, 8)
    counters = await station.counters()
    assert counters["rx_overflows"] == 0

"""Two tenants on one card: what they may do to each other, and what not."""

import cocotb
from cocotb.triggers import Timer
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum

from sim.card.testbench import Peer, Tenant, Testbench, jumbo_card
from sim.harness import Bench, rng
from sim.models.virtio.net import Header
from sim.models.virtio.specification import HeaderFlag

BENCH = Bench(dut=jumbo_card, timeout_s=1800)

VNI = 0x123456
STATION = "02:00:00:00:00:77"
PEER = Peer("198.51.100.2", "02:bb:00:00:00:02", port=0, stations=(STATION,))
FIRST = Tenant("02:00:00:00:00:01", VNI, ("10.0.0.1",))
NEIGHBOUR = Tenant("02:00:00:00:00:02", VNI, ("10.0.0.2",))
#: Its address is its own: what one test maps, the next one finds in the card's tables.
STRANGER = Tenant("02:00:00:00:00:03", 0x77, ("10.0.0.2",))
#: From the Ethernet header to the UDP header, and on to its checksum.
UDP_AT, CHECKSUM_OFFSET = 34, 6


def datagram(source: Tenant, destination: str, ip: str, number: int, size: int = 200) -> bytes:
    """A UDP frame with a right checksum and a payload that tells it from all others."""
    payload = number.to_bytes(4, "big") + rng("payload", number).randbytes(size)
    layers = IP(src=source.addresses[0], dst=ip) / UDP(sport=1000 + number, dport=9) / Raw(payload)
    return bytes(Ether(src=source.address, dst=destination) / layers)


def unfinished(frame: bytes) -> bytes:
    """The frame as a driver with CSUM gives it: the pseudo header's sum stands in the checksum."""
    pseudo = frame[26:34] + bytes([0, 17]) + frame[38:40]
    # The sum itself, not its complement.
    seed = checksum(pseudo) ^ 0xFFFF
    at = UDP_AT + CHECKSUM_OFFSET
    return frame[:at] + seed.to_bytes(2, "big") + frame[at + 2 :]


async def launch(dut, second: Tenant) -> Testbench:
    """Both functions up."""
    return await Testbench.start(
        BENCH, dut, tenants=[FIRST, second], peers=[PEER], drivers={"buffers": 32, "pairs": 1}
    )


async def expect(driver, frames: list[bytes]) -> None:
    """The driver must get exactly these, in order."""
    for frame in frames:
        assert (await driver.recv()).data == frame


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def neighbours_meet_on_the_card(dut):
    """Frames between two functions of one network do not touch the wire; checksums are filled."""
    bench = await launch(dut, NEIGHBOUR)
    one, two = bench.drivers
    there = [datagram(FIRST, NEIGHBOUR.address, "10.0.0.2", n) for n in range(8)]
    back = [datagram(NEIGHBOUR, FIRST.address, "10.0.0.1", 100 + n) for n in range(8)]
    header = Header(flags=HeaderFlag.NEEDS_CSUM, csum_start=UDP_AT, csum_offset=CHECKSUM_OFFSET)
    for outward, inward in zip(there, back, strict=True):
        await one.send(unfinished(outward), header=header)
        await two.send(inward)
    await expect(two, there)
    await expect(one, back)
    assert all(wire.waiting == 0 for wire in bench.wires)
    bench.memory.check()


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def strangers_never_meet(dut):
    """Another network is another world, whatever addresses a tenant writes into its frames."""
    bench = await launch(dut, STRANGER)
    one, two = bench.drivers
    stray = datagram(FIRST, STRANGER.address, "10.0.0.2", 1)
    forged = datagram(NEIGHBOUR, STATION, "10.0.0.77", 2)
    honest = datagram(FIRST, STATION, "10.0.0.77", 3)
    path = "overlay.counters.counters"
    before = await bench.counters(path)
    for frame in (stray, forged, honest):
        await one.send(frame)
    assert (await bench.wires[0].recv())[50:] == honest
    await Timer(10, "us")
    assert bench.wires[0].waiting == 0 and two.received == 0
    after = await bench.counters(path)
    for reason in ("transmit_function0_no_mapping", "transmit_function0_source_mac"):
        assert after[reason] == before.get(reason, 0) + 1, reason
    # From the wire: a network that no function here belongs to, then the right one.
    visitor = Tenant(STATION, VNI, ("10.0.0.77",))
    inward = datagram(visitor, FIRST.address, "10.0.0.1", 4)
    await bench.wires[0].send(bench.tunnelled(inward, 0x999, PEER))
    await bench.wires[0].send(bench.tunnelled(inward, VNI, PEER))
    await Timer(30, "us")
    assert [frame.data for frame in one.arrived()] == [inward], await bench.counters(path)
    assert one.received == 1 and two.received == 0
    bench.memory.check()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def one_is_reset_while_the_other_works(dut):
    """FLR in the middle of traffic leaves no access behind; the neighbour loses nothing."""
    bench = await launch(dut, STRANGER)
    one, two = bench.drivers
    frames = [datagram(STRANGER, STATION, "10.0.0.77", n, 600) for n in range(40)]
    flood = [datagram(FIRST, STATION, "10.0.0.77", 1000 + n, 900) for n in range(40)]
    for frame in flood:
        one.put(frame)
    await one.transmit[0].kick()

    async def work():
        for frame in frames:
            await two.send(frame)
            await Timer(1, "us")

    working = cocotb.start_soon(work())
    await Timer(15, "us")
    # All memory of the function is taken away when the reset is over: a late access fails.
    await one.function_reset()
    await working
    inner = []
    while len(inner) < len(frames):
        frame = (await bench.wires[0].recv())[50:]
        if frame in frames:
            inner.append(frame)
        else:
            assert frame in flood, "a damaged frame left the card"
    assert inner == frames
    await one.start(buffers=32, pairs=1)
    again = datagram(FIRST, STATION, "10.0.0.77", 5000)
    await one.send(again)
    while (await bench.wires[0].recv())[50:] != again:
        pass
    bench.memory.check()

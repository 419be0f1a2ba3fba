"""Real frames through the whole card: driver to wire and back."""

import shutil
import subprocess

import cocotb
from cocotb.queue import Queue
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from sim.captures import frames, names
from sim.card.testbench import CORE_NS, Peer, Tenant, Testbench, jumbo_card
from sim.harness import BUILD, Bench, Capture, record

BENCH = Bench(dut=jumbo_card, timeout_s=1800)

GUEST, STATION = "02:00:00:00:00:01", "02:00:00:00:00:02"
TENANTS = [
    Tenant(GUEST, 0x123456, ("192.0.2.1", "192.0.2.50", "2001:db8::1", "fe80::ff:fe00:1")),
    Tenant("02:00:00:00:00:0a", 0x77, ("10.0.0.1",)),
]
#: Frames that stations send before the driver has got the first of them.
WINDOW = 16
#: What crossed the wire, for Wireshark.
CAPTURE = BUILD / "card.pcapng"
PEER = Peer("198.51.100.2", "02:bb:00:00:00:02", port=1, stations=(STATION,))


def sent_by(address: str) -> list[bytes]:
    """Captured frames from one of the two stations."""
    source = bytes.fromhex(address.replace(":", ""))
    return [frame for name in names() for frame in frames(name) if frame[6:12] == source]


def unwrap(datagram: bytes) -> bytes:
    """The frame in a datagram of the card; fails if scapy finds anything wrong outside of it."""
    outer = Ether(datagram)
    ip, udp = outer[IP], outer[UDP]
    assert (outer.src, outer.dst) == (Testbench.VTEP_MAC, PEER.next_hop)
    assert (ip.src, ip.dst, ip.flags) == (Testbench.VTEP, PEER.vtep, "DF")
    assert ip.len == len(datagram) - 14 and udp.len == ip.len - 20
    checksum = ip.chksum
    del ip.chksum
    assert IP(bytes(ip)).chksum == checksum
    assert udp.dport == 4789 and udp.chksum == 0 and udp.sport >= 49152
    assert outer[VXLAN].vni == TENANTS[0].vni and outer[VXLAN].flags == 8
    return datagram[50:]


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def captures_cross_the_card(dut):
    """What Linux stacks sent leaves as VXLAN, and what they were sent arrives, byte for byte."""
    outgoing, incoming = sent_by(GUEST), sent_by(STATION)
    with Capture(CAPTURE) as capture:
        bench = await Testbench.start(
            BENCH, dut, tenants=TENANTS, peers=[PEER], drivers={"buffers": 64}, capture=capture
        )
        driver, wire = bench.drivers[0], bench.wires[1]
        start = cocotb.utils.get_sim_time("ns")

        # A card drops what comes faster than its lane carries; stations have a window.
        window = Queue(WINDOW)

        async def feed():
            for frame in incoming:
                await window.put(None)
                await wire.send(bench.tunnelled(frame, TENANTS[0].vni, PEER))

        async def collect():
            frames = []
            for _ in incoming:
                frames.append(await driver.recv())
                window.get_nowait()
            return frames

        cocotb.start_soon(feed())
        received = cocotb.start_soon(collect())
        for number, frame in enumerate(outgoing):
            await driver.send(frame, number % 4)
        left = list(outgoing)
        for _ in outgoing:
            frame = unwrap(await wire.recv())
            assert frame in left, f"nobody sent {frame.hex()}"
            left.remove(frame)
        arrived = await received
        pending = [frame.ljust(60, b"\0") if len(frame) < 60 else frame for frame in incoming]
        for frame in arrived:
            data = frame.data
            match = next(
                (p for p in pending if p == data or p.rstrip(b"\0") == data.rstrip(b"\0")), None
            )
            assert match is not None, f"nobody sent {data.hex()}"
            pending.remove(match)
        ns = cocotb.utils.get_sim_time("ns") - start
        record(
            "captures",
            frames=len(outgoing) + len(incoming),
            bytes=sum(map(len, outgoing + incoming)),
            cycles=round(ns / CORE_NS),
        )
        bench.memory.check()


TSHARK = shutil.which("tshark")


@cocotb.test(skip=TSHARK is None)
async def tshark_decodes_the_capture(dut):
    """Every frame of the capture down to the inner one, with no bad checksum."""
    expected = len(sent_by(GUEST)) + len(sent_by(STATION))
    command = [TSHARK, "-r", str(CAPTURE), "-T", "fields", "-e", "vxlan.vni"]
    for protocol in ("ip", "udp", "tcp"):
        command += ["-o", f"{protocol}.check_checksum:TRUE"]
    command += [
        "-e",
        "ip.checksum.status",
        "-e",
        "udp.checksum.status",
        "-e",
        "tcp.checksum.status",
        "-e",
        "icmp.checksum.status",
        "-e",
        "icmpv6.checksum.status",
    ]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == expected, (len(lines), expected)
    for line in lines:
        vni, *status = line.split("\t")
        assert int(vni) == TENANTS[0].vni, line
        # 0 is "bad"; 1 good, 2 not checked, 3 not present.
        assert all("0" not in field.split(",") for field in status), line

"""The captures hold what they say, and what a run writes can be read back."""

import shutil
import subprocess
from collections import Counter

import pytest
from scapy.layers.dhcp import DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils import PcapNgReader

from sim.captures import frames, names
from sim.harness import Capture

_HOLDS = {
    "arp": (ARP, ICMP),
    "neighbour": (ICMPv6ND_NS, ICMPv6ND_NA),
    "dhcp": (DHCP,),
    "tcp": (TCP, IPv6),
    "udp": (UDP, IPv6, IPv6ExtHdrFragment),
    "vlan": (Dot1Q, ARP, TCP),
    "jumbo": (ICMP, UDP, TCP),
}


def test_names():
    assert names() == sorted(_HOLDS)


@pytest.mark.parametrize("name, layers", _HOLDS.items())
def test_capture(name, layers):
    found = Counter()
    for frame in frames(name):
        packet = Ether(frame)
        found.update(layer for layer in layers if layer in packet)
        # Scapy's own checksums, where there are whole datagrams, are those of the stack.
        if (IP in packet and not packet[IP].frag and "MF" not in packet[IP].flags) or TCP in packet:
            again = packet.copy()
            for layer in (IP, UDP, TCP, ICMP):
                if layer in again:
                    del again[layer].chksum
            assert bytes(again) == frame
    assert set(found) == set(layers)


def test_sizes():
    assert {60, 1514} <= {len(frame) for frame in frames("udp")}
    assert max(len(frame) for frame in frames("jumbo")) == 9014
    guest = bytes.fromhex("020000000001")
    assert 0 < len(frames("tcp", source=guest)) < len(frames("tcp"))


def test_pcapng(tmp_path):
    path = tmp_path / "run.pcapng"
    first, second = frames("udp")[:2]
    with Capture(path) as capture:
        capture.write("wire0", first, 1000, outbound=True)
        capture.write("host", second, 2500)
        capture.write("wire0", second, 4000)
    with path.open("rb") as file:
        packets = list(PcapNgReader(file))
    assert [bytes(packet) for packet in packets] == [first, second, second]
    assert [packet.sniffed_on for packet in packets] == ["wire0", "host", "wire0"]
    assert [round(float(packet.time) * 1e9, -3) for packet in packets] == [1000, 2000, 4000]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_pcapng(tmp_path):
    path = tmp_path / "run.pcapng"
    with Capture(path) as capture:
        capture.write("wire0", frames("arp")[0], 1000)
        capture.write("host", frames("arp")[1], 2000)
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.interface_name"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["wire0", "host"]

"""Frames in, frames out: the listener's share of a network stack against scapy."""

import socket

import cbor2
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from niterctl.protocol import PORT, PROBE_PADDING

from .conftest import HOST, POLICY

MAC, IP4, IP6 = POLICY.mac.hex(":"), str(POLICY.ipv4), str(POLICY.ipv6)
PEER, PEER4, PEER6 = "02:00:00:00:00:77", "192.0.2.77", "2001:db8::77"
PROBE = cbor2.dumps([1, bytes(range(16)), bytes(PROBE_PADDING)])


@pytest.fixture(scope="module")
def wire(shared_card):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect((HOST, shared_card.frames))

    def ask(frame, timeout=0.5):
        line.settimeout(timeout)
        line.send(bytes(frame))
        try:
            return Ether(line.recv(4096))
        except TimeoutError:
            return None

    yield ask
    line.close()


def silent(wire, frame):
    """Nothing comes back for the frame; the next question is answered, so nothing hangs either."""
    assert wire(frame, 0.03) is None
    assert wire(Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc=PEER4, pdst=IP4)) is not None


def datagram(ip, payload=PROBE, **udp):
    return (
        Ether(src=PEER, dst=MAC) / ip / UDP(**{"sport": 4000, "dport": PORT, **udp}) / Raw(payload)
    )


def test_arp_is_answered(wire):
    answer = wire(Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=PEER, psrc=PEER4, pdst=IP4))
    assert (answer.src, answer.dst, answer[ARP].op) == (MAC, PEER, 2)
    assert (answer[ARP].hwsrc, answer[ARP].psrc) == (MAC, IP4)
    assert (answer[ARP].hwdst, answer[ARP].pdst) == (PEER, PEER4)


@pytest.mark.parametrize("change", [{"pdst": "192.0.2.2"}, {"op": 2}, {"hwlen": 5}, {"plen": 16}])
def test_other_arp_is_not_answered(wire, change):
    silent(
        wire,
        Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff")
        / ARP(hwsrc=PEER, psrc=PEER4, **{"pdst": IP4, **change}),
    )


def solicitation(source=PEER6, target=IP6, **ip):
    ip = IPv6(src=source, dst="ff02::1:ff00:1", hlim=255, **ip)
    options = ICMPv6NDOptSrcLLAddr(lladdr=PEER) if source != "::" else b""
    return Ether(src=PEER, dst="33:33:ff:00:00:01") / ip / ICMPv6ND_NS(tgt=target) / options


@pytest.mark.parametrize("source", [PEER6, "::"])
def test_a_solicitation_is_answered(wire, source):
    answer = wire(solicitation(source))
    advert = answer[ICMPv6ND_NA]
    assert (answer[IPv6].src, answer[IPv6].hlim, advert.tgt) == (IP6, 255, IP6)
    assert advert[ICMPv6NDOptDstLLAddr].lladdr == MAC
    assert (answer[IPv6].dst, advert.S) == ((PEER6, 1) if source == PEER6 else ("ff02::1", 0))
    again = Ether(bytes(answer))
    del again[ICMPv6ND_NA].cksum
    assert Ether(bytes(again))[ICMPv6ND_NA].cksum == advert.cksum


def test_other_solicitations_are_not_answered(wire):
    silent(wire, solicitation(target="2001:db8::2"))
    frame = solicitation()
    frame[IPv6].hlim = 254
    silent(wire, frame)
    damaged = bytearray(bytes(solicitation()))
    damaged[-1] ^= 1
    silent(wire, bytes(damaged))


@pytest.mark.parametrize("version", [4, 6])
def test_a_datagram_is_answered_the_way_it_came(wire, version):
    ip = IP(src=PEER4, dst=IP4) if version == 4 else IPv6(src=PEER6, dst=IP6)
    answer = wire(datagram(ip))
    assert (answer.src, answer.dst) == (MAC, PEER)
    assert (answer[UDP].sport, answer[UDP].dport) == (PORT, 4000)
    layer = answer[IP if version == 4 else IPv6]
    assert (layer.src, layer.dst) == ((IP4, PEER4) if version == 4 else (IP6, PEER6))
    kind, nonce, *_ = cbor2.loads(bytes(answer[UDP].payload)[: answer[UDP].len - 8])
    assert (kind, nonce) == (2, bytes(range(16)))
    again = Ether(bytes(answer))
    del again[UDP].chksum
    if version == 4:
        del again[IP].chksum
    again = Ether(bytes(again))
    assert again[UDP].chksum == answer[UDP].chksum
    if version == 4:
        assert again[IP].chksum == answer[IP].chksum


def test_a_datagram_over_ipv4_may_have_no_checksum(wire):
    assert wire(datagram(IP(src=PEER4, dst=IP4), chksum=0)) is not None


@pytest.mark.parametrize(
    "frame",
    [
        datagram(IPv6(src=PEER6, dst=IP6), chksum=0),
        datagram(IP(src=PEER4, dst=IP4), chksum=1),
        datagram(IP(src=PEER4, dst=IP4, chksum=1)),
        datagram(IP(src=PEER4, dst="192.0.2.2")),
        datagram(IP(src=PEER4, dst=IP4, flags="MF")),
        datagram(IP(src=PEER4, dst=IP4, frag=1)),
        datagram(IP(src=PEER4, dst=IP4, ihl=4)),
        datagram(IP(src=PEER4, dst=IP4, len=2000)),
        datagram(IP(src=PEER4, dst=IP4, len=19)),
        datagram(IP(src=PEER4, dst=IP4), dport=PORT + 1),
        datagram(IP(src=PEER4, dst=IP4), len=7),
        datagram(IP(src=PEER4, dst=IP4), len=2000),
        datagram(IP(src=PEER4, dst=IP4), payload=b""),
        datagram(IPv6(src=PEER6, dst=IP6, plen=2000)),
        Ether(src="03:00:00:00:00:01", dst=MAC) / IP(src=PEER4, dst=IP4) / UDP(dport=PORT) / PROBE,
        Ether(src=PEER, dst="02:00:00:00:00:55") / IP(src=PEER4, dst=IP4) / UDP(dport=PORT) / PROBE,
    ],
    ids=range(16),
)
def test_what_is_no_datagram_for_the_listener_is_ignored(wire, frame):
    silent(wire, frame)


@pytest.mark.parametrize("version", [4, 6])
def test_a_frame_that_is_cut_anywhere_is_ignored(wire, version):
    ip = IP(src=PEER4, dst=IP4) if version == 4 else IPv6(src=PEER6, dst=IP6)
    whole = bytes(datagram(ip))
    for length in range(1, len(whole)):
        assert wire(whole[:length], 0.001) is None
    silent(wire, whole[:20])

"""Frames in, frames out: the listener's share of a network stack against scapy."""

import socket
from contextlib import contextmanager
from dataclasses import replace

import cbor2
import pytest
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from firmware.host.process import HostCard
from niterctl.protocol import PORT, PROBE_PADDING

from .conftest import HOST, POLICY
from .test_volumes import CONFIG as STORAGE

MAC, IP4, IP6 = POLICY.mac.hex(":"), str(POLICY.ipv4), str(POLICY.ipv6)
PEER, PEER4, PEER6 = "02:00:00:00:00:77", "192.0.2.77", "2001:db8::77"
PROBE = cbor2.dumps([1, bytes(range(16)), bytes(PROBE_PADDING)])


@contextmanager
def plugged(card):
    """A function that sends a frame, and returns the card's answer."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect((HOST, card.frames))

    def ask(frame, timeout=0.5):
        line.settimeout(timeout)
        line.send(bytes(frame))
        try:
            return Ether(line.recv(4096))
        except TimeoutError:
            return None

    yield ask
    line.close()


@pytest.fixture(scope="module")
def wire(shared_card):
    with plugged(shared_card) as ask:
        yield ask


@pytest.fixture(scope="module")
def storage_wire(tmp_path_factory):
    """Of a card without an overlay."""
    with (
        HostCard(tmp_path_factory.mktemp("storage"), POLICY, config=STORAGE) as card,
        plugged(card) as ask,
    ):
        yield ask


def silent(wire, frame):
    """Nothing comes back for the frame; the next question is answered, so nothing hangs either."""
    assert wire(frame, 0.03) is None
    assert wire(datagram(IP(src=PEER4, dst=IP4))) is not None


def datagram(ip, payload=PROBE, **udp):
    return (
        Ether(src=PEER, dst=MAC) / ip / UDP(**{"sport": 4000, "dport": PORT, **udp}) / Raw(payload)
    )


def test_a_datagram_is_answered_the_way_it_came(wire):
    answer = wire(datagram(IP(src=PEER4, dst=IP4)))
    assert (answer.src, answer.dst) == (MAC, PEER)
    assert (answer[UDP].sport, answer[UDP].dport) == (PORT, 4000)
    assert (answer[IP].src, answer[IP].dst) == (IP4, PEER4)
    kind, nonce, *_ = cbor2.loads(bytes(answer[UDP].payload)[: answer[UDP].len - 8])
    assert (kind, nonce) == (2, bytes(range(16)))
    again = Ether(bytes(answer))
    del again[UDP].chksum
    del again[IP].chksum
    again = Ether(bytes(again))
    assert again[UDP].chksum == answer[UDP].chksum
    assert again[IP].chksum == answer[IP].chksum


def test_a_datagram_over_ipv4_may_have_no_checksum(wire):
    assert wire(datagram(IP(src=PEER4, dst=IP4), chksum=0)) is not None


@pytest.mark.parametrize(
    "frame",
    [
        datagram(IPv6(src=PEER6, dst=IP6)),
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
        datagram(IP(src=PEER4, dst=IP4, options=[IPOption_NOP()] * 4)),
        datagram(IP(src=PEER4, dst=IP4), payload=bytes(1300)),
        Ether(src=PEER, dst=MAC) / ARP(psrc=PEER4, pdst=IP4),
        Ether(src="03:00:00:00:00:01", dst=MAC) / IP(src=PEER4, dst=IP4) / UDP(dport=PORT) / PROBE,
        Ether(src=PEER, dst="02:00:00:00:00:55") / IP(src=PEER4, dst=IP4) / UDP(dport=PORT) / PROBE,
    ],
    ids=range(18),
)
def test_what_is_no_datagram_for_the_listener_is_ignored(wire, frame):
    silent(wire, frame)


def test_a_frame_that_is_cut_anywhere_is_ignored(wire):
    whole = bytes(datagram(IP(src=PEER4, dst=IP4)))
    for length in range(1, len(whole)):
        assert wire(whole[:length], 0.001) is None
    silent(wire, whole[:20])


def question(to="ff:ff:ff:ff:ff:ff", source=PEER, **fields):
    fields = {"hwsrc": source, "psrc": PEER4, "pdst": IP4, **fields}
    return Ether(src=source, dst=to) / ARP(**fields)


@pytest.mark.parametrize("to", ["ff:ff:ff:ff:ff:ff", MAC])
@pytest.mark.parametrize("asker", [PEER4, "0.0.0.0"])
def test_a_card_without_an_overlay_says_who_has_its_address(storage_wire, to, asker):
    """Padded or not; also to one who has no address yet (RFC 5227)."""
    for padding in (b"", bytes(18)):
        answer = storage_wire(question(to, psrc=asker) / Raw(padding))
        assert (answer.src, answer.dst) == (MAC, PEER)
        arp = answer[ARP]
        assert (arp.op, arp.hwsrc, arp.psrc) == (2, MAC, IP4)
        assert (arp.hwdst, arp.pdst) == (PEER, asker)
        assert len(answer) == 42


@pytest.mark.parametrize(
    "frame",
    [
        question(pdst="192.0.2.2"),
        question(op=2),
        question(hwtype=6),
        question(ptype=0x86DD),
        question(hwlen=8),
        question(plen=16),
        question(to="02:00:00:00:00:55"),
        question(source="03:00:00:00:00:01"),
        question(source=MAC),
    ],
    ids=range(9),
)
def test_what_is_no_question_for_its_address_is_ignored(storage_wire, frame):
    silent(storage_wire, frame)


def test_a_question_that_is_cut_anywhere_is_ignored(storage_wire):
    whole = bytes(question())
    for length in range(1, len(whole)):
        assert storage_wire(whole[:length], 0.001) is None
    silent(storage_wire, whole[:20])


def test_a_card_that_has_no_address_answers_nobody(tmp_path):
    policy = replace(POLICY, ipv4=None)
    with HostCard(tmp_path, policy, config=STORAGE) as card, plugged(card) as ask:
        assert ask(question(pdst="0.0.0.0"), 0.2) is None

"""Checksums of layer 4: the parser finds the good ones, decapsulation the bad ones outside."""

import random

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import checksum

from niter.interface import Verdict
from niter.net import Decapsulate, OverlayConfig
from sim.models.overlay import OverlayTables
from tests.net.frames import CATALOGUE, parser_with_frames
from tests.support.csr import write
from tests.support.stream import Bench, Packet

CONFIG = OverlayConfig(ipv6=True, geneve=True, verify=True)
MAC, VTEP, VTEP6 = "02:aa:00:00:00:01", "192.0.2.1", "2001:db8::1"
ETHER = Ether(src="02:bb:00:00:00:01", dst=MAC)


def whole_sum(frame):
    """The ones' complement sum of a frame, as scapy has it."""
    return ~checksum(frame) & 0xFFFF


def sent(frames, split=lambda total: (total, 0)):
    return [
        Packet(f, sideband={"meta": {"length": len(f), "sums": split(whole_sum(f))}})
        for f in frames
    ]


def parsed(frames, seed=1):
    dut = parser_with_frames(CONFIG, verify=True)
    bench = Bench(dut, seed)
    rng = random.Random(seed)

    def split(total):
        other = rng.randrange(0xFFFF)
        return other, (total - other) % 0xFFFF

    bench.send(dut.i, sent(frames, split))
    out = bench.receive(dut.o, len(frames))
    bench.run()
    return [bool(packet.sideband["meta"].checksum_good) for packet in out]


LOAD = bytes(range(33))
INET = IP(src="10.0.0.1", dst="10.0.0.2")
GOOD = [
    ETHER / INET / UDP(sport=1, dport=2) / LOAD,
    ETHER / INET / UDP(sport=1, dport=2),
    ETHER / INET / TCP(sport=1, dport=2) / LOAD,
    ETHER / INET / TCP() / (LOAD * 8),
    ETHER / Dot1Q(vlan=5) / INET / TCP() / LOAD,
    ETHER / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_Router_Alert()]) / UDP() / LOAD,
    # The IP header's own checksum is another matter.
    ETHER / IP(src="10.0.0.1", dst="10.0.0.2", chksum=0x1234) / UDP() / LOAD,
    ETHER / IPv6(src="fd00::1", dst="fd00::2") / UDP() / LOAD,
    ETHER / IPv6(src="fd00::1", dst="fd00::2") / TCP() / LOAD,
    ETHER / IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrHopByHop() / UDP() / LOAD,
]


def test_good_checksums_are_found():
    frames = [bytes(frame) for frame in GOOD]
    assert parsed(frames) == [True] * len(frames)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_changed_byte_is_found(seed):
    rng = random.Random(seed)
    frames = []
    for frame in GOOD:
        changed = bytearray(bytes(frame))
        changed[-rng.randint(1, 8)] ^= rng.randint(1, 255)
        frames.append(bytes(changed))
    assert parsed(frames, seed) == [False] * len(frames)


def test_what_has_no_checksum_or_is_more_than_a_packet_is_not_good():
    frames = [
        ETHER / INET / UDP(chksum=0) / LOAD,
        CATALOGUE["padded"],
        CATALOGUE["icmp"],
        CATALOGUE["fragment"],
        CATALOGUE["arp"],
        CATALOGUE["lldp"],
        # A routing header: the checksum counts another destination.
        CATALOGUE["chain6"],
    ]
    assert parsed([bytes(frame) for frame in frames]) == [False] * len(frames)


@pytest.mark.parametrize("ipv6", [False, True])
def test_the_datagrams_own_checksum(ipv6):
    ip = IPv6(src="2001:db8::77", dst=VTEP6) if ipv6 else IP(src="192.0.2.77", dst=VTEP)
    frames, expected, inner = [], [], []
    for n, frame in enumerate(GOOD):
        inside = bytes(frame)
        for wrong in (False, True):
            whole = ETHER / ip / UDP(sport=50000 + n, dport=4789) / VXLAN(vni=5, flags=8) / inside
            data = bytearray(bytes(whole))
            if wrong:
                data[-1] ^= 0x11
            frames.append(bytes(data))
            expected.append(Verdict.OUTER_CHECKSUM if wrong else Verdict.PASS)
            inner.append(inside)
        bare = ETHER / ip / UDP(sport=1, dport=4789, chksum=0) / VXLAN(vni=5, flags=8) / inside
        frames.append(bytes(bare))
        expected.append(Verdict.PASS)
        inner.append(inside)
    dut = Decapsulate(CONFIG)
    bench = Bench(dut, 1)

    async def control(ctx):
        for where, word, value in OverlayTables(CONFIG).writes:
            if where == "tunnel.words":
                await write(ctx, dut.csr, word, value)

    bench.add(control)
    warm_up = [bytes(20)] * 20
    bench.send(dut.i, sent(warm_up + frames))
    out = bench.receive(dut.o, len(warm_up) + len(frames))
    bench.run()
    metas = [packet.sideband["meta"] for packet in out[len(warm_up) :]]
    assert [meta.verdict for meta in metas] == expected
    for meta, inside in zip(metas, inner, strict=True):
        if meta.verdict == Verdict.PASS:
            assert sum(meta.sums) % 0xFFFF == whole_sum(inside) % 0xFFFF

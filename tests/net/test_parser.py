import random
from socket import AF_INET6, inet_pton

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import NoPayload
from scapy.utils import inet_aton

from niter.interface import Headers, Verdict
from niter.net.config import OverlayConfig
from tests.net.frames import CATALOGUE, IPV6_KINDS, parser_with_frames
from tests.support.stream import SEEDS, STALLS, Bench, Packet

MALFORMED = Verdict.MALFORMED


def mac(text):
    return int(text.replace(":", ""), 16)


def ipv4(text):
    return int.from_bytes(inet_aton(text), "big")


def ipv6(text):
    return int.from_bytes(inet_pton(AF_INET6, text), "big")


def expected_headers(frame, look_into_ipv6=True):
    """What scapy says of a frame, in the terms of ``Headers``."""
    packet = Ether(frame)
    found = dict(destination=mac(packet.dst), source=mac(packet.src), l3_offset=14)
    tags = [layer for layer in _layers(packet) if isinstance(layer, Dot1Q)]
    found["ethertype"] = packet.type
    if tags:
        tag = tags[0]
        found.update(vlan=1, l3_offset=18, ethertype=tag.type)
        found["vlan_tag"] = tag.prio << 13 | tag.dei << 12 | tag.vlan
    if len(tags) > 1:
        return found
    if ARP in packet:
        arp = packet[ARP]
        return found | dict(
            arp=1,
            ip_source=ipv4(arp.psrc),
            ip_destination=ipv4(arp.pdst),
            arp_foreign=arp.hwsrc != packet.src,
            l4_source=arp.op,
            unspecified=arp.psrc == "0.0.0.0",
        )
    if IP in packet:
        ip = packet[IP]
        found.update(
            ipv4=1,
            tos=ip.tos,
            ttl=ip.ttl,
            protocol=ip.proto,
            ip_source=ipv4(ip.src),
            ip_destination=ipv4(ip.dst),
            fragment=bool(ip.frag or ip.flags.MF),
            unspecified=ip.src == "0.0.0.0",
            l4_offset=found["l3_offset"] + 4 * ip.ihl,
        )
    elif IPv6 in packet:
        found["ipv6"] = 1
        if not look_into_ipv6:
            return found
        ip = packet[IPv6]
        found.update(
            tos=ip.tc,
            ttl=ip.hlim,
            protocol=ip.nh,
            ip_source=ipv6(ip.src),
            ip_destination=ipv6(ip.dst),
            unspecified=ip.src == "::",
            link_local=ip.src.startswith("fe80"),
        )
        offset = found["l3_offset"] + 40
        layer = ip.payload
        while type(layer).__name__.startswith("IPv6ExtHdr"):
            if type(layer).__name__ == "IPv6ExtHdrFragment" and (layer.m or layer.offset):
                found["fragment"] = 1
            found["protocol"] = layer.nh
            offset += len(layer) - len(layer.payload)
            layer = layer.payload
        found["l4_offset"] = offset
    else:
        return found
    if found.get("fragment"):
        return found
    for kind in (TCP, UDP):
        if kind in packet:
            layer = packet[kind]
            found.update(l4=1, l4_source=layer.sport, l4_destination=layer.dport)
    if found["protocol"] in (1, 58):
        start = found["l4_offset"]
        found.update(l4=1, l4_source=int.from_bytes(frame[start : start + 2], "big"))
    if ICMPv6ND_NS in packet:
        found["nd_target"] = ipv6(packet[ICMPv6ND_NS].tgt)
    return found


def _layers(packet):
    while not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


def expected_hash(headers):
    """The flow hash as the parser's docstring defines it."""
    addresses = headers["destination"] << 48 | headers["source"]
    words = _words(addresses << 16, 4)
    if headers.get("ipv4"):
        words += [headers["ip_source"], headers["ip_destination"]]
    if headers.get("ipv6") and "tos" in headers:
        words += _words(headers["ip_source"], 4) + _words(headers["ip_destination"], 4)
    if headers.get("l4") and headers["protocol"] in (6, 17):
        words += [headers["l4_source"] << 16 | headers["l4_destination"]]
    value = 0
    for word in words:
        value = _turned(value, 5) ^ word >> 16 ^ _turned(word & 0xFFFF, 8)
    return value


def _words(value, count):
    return [value >> 32 * n & 0xFFFFFFFF for n in reversed(range(count))]


def _turned(value, by):
    return (value << by | value >> 16 - by) & 0xFFFF


def run(frames, *, ipv6=True, seed=1, stalls=(0, 0)):
    dut = parser_with_frames(OverlayConfig(ipv6=ipv6))
    bench = Bench(dut, seed)
    packets = [
        Packet(f, sideband={"meta": {"length": len(f), "vni": n}}) for n, f in enumerate(frames)
    ]
    bench.send(dut.i, packets, stall=stalls[0])
    out = bench.receive(dut.o, len(packets), stall=stalls[1])
    cycles = bench.run(limit=400 * len(frames) + 1000)
    assert [p.data for p in out] == list(frames)
    assert [p.sideband["meta"].vni for p in out] == list(range(len(frames)))
    return [p.sideband["meta"] for p in out], cycles


def check(meta, frame, ipv6=True):
    assert meta.verdict == Verdict.PASS
    expected = expected_headers(frame, ipv6)
    for name in Headers.__annotations__:
        assert getattr(meta.headers, name) == expected.get(name, 0), name
    assert meta.hash == expected_hash(expected)


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_finds_what_scapy_finds(seed, stalls):
    frames = [bytes(p) for p in CATALOGUE.values()] * 2
    random.Random(seed).shuffle(frames)
    metas, _ = run(frames, seed=seed, stalls=stalls)
    for meta, frame in zip(metas, frames, strict=True):
        check(meta, frame)


def test_without_ipv6_it_stops_at_the_ethertype():
    frames = [bytes(CATALOGUE[name]) for name in ["tcp", *IPV6_KINDS, "udp"]]
    metas, _ = run(frames, ipv6=False)
    for meta, frame in zip(metas, frames, strict=True):
        check(meta, frame, ipv6=False)


@pytest.mark.parametrize(
    "name", ["padded", "options", "tagged", "arp", "lldp", "chain6", "solicitation6"]
)
def test_truncation_is_malformed_and_the_next_frame_is_not_touched(name):
    whole = bytes(CATALOGUE[name])
    headers = expected_headers(whole)
    cuts = list(range(1, min(len(whole), 130)))
    other = bytes(CATALOGUE["udp"])
    frames = [f for cut in cuts for f in (whole[:cut], other)]
    metas, _ = run(frames)
    if headers.get("ipv4") or headers.get("ipv6"):
        # Bytes that the IP header counts; padding behind it may be cut off.
        needed = len(bytes(CATALOGUE[name])) - (17 if name == "padded" else 0)
    elif headers.get("arp"):
        needed = 42
    else:
        needed = 14 if not headers.get("vlan") else 18
    for cut, meta in zip(cuts, metas[0::2], strict=True):
        assert meta.verdict == (MALFORMED if cut < needed else Verdict.PASS), cut
    for meta in metas[1::2]:
        check(meta, other)


def changed(name, at, value):
    frame = bytearray(bytes(CATALOGUE[name]))
    frame[at : at + len(value)] = value
    return bytes(frame)


def test_contradicting_fields_are_malformed():
    tcp6 = len(bytes(CATALOGUE["tcp6"])) - 54
    frames = {
        changed("tcp", 14, b"\x55"): MALFORMED,  # version 5
        changed("tcp", 14, b"\x44"): MALFORMED,  # header of 16 bytes
        changed("tcp", 14, b"\x4f"): MALFORMED,  # options longer than the packet
        changed("tcp", 16, (19).to_bytes(2, "big")): MALFORMED,
        changed("tcp", 16, (41).to_bytes(2, "big")): MALFORMED,
        changed("tcp", 16, (0xFFFF).to_bytes(2, "big")): MALFORMED,
        changed("tcp", 16, (40).to_bytes(2, "big")): Verdict.PASS,
        changed("udp", 38, (7).to_bytes(2, "big")): MALFORMED,
        changed("udp", 38, (16).to_bytes(2, "big")): MALFORMED,
        changed("udp", 38, (15).to_bytes(2, "big")): Verdict.PASS,
        changed("arp", 14, b"\0\6"): MALFORMED,
        changed("arp", 18, b"\6\6"): MALFORMED,
        changed("tcp6", 14, b"\x45"): MALFORMED,
        changed("tcp6", 18, (tcp6 + 1).to_bytes(2, "big")): MALFORMED,
        changed("tcp6", 18, (tcp6).to_bytes(2, "big")): Verdict.PASS,
        changed("hop_by_hop6", 55, b"\x40"): MALFORMED,  # longer than the frame
    }
    metas, _ = run(list(frames))
    assert [meta.verdict for meta in metas] == list(frames.values())


def test_an_endless_chain_of_extension_headers_is_malformed():
    chain = bytes(CATALOGUE["hop_by_hop6"])[:54] + bytes(8) * 40
    frame = chain[:18] + (320).to_bytes(2, "big") + chain[20:]
    metas, _ = run([frame, bytes(CATALOGUE["tcp"])])
    assert metas[0].verdict == MALFORMED
    check(metas[1], bytes(CATALOGUE["tcp"]))


def test_an_earlier_verdict_stands():
    dut = parser_with_frames(OverlayConfig())
    bench = Bench(dut, 1)
    meta = {"length": 20, "verdict": Verdict.PORT_CLOSED}
    bench.send(
        dut.i,
        [
            Packet(bytes(20), sideband={"meta": meta}),
            Packet(bytes(20), error=True, sideband={"meta": meta}),
        ],
    )
    out = bench.receive(dut.o, 2)
    bench.run()
    assert [p.sideband["meta"].verdict for p in out] == [Verdict.PORT_CLOSED] * 2
    assert [p.error for p in out] == [False, True]


@pytest.mark.parametrize("name, cycles", [("tcp", 17), ("tcp6", 20), ("udp", 17)])
def test_cycles_per_frame(name, cycles):
    frames = [bytes(CATALOGUE[name])] * 20
    _, taken = run(frames)
    assert taken / 20 <= cycles

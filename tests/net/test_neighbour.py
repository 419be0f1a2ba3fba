"""Answers to ARP requests and neighbour solicitations, against what scapy builds."""

from socket import AF_INET6, inet_pton

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from niter.net import Encapsulate, OverlayConfig
from sim.models.overlay import fill_checksums, mac
from tests.support.stream import STALLS, Bench, Packet

ASKER, OWNER = "02:00:00:00:00:01", "02:00:00:00:00:77"


def _number(address):
    return int.from_bytes(inet_pton(AF_INET6, address), "big")


def _under(tag, **addresses):
    return Ether(**addresses) / tag if tag else Ether(**addresses)


def _arp(tag):
    asks = ARP(op=1, hwsrc=ASKER, psrc="10.0.0.1", pdst="10.0.0.77")
    tells = ARP(op=2, hwsrc=OWNER, psrc="10.0.0.77", hwdst=ASKER, pdst="10.0.0.1")
    headers = {"arp": 1, "ip_source": 0x0A000001, "ip_destination": 0x0A00004D}
    return _under(tag, src=ASKER, dst="ff:ff:ff:ff:ff:ff") / asks, tells, headers


def _solicitation(tag):
    ask = IPv6(src="fd00::1", dst="ff02::1:ff00:77", hlim=255) / ICMPv6ND_NS(tgt="fd00::77")
    tells = (
        IPv6(src="fd00::77", dst="fd00::1", hlim=255)
        / ICMPv6ND_NA(tgt="fd00::77", R=0, S=1, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=OWNER)
    )
    headers = {"ipv6": 1, "ip_source": _number("fd00::1"), "nd_target": _number("fd00::77")}
    return _under(tag, src=ASKER, dst="33:33:ff:00:00:77") / ask, tells, headers


def _packet(frame, **meta):
    data = bytes(frame)
    return Packet(data, sideband={"meta": {"length": len(data), **meta}})


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("ipv6", [False, True])
def test_answers_like_a_neighbour(ipv6, stalls):
    packets, expected = [], []
    for ask in (_arp, *([_solicitation] if ipv6 else [])):
        for vlan in (None, 77):
            tag = Dot1Q(vlan=vlan, prio=3) if vlan else None
            question, tells, headers = ask(tag)
            headers |= {"source": mac(ASKER), "vlan": bool(vlan), "vlan_tag": 3 << 13 | (vlan or 0)}
            packets.append(_packet(question, resolved=1, neighbour=mac(OWNER), headers=headers))
            expected.append(bytes(_under(tag, src=OWNER, dst=ASKER) / tells))
            # Behind an answer comes a frame that nothing of it may reach.
            packets.append(_packet(bytes(range(1, 62)), local=1))
            expected.append(bytes(range(1, 62)))
    dut = Encapsulate(OverlayConfig(ipv6=ipv6))
    bench = Bench(dut, 1)
    bench.send(dut.i, packets, stall=stalls[0])
    out = bench.receive(dut.o, len(packets), stall=stalls[1])
    bench.run()
    for packet, data in zip(out, expected, strict=True):
        meta = packet.sideband["meta"]
        assert meta.length == len(data)
        assert fill_checksums(packet.data, meta) == data
        assert meta.local
    assert [packet.sideband["meta"].answer for packet in out] == [1, 0] * (len(packets) // 2)

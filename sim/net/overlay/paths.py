"""Frames that go through: out in a tunnel, in from one, round on the card, answered."""

import cocotb
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from sim.models.overlay import Tunnel
from sim.net.overlay.setup import (
    BROADCAST,
    OWNERS,
    PEER,
    PEER6,
    PEER_MAC,
    REMOTE,
    REMOTE6,
    REMOTE_MAC,
    VNI,
    VTEP,
    VTEP6,
    VTEP_MAC,
    Setup,
    datagram,
    udp_frame,
)
from tests.net.frames import CATALOGUE, IPV6_KINDS

__all__ = [
    "a_partial_checksum_moves_with_the_frame",
    "arp_is_answered",
    "broadcast_is_replicated",
    "every_kind_of_frame_goes_through_both_ways",
    "functions_of_one_card_reach_each_other",
    "solicitations_are_answered",
    "the_underlay_finds_the_endpoint",
    "tunnels_of_all_kinds",
]


#: Kinds of frame whose layer 4 checksum can be verified.
WITH_CHECKSUM = {
    *("tcp", "udp", "options", "tagged", "dhcp"),
    *("tcp6", "udp6", "tagged6", "hop_by_hop6", "atomic6", "link_local6"),
}


def check_outer(out, frame, *, tos=0, remote=PEER, checksum=False):
    """Everything that a tunnel puts around a frame is as scapy would have it."""
    outer = Ether(out.data)
    assert (outer.dst, outer.src) == (PEER_MAC, VTEP_MAC)
    if ":" in remote:
        ip = outer[IPv6]
        assert (ip.src, ip.dst, ip.tc, ip.hlim) == (VTEP6, remote, tos, 64)
        assert ip.plen == len(out.data) - 54
    else:
        ip = outer[IP]
        assert (ip.src, ip.dst, ip.tos, ip.ttl) == (VTEP, remote, tos, 64)
        assert ip.flags == "DF" and ip.frag == 0 and ip.len == len(out.data) - 14
        sent = ip.chksum
        rebuilt = ip.copy()
        del rebuilt.chksum
        assert IP(bytes(rebuilt)).chksum == sent
    udp = outer[UDP]
    assert udp.sport >= 49152 and udp.len == len(udp)
    if checksum:
        sent = udp.chksum
        rebuilt = ip.copy()
        del rebuilt[UDP].chksum
        assert sent and type(ip)(bytes(rebuilt))[UDP].chksum == sent
    else:
        assert udp.chksum == 0
    tunnel = outer[GENEVE] if udp.dport == 6081 else outer[VXLAN]
    assert tunnel.vni == VNI
    if isinstance(tunnel, GENEVE):
        assert (tunnel.version, tunnel.optionlen, tunnel.oam, tunnel.critical) == (0, 0, 0, 0)
        assert tunnel.proto == 0x6558
    else:
        assert udp.dport == 4789 and tunnel.flags == 8
    assert bytes(tunnel.payload) == bytes(frame)
    assert out.meta.port == 1 and not out.meta.local
    return udp


@cocotb.test()
async def every_kind_of_frame_goes_through_both_ways(dut):
    """Frames of the catalogue leave in the tunnel and come back from it, byte for byte."""
    setup = await Setup.make(dut, stalled=True)
    kinds = [kind for kind in CATALOGUE if setup.config.ipv6 or kind not in IPV6_KINDS]
    sports = set()
    for kind in kinds:
        frame = CATALOGUE[kind].copy()
        if int(frame.dst[:2], 16) & 1 or kind == "link_local6":
            continue
        frame.dst = REMOTE_MAC
        setup.send(frame)
        tos = next((layer.tos for layer in [frame.getlayer(IP)] if layer), 0)
        tos = frame[IPv6].tc if IPv6 in frame else tos
        if kind == "double_tagged":
            tos = 0
        sports.add(check_outer(await setup.to_wire.recv(), frame, tos=tos).sport)
    # TCP, UDP, IP without ports, and what is not IP.
    assert len(sports) >= 4
    for kind in CATALOGUE:
        frame = CATALOGUE[kind].copy()
        frame.src = REMOTE_MAC
        multicast = int(frame.dst[:2], 16) & 1
        for function in (0, 1) if multicast else (1,):
            setup.arrive(datagram(frame)) if function == 0 or not multicast else None
            out = await setup.to_host.recv()
            assert out.data == bytes(frame) and out.meta.function == function, kind
            assert out.meta.port == 1 and out.meta.vni == VNI
            assert out.meta.checksum_good == (setup.config.verify and kind in WITH_CHECKSUM), kind
    assert setup.silent()


@cocotb.test()
async def tunnels_of_all_kinds(dut):
    """VXLAN and GENEVE, over IPv4 and IPv6, with and without the UDP checksum."""
    setup = await Setup.make(dut)
    remotes = [PEER, PEER6] if setup.config.ipv6 else [PEER]
    frame = udp_frame(tos=0xB9)
    for remote in remotes:
        for geneve in (False, True):
            for checksum in (False, True):
                tunnel = Tunnel(remote, PEER_MAC, port=1, geneve=geneve, checksum=checksum)
                setup.tables.forward(VNI, REMOTE_MAC, setup.tables.tunnel(tunnel))
                await setup.tables.apply(setup.control)
                for _ in range(3):
                    setup.send(frame)
                    check_outer(
                        await setup.sent(), frame, tos=0xB9, remote=remote, checksum=checksum
                    )


@cocotb.test()
async def a_partial_checksum_moves_with_the_frame(dut):
    """The inner checksum slot points at the inner UDP header, wherever that now stands."""
    setup = await Setup.make(dut)
    frame = udp_frame(b"x" * 101)
    whole = bytearray(bytes(frame))
    pseudo = 17 + len(frame[UDP])
    seeded = bytearray(whole)
    # Sum from the addresses on, with what the pseudo-header adds in the checksum's place.
    seeded[40:42] = pseudo.to_bytes(2, "big")
    setup.send(seeded, inner_checksum={"enable": 1, "start": 26, "position": 40})
    check_outer(await setup.sent(), whole)


@cocotb.test()
async def arp_is_answered(dut):
    """A request for a known neighbour comes back as the reply that scapy would write."""
    setup = await Setup.make(dut, stalled=True)
    source, _, owned = OWNERS[0]
    question = ARP(op=1, hwsrc=source, psrc=owned[0], pdst=REMOTE)
    answer = ARP(op=2, hwsrc=REMOTE_MAC, psrc=REMOTE, hwdst=source, pdst=owned[0])
    for dst, tag in ((BROADCAST, None), (REMOTE_MAC, None), (BROADCAST, 77)):
        ask = Ether(src=source, dst=dst)
        tell = Ether(src=REMOTE_MAC, dst=source)
        if tag is not None:
            ask, tell = ask / Dot1Q(vlan=tag), tell / Dot1Q(vlan=tag)
        setup.send(bytes(ask / question) + bytes(18))
        await setup.turn()
        out = await setup.to_host.recv()
        assert out.data == bytes(tell / answer) and out.meta.function == 0
    assert (await setup.counters("transmit"))["function0_answered"] == 3
    assert setup.silent()


@cocotb.test()
async def solicitations_are_answered(dut):
    """A neighbour solicitation comes back as an advertisement with a right checksum."""
    setup = await Setup.make(dut)
    if not setup.config.ipv6:
        return
    source, _, owned = OWNERS[0]
    for dst, ip in (("33:33:ff:00:00:77", "ff02::1:ff00:77"), (REMOTE_MAC, REMOTE6)):
        for tagged in (False, True):
            ask = Ether(src=source, dst=dst)
            tell = Ether(src=REMOTE_MAC, dst=source)
            if tagged:
                ask, tell = ask / Dot1Q(vlan=7), tell / Dot1Q(vlan=7)
            ask /= IPv6(src=owned[2], dst=ip, hlim=255) / ICMPv6ND_NS(tgt=REMOTE6)
            tell /= IPv6(src=REMOTE6, dst=owned[2], hlim=255)
            tell /= ICMPv6ND_NA(tgt=REMOTE6, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(
                lladdr=REMOTE_MAC
            )
            setup.send(ask)
            await setup.turn()
            out = await setup.to_host.recv()
            assert out.data == bytes(tell)
    assert setup.silent()


@cocotb.test()
async def the_underlay_finds_the_endpoint(dut):
    """A peer that asks for the tunnel endpoint's address gets it, on the port it asked from."""
    setup = await Setup.make(dut)
    ask = Ether(src=PEER_MAC, dst=BROADCAST) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=VTEP)
    tell = Ether(src=VTEP_MAC, dst=PEER_MAC)
    tell /= ARP(op=2, hwsrc=VTEP_MAC, psrc=VTEP, hwdst=PEER_MAC, pdst=PEER)
    cases = [(ask, tell), (Ether(src=PEER_MAC, dst=VTEP_MAC) / ask[ARP], tell)]
    if setup.config.ipv6:
        ask6 = Ether(src=PEER_MAC, dst="33:33:ff:00:00:01")
        ask6 /= IPv6(src=PEER6, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=VTEP6)
        tell6 = Ether(src=VTEP_MAC, dst=PEER_MAC) / IPv6(src=VTEP6, dst=PEER6, hlim=255)
        tell6 /= ICMPv6ND_NA(tgt=VTEP6, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=VTEP_MAC)
        cases.append((ask6, tell6))
    for port, (question, answer) in enumerate(cases):
        setup.arrive(bytes(question) + bytes(4), port=port % 2)
        out = await setup.sent()
        assert out.data == bytes(answer)
        assert out.meta.port == port % 2 and not out.meta.local
    other = ask.copy()
    other[ARP].pdst = "192.0.2.99"
    setup.arrive(other)
    counters = await setup.counters("transmit")
    assert counters == {"card_answered": len(cases), "card_no_mapping": 1}
    assert setup.silent()


@cocotb.test()
async def functions_of_one_card_reach_each_other(dut):
    """A frame between functions on one network stays on the card; networks do not mix."""
    setup = await Setup.make(dut)
    there = udp_frame(dst=OWNERS[1][0], ip=OWNERS[1][2][0])
    back = Ether(src=OWNERS[1][0], dst=OWNERS[0][0]) / IP(src="10.0.0.2", dst="10.0.0.1") / b"hi"
    for sender, receiver, frame in ((0, 1, there), (1, 0, back)):
        setup.send(frame, function=sender)
        await setup.turn()
        out = await setup.to_host.recv()
        assert out.data == bytes(frame) and out.meta.function == receiver
    setup.send(Ether(src=OWNERS[2][0], dst=OWNERS[0][0]) / IP(src="10.0.0.1") / b"no", function=2)
    assert await setup.counters("transmit") == {
        "function0_frames": 1,
        "function0_bytes": len(there),
        "function1_frames": 1,
        "function1_bytes": len(back),
        "function2_no_mapping": 1,
    }
    assert setup.silent()


@cocotb.test()
async def broadcast_is_replicated(dut):
    """Every member of the list gets a copy, the sender none; an empty list is a counted drop."""
    setup = await Setup.make(dut, stalled=True)
    peers = [Tunnel(f"192.0.2.{n}", PEER_MAC, port=1) for n in (80, 81)]
    members = [setup.tables.tunnel(peer) for peer in peers]
    setup.tables.replicas(0, [members[0], None, members[1]])
    await setup.tables.apply(setup.control)
    limit = 8 * (setup.config.replay_beats - 1)
    await setup.control.write("transmit.size.limit", 9000)
    for size in (60, 1514, limit):
        frame = Ether(src=OWNERS[0][0], dst=BROADCAST) / IP(src="10.0.0.1", dst="10.0.0.255")
        frame = bytes(frame / UDP(sport=1, dport=2))
        frame += bytes(size - len(frame))
        setup.send(frame)
        for peer in (peers[0], None, peers[1]):
            if peer is None:
                assert (await setup.turn()).data == frame
            else:
                check_outer(await setup.sent(), frame, remote=peer.remote)
        out = await setup.to_host.recv()
        assert out.data == frame and out.meta.function == 1
    setup.send(frame + b"x")
    setup.send(Ether(src=OWNERS[1][0], dst=BROADCAST) / IP(src="10.0.0.2"), function=1)
    setup.send(udp_frame())
    check_outer(await setup.sent(), udp_frame())
    counters = await setup.counters("transmit")
    assert counters["function0_no_replication"] == counters["function1_no_replication"] == 1
    assert setup.silent()

"""Frames that do not go through: each ends in its counter, and the next is not touched."""

import cocotb
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from sim.harness import rng
from sim.models.streams import Frame
from sim.net.overlay.setup import (
    BROADCAST,
    OWNERS,
    PEER,
    PEER6,
    PEER_MAC,
    REMOTE,
    REMOTE6,
    REMOTE_MAC,
    VTEP,
    VTEP6,
    VTEP_MAC,
    Setup,
    datagram,
    udp_frame,
)
from tests.net.frames import CATALOGUE

__all__ = [
    "a_damaged_frame_keeps_its_mark",
    "cut_off_at_every_byte",
    "damaged_at_random",
    "ecn_goes_on_inside",
    "marks_on_the_way_out",
    "what_a_function_may_not_send",
    "what_is_not_for_the_card",
]

GOOD = bytes(udp_frame())
#: A frame for function 0.
INBOUND = Ether(src=REMOTE_MAC, dst=OWNERS[0][0]) / IP(src=REMOTE, dst="10.0.0.1") / UDP()


async def expect_sent(setup, frames):
    """A function sends (frame, reason) pairs, a good frame behind each; reason None: it passes."""
    expected: dict[str, int] = {}
    for frame, reason in frames:
        setup.send(frame)
        setup.send(GOOD)
        if reason is None:
            assert (await setup.to_wire.recv()).data[50:] == bytes(frame), frame.summary()
        else:
            name = f"function0_{reason}"
            expected[name] = expected.get(name, 0) + 1
        assert (await setup.to_wire.recv()).data[50:] == GOOD, frame.summary()
    counted = await setup.counters("transmit")
    assert counted.pop("function0_frames") == 2 * len(frames) - sum(expected.values())
    counted.pop("function0_bytes")
    assert counted == expected
    assert setup.silent()


@cocotb.test()
async def what_a_function_may_not_send(dut):
    """Foreign sources, unknown destinations and oversize end in their counters; what a host
    sends before it has an address does not."""
    setup = await Setup.make(dut, stalled=True)
    own, other = OWNERS[0][0], OWNERS[1][0]
    ether = Ether(src=own, dst=REMOTE_MAC)
    owned = OWNERS[0][2][1]
    dhcp = IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / b"discover"
    frames = [
        (Ether(src=other, dst=REMOTE_MAC) / IP(src=owned) / UDP(), "source_mac"),
        (ether / IP(src="10.0.0.2") / UDP(), "source_ip"),
        (ether / IP(src="10.0.0.12") / UDP(), "source_ip"),
        (ether / IP(src="11.0.0.1") / UDP(), "source_ip"),
        (ether / IP(src="0.0.0.0") / UDP(sport=68, dport=69) / b"no", "source_ip"),
        (ether / IP(src="0.0.0.0") / TCP(sport=68, dport=67), "source_ip"),
        (ether / dhcp, None),
        (ether / ARP(op=2, hwsrc=own, psrc=owned), None),
        (ether / ARP(op=2, hwsrc=other, psrc=owned), "source_mac"),
        (ether / ARP(op=2, hwsrc=own, psrc="10.0.0.2"), "source_ip"),
        (ether / ARP(op=1, hwsrc=own, psrc="0.0.0.0", pdst=owned), None),
        (Ether(src=own, dst="02:00:00:00:00:78") / IP(src=owned) / b"?", "no_mapping"),
        (Ether(src=own, dst=BROADCAST) / IP(src=owned) / b"?", "no_replication"),
        (ether / IP(src=owned) / (b"b" * 1480), None),
        (ether / IP(src=owned) / (b"b" * 1481), "too_big"),
        (ether / b"", None),
        (Ether(src=own, dst=REMOTE_MAC, type=0x88B5) / b"experiment", None),
    ]
    if setup.config.ipv6:
        frames += [
            (ether / IPv6(src="fd00::1") / UDP(), None),
            (ether / IPv6(src="fd00::11") / UDP(), None),
            (ether / IPv6(src="fd00::2") / UDP(), "source_ip"),
            (ether / IPv6(src="fd01::1") / UDP(), "source_ip"),
            (ether / IPv6(src="::", dst="ff02::2") / ICMPv6ND_RS(), None),
            (ether / IPv6(src="fe80::99", dst="ff02::2") / ICMPv6ND_RS(), None),
            (ether / IPv6(src="fe80::99", dst="ff02::2") / ICMPv6ND_RA(), "source_ip"),
            (ether / IPv6(src="::", dst="ff02::2") / UDP(), "source_ip"),
            (ether / IPv6(src="fe80::99") / UDP(sport=546, dport=547), None),
            (ether / IPv6(src="fe80::99") / UDP(sport=546, dport=548), "source_ip"),
        ]
    else:
        frames.append((ether / IPv6(src="fd00::1") / UDP(), "source_ip"))
    await expect_sent(setup, frames)
    setup.tables.writes.append(("transmit.classify.ports.words", 1, 0))
    await setup.tables.apply(setup.control)
    setup.send(GOOD)
    assert (await setup.counters("transmit"))["function0_port_closed"] == 1


def outer_variants(ipv6, geneve, verify, peers):
    """Datagrams that are not to be taken, and why."""
    tcp = Ether(src=PEER_MAC, dst=VTEP_MAC) / IP(src=PEER, dst=VTEP) / TCP() / (b"t" * 40)
    short = bytes(datagram(INBOUND))
    cases = [
        (datagram(INBOUND, ether=Ether(src=PEER_MAC, dst="02:aa:00:00:00:02")), "not_tunnel"),
        (datagram(INBOUND, ether=Ether(src=PEER_MAC, dst=BROADCAST)), "not_tunnel"),
        (datagram(INBOUND, outer=IP(src=PEER, dst="192.0.2.2")), "not_tunnel"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, flags="MF")), "outer_fragment"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, frag=9)), "outer_fragment"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, chksum=0x1234)), "outer_checksum"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, len=60)), "malformed"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, ihl=4)), "malformed"),
        (datagram(INBOUND, outer=IP(src=PEER, dst=VTEP, version=6)), "malformed"),
        (datagram(INBOUND, udp=UDP(dport=4790, chksum=0)), "not_tunnel"),
        (datagram(INBOUND, udp=UDP(dport=4789, len=20, chksum=0)), "malformed"),
        (datagram(INBOUND, tunnel=VXLAN(vni=OWNERS[0][1], flags=0)), "malformed"),
        (datagram(INBOUND, vni=77), "unknown_vni"),
        (short + b"trailer", "malformed"),
        (tcp, "not_tunnel"),
        (Ether(src=PEER_MAC, dst=VTEP_MAC, type=0x88CC) / (b"l" * 46), "not_tunnel"),
        (Ether(src=PEER_MAC, dst=VTEP_MAC) / IP(src=PEER, dst=VTEP) / ICMP(), "not_tunnel"),
        (datagram(Ether(src=REMOTE_MAC, dst="02:00:00:00:00:99") / b"x"), "unknown_destination"),
        (datagram(INBOUND / IP(len=9)), None),
        (datagram(INBOUND, udp=UDP(sport=50000, dport=4789)), None),
        (
            datagram(INBOUND, outer=IP(src="192.0.2.99", dst=VTEP)),
            "unknown_endpoint" if peers else None,
        ),
        (
            datagram(INBOUND, udp=UDP(sport=50000, dport=4789, chksum=0x1234)),
            "outer_checksum" if verify else None,
        ),
        (datagram(bytes(INBOUND)[:16] + b"\xff\xff" + bytes(INBOUND)[18:]), "malformed"),
    ]
    if geneve:
        vni = OWNERS[0][1]
        option = GeneveOptions(classid=0x102, type=1, data=b"12345678")

        def geneve_with(frame=INBOUND, **fields):
            return datagram(frame, tunnel=GENEVE(**{"vni": vni, "proto": 0x6558, **fields}))

        cases += [
            (geneve_with(), None),
            (geneve_with(options=[option]), None),
            (geneve_with(critical=1), "critical_option"),
            (geneve_with(oam=1), "oam"),
            (geneve_with(version=1), "malformed"),
            (geneve_with(proto=0x0800), "not_tunnel"),
            (geneve_with(vni=1), "unknown_vni"),
            (geneve_with(b"", optionlen=60), "malformed"),
        ]
    else:
        cases.append((datagram(INBOUND, tunnel=GENEVE(vni=5, proto=0x6558)), "not_tunnel"))
    over6 = IPv6(src=PEER6, dst=VTEP6)
    if ipv6:
        cases += [
            (datagram(INBOUND, outer=over6), None),
            (datagram(INBOUND, outer=over6, udp=UDP(sport=50000, dport=4789)), None),
            (datagram(INBOUND, outer=IPv6(src=PEER6, dst="2001:db8::2")), "not_tunnel"),
            (datagram(INBOUND, outer=IPv6(src=PEER6, dst=VTEP6, plen=9)), "malformed"),
            (datagram(INBOUND, outer=IPv6(src=PEER6, dst=VTEP6, version=4)), "malformed"),
            (datagram(INBOUND, outer=IPv6(src=PEER6, dst=VTEP6, nh=44)), "outer_fragment"),
        ]
    else:
        cases.append((datagram(INBOUND, outer=over6), "not_tunnel"))
    return cases


@cocotb.test()
async def what_is_not_for_the_card(dut):
    """Datagrams that are not tunnels of the card's, or broken, end in their counters."""
    setup = await Setup.make(dut, stalled=True)
    good = bytes(datagram(INBOUND))
    expected: dict[str, int] = {}
    cases = outer_variants(
        *(getattr(setup.config, name) for name in ("ipv6", "geneve", "verify", "peers"))
    )
    for frame, reason in cases:
        setup.arrive(frame)
        setup.arrive(good)
        if reason is not None:
            expected[f"card_{reason}"] = expected.get(f"card_{reason}", 0) + 1
    passed = len(cases) + sum(reason is None for _, reason in cases)
    for _ in range(passed):
        out = await setup.to_host.recv()
        assert out.data.startswith(bytes(INBOUND)[:16]) and out.meta.function == 0
    counted = await setup.counters("receive")
    assert counted.pop("function0_frames") == passed
    counted.pop("function0_bytes")
    assert counted == expected
    assert setup.silent()


@cocotb.test()
async def cut_off_at_every_byte(dut):
    """A frame that ends early, at whatever byte, is counted and harms no other."""
    setup = await Setup.make(dut)
    kinds = ["tcp", "options", "tagged"] + (["chain6", "atomic6"] if setup.config.ipv6 else [])
    for kind in kinds:
        frame = CATALOGUE[kind].copy()
        frame.dst = REMOTE_MAC
        frame = bytes(frame)
        for end in range(1, len(frame)):
            setup.send(frame[:end])
            setup.send(GOOD)
            out = await setup.to_wire.recv()
            assert out.data[50:] == GOOD, (kind, end)
    outers = [datagram(INBOUND)]
    if setup.config.geneve:
        option = GeneveOptions(classid=0x102, type=1, data=b"12345678")
        tunnel = GENEVE(vni=OWNERS[0][1], proto=0x6558, options=[option])
        outers.append(datagram(INBOUND, tunnel=tunnel, outer=IPv6(src=PEER6, dst=VTEP6)))
    for outer in map(bytes, outers):
        for end in range(1, len(outer)):
            setup.arrive(outer[:end])
            setup.arrive(datagram(INBOUND))
            out = await setup.to_host.recv()
            assert out.data == bytes(INBOUND), end
    counted = await setup.counters("transmit")
    cuts = sum(len(CATALOGUE[kind]) - 1 for kind in kinds)
    assert counted["function0_malformed"] + counted.get("function0_frames", 0) == 2 * cuts
    counted = await setup.counters("receive")
    rejected = sum(n for name, n in counted.items() if name.startswith("card_"))
    assert rejected == sum(len(outer) - 1 for outer in outers)
    assert setup.silent()


@cocotb.test()
async def damaged_at_random(dut):
    """Whatever is changed in a frame, it is passed or counted once, and the next is whole."""
    setup = await Setup.make(dut, stalled=True)
    random = rng("damage")
    outbound = [bytes(CATALOGUE[kind]) for kind in CATALOGUE]
    inbound = [bytes(datagram(INBOUND)), bytes(datagram(CATALOGUE["tcp"]))]
    if setup.config.geneve:
        tunnel = GENEVE(vni=OWNERS[0][1], proto=0x6558)
        inbound.append(bytes(datagram(INBOUND, tunnel=tunnel)))
    setup.tables.replicas(0, [setup.peer])
    await setup.tables.apply(setup.control)
    count = 60
    for _ in range(count):
        for frames, put in ((outbound, setup.send), (inbound, setup.arrive)):
            frame = bytearray(random.choice(frames))
            for _ in range(random.randint(1, 3)):
                frame[random.randrange(min(len(frame), 90))] = random.randrange(256)
            put(frame[: random.choice([len(frame), random.randint(1, len(frame))])])
    setup.send(GOOD)
    setup.arrive(datagram(INBOUND))
    await setup.host.idle()
    await setup.wire.idle()
    sent = await setup.counters("transmit")
    got = await setup.counters("receive")
    outcomes = [
        sum(n for name, n in counted.items() if not name.endswith("_bytes"))
        for counted in (sent, got)
    ]
    assert outcomes[0] >= count + 1 and outcomes[1] >= count + 1, (sent, got)
    assert setup.to_wire.take()[-1].data[50:] == GOOD
    assert setup.to_host.take()[-1].data == bytes(INBOUND)


@cocotb.test()
async def a_damaged_frame_keeps_its_mark(dut):
    """A frame that ends in error does so at the far end too, and is counted as such."""
    setup = await Setup.make(dut)
    setup.host.put(Frame(GOOD, error=True, meta={"function": 0, "length": len(GOOD)}))
    outer = bytes(datagram(INBOUND))
    setup.wire.put(Frame(outer, error=True, meta={"port": 1, "length": len(outer)}))
    assert (await setup.to_wire.recv()).error and (await setup.to_host.recv()).error
    assert await setup.counters("transmit") == {"function0_damaged": 1}
    assert await setup.counters("receive") == {"function0_damaged": 1}


def with_tos(tos, ipv6):
    """A frame for function 0 with the given type of service."""
    ip = (
        IPv6(src=REMOTE6, dst="fd00::1", tc=tos)
        if ipv6
        else IP(src=REMOTE, dst="10.0.0.1", tos=tos)
    )
    return Ether(src=REMOTE_MAC, dst=OWNERS[0][0]) / ip / UDP(sport=1, dport=2) / b"ecn"


@cocotb.test()
async def ecn_goes_on_inside(dut):
    """Every combination of outer and inner marks, as the table of RFC 6040, figure 4."""
    setup = await Setup.make(dut)
    not_ect, ect1, ect0, ce = range(4)
    combined = {(not_ect, outer): not_ect for outer in (not_ect, ect0, ect1)}
    combined |= {(ect0, not_ect): ect0, (ect0, ect0): ect0, (ect0, ect1): ect1, (ect0, ce): ce}
    combined |= {(ect1, not_ect): ect1, (ect1, ect0): ect1, (ect1, ect1): ect1, (ect1, ce): ce}
    combined |= {(ce, outer): ce for outer in range(4)}
    random = rng("ecn")
    for ipv6 in (False, True) if setup.config.ipv6 else (False,):
        for inner in range(4):
            for outer in range(4):
                dscp = random.randrange(64) << 2
                ip = IP(src=PEER, dst=VTEP, tos=dscp | outer)
                setup.arrive(datagram(with_tos(dscp | inner, ipv6), outer=ip))
                if (inner, outer) in combined:
                    out = await setup.to_host.recv()
                    assert out.data == bytes(with_tos(dscp | combined[inner, outer], ipv6))
    counted = await setup.counters("receive")
    assert counted["card_congestion"] == (2 if setup.config.ipv6 else 1)


@cocotb.test()
async def marks_on_the_way_out(dut):
    """DSCP and ECN of the inner header stand in the outer one."""
    setup = await Setup.make(dut)
    for tos in (0, 1, 2, 3, 0xB8, 0xFF):
        setup.send(udp_frame(tos=tos))
        assert Ether((await setup.to_wire.recv()).data)[IP].tos == tos

"""Frames of many kinds, built by scapy, and what a parser should find in them."""

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Padding

from niter.net import Deliver, OverlayConfig, Parser, Pipeline

__all__ = ["CATALOGUE", "IPV6_KINDS", "parser_with_frames"]

_ETHER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
_IP = IP(src="10.0.0.1", dst="10.0.0.2", tos=0xB9, ttl=61)
_IP6 = IPv6(src="fd00::1", dst="fd00::2", tc=0x5E, hlim=44)
_TCP = TCP(sport=33333, dport=443)
_UDP = UDP(sport=5353, dport=53)

#: Kinds of frame by name, as scapy packets.
CATALOGUE = {
    "tcp": _ETHER / _IP / _TCP,
    "udp": _ETHER / _IP / _UDP / b"payload",
    "padded": _ETHER / _IP / _UDP / b"x" / Padding(b"\0" * 17),
    "icmp": _ETHER / _IP / ICMP(type=8, code=0) / b"ping",
    "options": _ETHER
    / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_Router_Alert()])
    / _TCP,
    "tagged": _ETHER / Dot1Q(vlan=77, prio=5) / _IP / _UDP / b"1234567890",
    "double_tagged": _ETHER / Dot1Q(vlan=77) / Dot1Q(vlan=78) / _IP / _UDP,
    "fragment": _ETHER / IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=100) / (b"f" * 64),
    "first_fragment": _ETHER / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / _UDP / (b"f" * 64),
    "gre": _ETHER / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / (b"g" * 8),
    "arp": Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01")
    / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2"),
    "probe": Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01")
    / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="0.0.0.0", pdst="10.0.0.2"),
    "dhcp": Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01")
    / IP(src="0.0.0.0", dst="255.255.255.255")
    / UDP(sport=68, dport=67)
    / BOOTP(chaddr=b"\x02\0\0\0\0\x01")
    / DHCP(options=[("message-type", "discover"), "end"]),
    "lldp": Ether(dst="01:80:c2:00:00:0e", src="02:00:00:00:00:01", type=0x88CC) / (b"l" * 46),
    "tcp6": _ETHER / _IP6 / _TCP,
    "udp6": _ETHER / _IP6 / _UDP / b"payload",
    "tagged6": _ETHER / Dot1Q(vlan=9) / _IP6 / _TCP,
    "hop_by_hop6": _ETHER / _IP6 / IPv6ExtHdrHopByHop() / _UDP / b"p",
    "chain6": _ETHER
    / _IP6
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrRouting(addresses=["fd00::9"])
    / IPv6ExtHdrDestOpt()
    / _UDP
    / b"p",
    "fragment6": _ETHER / _IP6 / IPv6ExtHdrFragment(offset=8, m=1) / (b"f" * 64),
    "atomic6": _ETHER / _IP6 / IPv6ExtHdrFragment(offset=0, m=0) / _UDP / b"atom",
    "echo6": _ETHER / _IP6 / ICMPv6EchoRequest(data=b"e"),
    "solicitation6": Ether(dst="33:33:ff:00:00:02", src="02:00:00:00:00:01")
    / IPv6(src="fd00::1", dst="ff02::1:ff00:2", hlim=255)
    / ICMPv6ND_NS(tgt="fd00::2"),
    "dad6": Ether(dst="33:33:ff:00:00:01", src="02:00:00:00:00:01")
    / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255)
    / ICMPv6ND_NS(tgt="fd00::1"),
    "link_local6": _ETHER / IPv6(src="fe80::1", dst="ff02::2") / _UDP / b"ll",
}


#: Those that need IPv6 in the card.
IPV6_KINDS = [name for name in CATALOGUE if name.endswith("6")]


def parser_with_frames(config: OverlayConfig, *, verify: bool = False) -> Pipeline:
    """A parser and what joins a frame's meta to its bytes again."""
    stages = {"parser": Parser(config, verify=verify), "deliver": Deliver(config)}
    return Pipeline(stages)

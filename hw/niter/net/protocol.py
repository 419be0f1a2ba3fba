"""Numbers that IANA and IEEE have assigned, as far as the overlay needs them."""

from enum import IntEnum

__all__ = ["EtherType", "IpProtocol", "NeighbourDiscovery", "UdpPort"]


class EtherType(IntEnum):
    """What follows an Ethernet header."""

    IPV4 = 0x0800
    ARP = 0x0806
    #: IEEE 802.1Q tag.
    VLAN = 0x8100
    #: IEEE 802.1ad service tag.
    SERVICE_VLAN = 0x88A8
    IPV6 = 0x86DD
    #: ATA over Ethernet.
    AOE = 0x88A2
    #: Transparent Ethernet bridging: a whole frame inside GENEVE.
    BRIDGED = 0x6558


class IpProtocol(IntEnum):
    """What follows an IP header."""

    HOP_BY_HOP = 0
    ICMP = 1
    TCP = 6
    UDP = 17
    ROUTING = 43
    FRAGMENT = 44
    ICMPV6 = 58
    DESTINATION_OPTIONS = 60


class UdpPort(IntEnum):
    """Well-known UDP ports."""

    DHCP_SERVER = 67
    DHCP_CLIENT = 68
    DHCPV6_CLIENT = 546
    DHCPV6_SERVER = 547
    VXLAN = 4789
    GENEVE = 6081


class NeighbourDiscovery(IntEnum):
    """ICMPv6 message types that a host sends before it has an address (RFC 4861, 3810)."""

    ROUTER_SOLICITATION = 133
    NEIGHBOUR_SOLICITATION = 135
    NEIGHBOUR_ADVERTISEMENT = 136
    LISTENER_REPORT = 143

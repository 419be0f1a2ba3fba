"""The frame stream: an Ethernet frame and what the card has learnt of it.

A frame stream is a packet stream whose beats also carry a ``FrameMeta``. The
rules of ``niter.interface.packet`` hold, and:

1. ``meta`` is valid with every beat of a frame and does not change within it.
2. ``meta.length`` is the exact number of bytes of the frame at this point of the
   pipeline, on the first beat already. A stage that adds or removes bytes adjusts it.
3. A stage that rejects a frame sets ``meta.verdict`` and lets the frame pass; stages
   behind it leave a rejected frame alone, and the drop stage at the pipeline's end
   removes and counts it. The first verdict stands.
4. Fields that a stage does not know it passes on unchanged.

Only what is used is built: synthesis removes the fields that no later stage reads, and
each buffer stores the meta once per frame.
"""

from amaranth.lib import data, enum, stream

from .packet import Beat

__all__ = [
    "ChecksumSlot",
    "FrameBeat",
    "FrameMeta",
    "FrameStream",
    "Headers",
    "Verdict",
]


class Verdict(enum.Enum, shape=5):
    """Why a frame is dropped; also the index of its drop counter."""

    PASS = 0
    MALFORMED = 1
    SOURCE_MAC = 2
    SOURCE_IP = 3
    NO_MAPPING = 4
    NO_REPLICATION = 5
    TOO_BIG = 6
    NOT_TUNNEL = 7
    UNKNOWN_VNI = 8
    UNKNOWN_DESTINATION = 9
    CRITICAL_OPTION = 10
    OUTER_FRAGMENT = 11
    OUTER_CHECKSUM = 12
    CONGESTION = 13
    ANSWERED = 14
    PORT_CLOSED = 15
    NO_BUFFER = 16
    TTL_EXPIRED = 17
    OAM = 18
    DAMAGED = 19
    UNKNOWN_ENDPOINT = 20


class ChecksumSlot(data.Struct):
    """A ones' complement checksum that is still to be filled in (RFC 1071).

    The sum runs from byte ``start`` to the end of the frame, including what already
    stands in the slot (a pseudo-header seed), and its complement is stored, big-endian,
    at byte ``position``. Both are offsets from the first byte of the frame as it
    stands; a stage that inserts bytes in front adds their number.
    """

    enable: 1
    start: 14
    position: 14


class Headers(data.Struct):
    """What the parser found in the (inner) frame. Addresses are in network order as
    one integer: the first byte on the wire is the most significant."""

    destination: 48
    source: 48
    vlan: 1
    vlan_tag: 16
    ethertype: 16
    #: Byte offset of the layer 3 header, 14 or 18.
    l3_offset: 6
    ipv4: 1
    ipv6: 1
    arp: 1
    #: Not the first fragment, or more fragments follow: there is no layer 4 header to trust.
    fragment: 1
    #: The IP (or ARP sender) address is all zero.
    unspecified: 1
    #: The IPv6 source address is in fe80::/10.
    link_local: 1
    #: Traffic class or TOS byte: DSCP in bits 7:2, ECN in bits 1:0.
    tos: 8
    ttl: 8
    protocol: 8
    #: IPv4 (and ARP's protocol) addresses stand in the low 32 bits.
    ip_source: 128
    ip_destination: 128
    #: Byte offset of the layer 4 header; meaningful when ``l4`` is set.
    l4_offset: 8
    l4: 1
    #: TCP and UDP ports; ICMP type and code, or ARP's operation, in ``l4_source``; zero otherwise.
    l4_source: 16
    l4_destination: 16
    #: The sender hardware address of ARP is not the Ethernet source address.
    arp_foreign: 1
    #: Target address of an IPv6 neighbour solicitation.
    nd_target: 128


class FrameMeta(data.Struct):
    """What travels beside a frame.

    Members
    -------
    length : 14 bits
        Bytes in the frame, without FCS.
    function : 3 bits
        ``tx``: the function that sent it. ``rx``: the function that it is for.
    functions : 8 bits
        ``rx``: all functions that it is for, a bit each, until each has its copy.
    port : 2 bits
        ``tx``: the wire port that it leaves by. ``rx``: the one that it came by.
    local : 1 bit
        ``tx``: for a function of this card; it turns round before the MAC.
    vni : 24 bits
        Network identifier of the overlay that the frame belongs to.
    underlay : 1 bit
        The frame belongs to no function: it is of the wire's own network, to or from the
        card itself, or its function is not known yet. It is not encapsulated.
    answer : 1 bit
        The card made this frame, to answer one of the function.
    tunnel : 10 bits
        Index of the tunnel endpoint, set by the mapping stage and used by encapsulation.
    resolved, neighbour : 1 bit, 48 bits
        The frame asks for the link-layer address of a known neighbour, and this is it.
    outer_ecn : 2 bits
        ``rx``: ECN field of the outer header that was removed.
    hash : 16 bits
        Flow hash over the (inner) addresses, protocol and ports.
    verdict : Verdict
        ``PASS``, or why the frame is to be dropped.
    inner_checksum, outer_checksum : ChecksumSlot
        Filled in by the buffer before the MAC; the inner one first.
    sums : 2 x 16 bits
        ``rx``: two ones' complement sums which add up to that of all bytes of the frame, where
        the MAC takes it (``Mac(sums=True)``) and checksums are verified.
    checksum_good : 1 bit
        ``rx``: the (inner) layer 4 checksum was verified on the card.
    headers : Headers
        The parser's findings.
    """

    length: 14
    function: 3
    functions: 8
    port: 2
    local: 1
    underlay: 1
    answer: 1
    vni: 24
    tunnel: 10
    resolved: 1
    neighbour: 48
    outer_ecn: 2
    hash: 16
    verdict: Verdict
    inner_checksum: ChecksumSlot
    outer_checksum: ChecksumSlot
    sums: data.ArrayLayout(16, 2)
    checksum_good: 1
    headers: Headers


class FrameBeat(data.Struct):
    """One beat of a frame: the packet's beat, and the frame's meta repeated."""

    packet: Beat
    meta: FrameMeta


#: Signature of a frame stream, seen from its source.
FrameStream = stream.Signature(FrameBeat)

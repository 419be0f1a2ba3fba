"""Where the table of the encapsulation stage has what a tunnel's headers are made of."""

from amaranth.lib import data
from amaranth.utils import ceil_log2

from .config import OverlayConfig

__all__ = ["Descriptor", "TunnelLayout"]


class Descriptor(data.Struct):
    """The row of a tunnel's record that is not part of its headers.

    Members
    -------
    partial : 16 bits
        IPv4: ones' complement sum of the IP header's words, with DSCP, ECN, total length and
        checksum taken as zero, modulo 65535.
    template : 3 bits
        The template that the rest of the headers comes from.
    port : 2 bits
        Wire port that the tunnel leaves by.
    ipv6 : 1 bit
        The tunnel runs over IPv6.
    checksum : 1 bit
        Fill in the outer UDP checksum; otherwise it stays zero (RFC 7348, 5; RFC 6935).
    """

    partial: 16
    template: 3
    port: 2
    ipv6: 1
    checksum: 1


class TunnelLayout:
    """Where templates and tunnel records stand in the table of the encapsulation stage.

    An outer header is a row of beats of eight bytes, the first byte lowest; the last beat is cut
    short. Which beats are the tunnel's own (``OWN``: where the destination's MAC and IP address
    stand), follows from the kind of header; the rest comes from the template. The fields that
    vary from frame to frame are zero in both: DSCP and ECN, lengths, checksums, source port,
    VNI. A row has two words of the bus, the first four bytes in column 0.

    Parameters
    ----------
    config
        ``tunnels``, ``templates`` and ``ipv6``.
    """

    #: Rows reserved for a template, which starts at ``template * TEMPLATE``.
    TEMPLATE = 16
    #: The last of the rows behind a template's beats, which are never written and stay zero.
    ZERO = 15
    #: Bytes in front of the inner frame, by ``Descriptor.ipv6``.
    HEADER_BYTES = (50, 70)
    #: Beats of the header that are the tunnel's own, by ``Descriptor.ipv6``.
    OWN = ((0, 3, 4), (0, 4, 5, 6))

    def __init__(self, config: OverlayConfig):
        #: Rows of a tunnel's record: its own beats in the places of their low bits.
        self.record = 8 if config.ipv6 else 4
        #: Position of the descriptor in it: where no beat of its own is.
        self.descriptor = 1
        #: Where the records begin.
        self.tunnels = max(config.tunnels * self.record, self.TEMPLATE * config.templates)
        self.tunnels = 1 << ceil_log2(self.tunnels)
        self.depth = 2 * self.tunnels

    def own(self, beat):
        """Position in the record of the tunnel's own ``beat`` of the header."""
        # Beats 0, 3 and 4 of IPv4 would meet in two bits.
        return beat if self.record == 8 else beat - (beat >> 1 & 1 | beat >> 2 & 1)

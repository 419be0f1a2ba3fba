"""The source check: a function sends only as itself."""

from amaranth import C, Cat, Module, Mux, Signal

from niter.interface import Verdict

from .config import OverlayConfig
from .protocol import IpProtocol, NeighbourDiscovery, UdpPort
from .stage import Stage
from .table import Table

__all__ = ["UNDERLAY_VNI", "PortRecord", "SourceCheck"]

#: The network that frames of the underlay itself are looked up in; not for tenants.
UNDERLAY_VNI = 0xFFFFFF


class PortRecord:
    """Where the words of a function's record stand in the port table.

    A word has 18 bits, of which addresses fill the low 16, most significant word first.

    Parameters
    ----------
    config
        With IPv6 a record is longer.
    """

    #: The function's MAC address, in three words; it stands here a second time.
    MAC = (0, 5)
    #: Network identifier: bits 15:0, then bits 23:16.
    VNI = 3
    #: In the second word of the network identifier: the function may send.
    OPEN = 1 << 16
    #: IPv4 addresses, two words each.
    IPV4 = 8
    #: IPv6 addresses, eight words each.
    IPV6 = 64
    #: In the first word of an address: it is one.
    VALID = 1 << 16

    def __init__(self, config: OverlayConfig):
        self.addresses = config.addresses
        self.size = 128 if config.ipv6 else 32


class SourceCheck(Stage):
    """Checks who sent a frame, and finds the network that it belongs to.

    ``meta.function`` selects a record of the port table. The Ethernet source, and ARP's
    sender hardware address, must be the function's MAC address (``SOURCE_MAC``). The IP
    source, and ARP's sender protocol address, must be one of its IP addresses
    (``SOURCE_IP``), but for what a host sends while it has none:

    - DHCP from 0.0.0.0 (RFC 2131), ARP probes (RFC 5227);
    - from ``::``, router and neighbour solicitations and listener reports (RFC 4861, 3810);
    - from a link-local address, neighbour discovery, listener reports and DHCPv6.

    Other EtherTypes have no further source to check and pass; IPv6 is refused when the card
    does not look into it. A function whose record is not open is refused (``PORT_CLOSED``).
    A frame of the underlay passes, with ``UNDERLAY_VNI``.

    The record is read a word a cycle: 9 cycles for ARP and other frames without an address
    to look for, otherwise 9 plus the words up to the matching address.

    Parameters
    ----------
    config
        ``functions``, ``addresses`` and ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self.record = PortRecord(config)
        doc = "Port table: what each function owns, a record of words per function."
        self._table = Table(18, config.functions * self.record.size, doc)
        super().__init__(blocks={"ports": self._table})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        decided = self.gate(m)
        meta = self.i.payload.meta
        headers = meta.headers
        ipv6 = headers.ipv6 if self.config.ipv6 else 0
        word = self._table.data[:16]
        flag = self._table.data[16]

        # The word asked for, and the one that stands at the table's output.
        asked = Signal(range(self.record.size))
        at = Signal.like(asked)
        reading = Signal()
        vni = Signal(24)
        m.d.comb += [
            self._table.addr.eq(Cat(asked, meta.function)),
            self.o.payload.meta.vni.eq(vni | meta.underlay.replicate(24)),
        ]

        # The frame's word that the table's is compared with. An address is read from its
        # most significant word; an IPv4 address has the last two of an IPv6 address' parts.
        in_address = Signal()
        part = Signal(3)
        key = Signal(16)
        m.d.comb += [
            in_address.eq(at[3:] != 0),
            part.eq(Cat(at[0], Mux(ipv6, at[1:3], 3))),
        ]
        # In the order of the record: MAC address twice, with the network between.
        hardware = Cat(
            *(headers.source.word_select(n, 16) for n in (2, 1, 0)),
            C(0, 32),
            *(headers.arp_hardware.word_select(n, 16) for n in (2, 1, 0)),
        )
        if self.config.ipv6:
            address = headers.ip_source.word_select(~part, 16)
        else:
            address = headers.ip_source[:32].word_select(~at[0], 16)
        m.d.comb += key.eq(Mux(in_address, address, hardware.word_select(at[:3], 16)))

        equal = Signal()
        foreign = Signal()
        matching = Signal()
        closed = Signal()
        unowned = Signal()
        m.d.comb += equal.eq(word == key)
        with m.If(meta.verdict == Verdict.PASS):
            with m.If(closed):
                m.d.comb += self.o.payload.meta.verdict.eq(Verdict.PORT_CLOSED)
            with m.Elif(foreign):
                m.d.comb += self.o.payload.meta.verdict.eq(Verdict.SOURCE_MAC)
            with m.Elif(unowned):
                m.d.comb += self.o.payload.meta.verdict.eq(Verdict.SOURCE_IP)

        decide = [decided.eq(1), reading.eq(0)]
        with m.If(~reading & ~decided):
            m.d.sync += [asked.eq(0), at.eq(0), matching.eq(0)]
            m.d.sync += [foreign.eq(0), closed.eq(0), unowned.eq(0)]
            with m.If(self.i.valid):
                with m.If(meta.underlay | (meta.verdict != Verdict.PASS)):
                    m.d.sync += decide
                with m.Else():
                    m.d.sync += [reading.eq(1), asked.eq(1)]
        with m.If(reading):
            m.d.sync += [at.eq(asked), asked.eq(asked + 1)]
            if self.config.ipv6:
                with m.If(ipv6 & (asked == PortRecord.IPV4 - 1)):
                    m.d.sync += asked.eq(PortRecord.IPV6)
            with m.If(in_address):
                with m.If((part[0] & part[1:].all()) & equal & matching):
                    m.d.sync += decide
                with m.Elif(at == self._last_word(ipv6)):
                    m.d.sync += [unowned.eq(1), *decide]
                starts = Signal()
                m.d.comb += starts.eq(Mux(ipv6, part == 0, ~part[0]))
                m.d.sync += matching.eq(equal & Mux(starts, flag, matching))
            with m.Else(), m.Switch(at[:3]):
                with m.Case(PortRecord.VNI):
                    m.d.sync += vni[:16].eq(word)
                with m.Case(PortRecord.VNI + 1):
                    m.d.sync += [vni[16:].eq(word), closed.eq(~flag)]
                with m.Case(PortRecord.IPV4 - 1):
                    with m.If(closed | foreign | self._exempt(headers)):
                        m.d.sync += decide
                    if not self.config.ipv6:
                        with m.Elif(headers.ipv6):
                            m.d.sync += [unowned.eq(1), *decide]
                    with m.If(headers.arp & ~equal):
                        m.d.sync += [foreign.eq(1), *decide]
                with m.Case(*range(3)):
                    m.d.sync += foreign.eq(foreign | ~equal)
                with m.Default():
                    m.d.sync += foreign.eq(foreign | (headers.arp & ~equal))
        return m

    def _last_word(self, ipv6):
        last4 = PortRecord.IPV4 + 2 * self.config.addresses - 1
        last6 = PortRecord.IPV6 + 8 * self.config.addresses - 1
        return Mux(ipv6, last6, last4)

    def _exempt(self, headers):
        """The frame has no source address to look for."""
        dhcp = (
            headers.ipv4
            & headers.unspecified
            & (headers.protocol == IpProtocol.UDP)
            & (headers.l4_source == UdpPort.DHCP_CLIENT)
            & (headers.l4_destination == UdpPort.DHCP_SERVER)
        )
        exempt = ~(headers.ipv4 | headers.ipv6 | headers.arp) | dhcp
        exempt |= headers.arp & headers.unspecified
        if not self.config.ipv6:
            return exempt

        def is_message(*kinds):
            kind = headers.l4_source[8:]
            matches = Cat(kind == message for message in kinds).any()
            return (headers.protocol == IpProtocol.ICMPV6) & headers.l4 & matches

        joining = is_message(
            NeighbourDiscovery.ROUTER_SOLICITATION,
            NeighbourDiscovery.NEIGHBOUR_SOLICITATION,
            NeighbourDiscovery.LISTENER_REPORT,
        )
        dhcpv6 = (
            (headers.protocol == IpProtocol.UDP)
            & (headers.l4_source == UdpPort.DHCPV6_CLIENT)
            & (headers.l4_destination == UdpPort.DHCPV6_SERVER)
        )
        advertising = is_message(NeighbourDiscovery.NEIGHBOUR_ADVERTISEMENT)
        return exempt | (
            headers.ipv6
            & (
                (headers.unspecified & joining)
                | (headers.link_local & (joining | advertising | dhcpv6))
            )
        )

"""The source check: a function sends only as itself."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameMeta, Verdict

from .config import OverlayConfig
from .protocol import IpProtocol, NeighbourDiscovery, UdpPort
from .table import Table

__all__ = ["PortRecord", "SourceCheck"]


class PortRecord:
    """Where the 32-bit words of a function's record stand in the port table.

    Parameters
    ----------
    config
        With IPv6 a record is longer.
    """

    #: The function's MAC address, bits 31:0.
    MAC_LOW = 0
    #: Bits 47:32 of it, ``OPEN``, and the network's number at ``NETWORK`` and above.
    MAC_HIGH = 1
    #: The network's identifier on the wire, 24 bits.
    VNI = 2
    #: IPv4 addresses, a word each; zero is none.
    IPV4 = 4
    #: IPv6 addresses, four words each, most significant first; zero is none.
    IPV6 = 16
    #: In ``MAC_HIGH``: the function may send.
    OPEN = 1 << 16
    #: In ``MAC_HIGH``: where the network's number of 8 bits begins.
    NETWORK = 24

    def __init__(self, config: OverlayConfig):
        self.addresses = config.addresses
        self.size = 64 if config.ipv6 else 16


class SourceCheck(wiring.Component):
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

    The record is read a word a cycle. The network is known 3 cycles after ``start``; ``done``
    rises after 5 cycles for a frame without an address to look for, otherwise after 6 and
    the words up to the end of the matching address.

    Parameters
    ----------
    config
        ``functions``, ``addresses`` and ``ipv6``.

    Members
    -------
    start : In(1)
        Begin with the frame of ``meta``, which must hold until ``done``.
    meta : In(FrameMeta)
        The frame.
    network_known : Out(1)
        ``network`` is right, until the next ``start``.
    network : Out(8)
        Number of the function's network.
    vni : Out(24)
        With ``done``: its identifier on the wire.
    verdict : Out(Verdict)
        With ``done``: ``PASS``, or why the frame is refused.
    done : Out(1)
        The check has ended. It stays until the next ``start``.
    bus : In(csr.Signature)
        Write access to the port table.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self.record = PortRecord(config)
        doc = "Port table: what each function owns, a record of words per function."
        self._table = Table(32, config.functions * self.record.size, doc)
        super().__init__(
            {
                "start": In(1),
                "meta": In(FrameMeta),
                "network_known": Out(1),
                "network": Out(8),
                "vni": Out(24),
                "verdict": Out(Verdict),
                "done": Out(1),
                "bus": In(csr.Signature(addr_width=self._table.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._table.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = self._table
        connect(m, flipped(self.bus), table.bus)
        headers = self.meta.headers
        ipv6 = headers.ipv6 if self.config.ipv6 else 0
        word = table.data

        # The word asked for, and the one that stands at the table's output.
        asked = Signal(range(self.record.size))
        at = Signal.like(asked)
        reading = Signal()
        arrived = Signal()
        # Block memory is late in its cycle: what is compared in it, is judged in the next.
        checked = Signal()
        checked_at = Signal.like(asked)
        m.d.comb += table.addr.eq(Cat(asked, self.meta.function))

        equal = Signal()
        part = Signal(2)
        address = headers.ip_source[:32]
        if self.config.ipv6:
            m.d.comb += part.eq(Mux(ipv6, checked_at[:2], 3))
            address = headers.ip_source.word_select(~at[:2] & ipv6.replicate(2), 32)
        else:
            m.d.comb += part.eq(3)
        # Three comparisons are less than one and the choice of what to compare with.
        is_low, is_high = word == headers.source[:32], word[:16] == headers.source[32:]
        m.d.sync += [
            equal.eq(Mux(at[2:] != 0, word == address, Mux(at[0], is_high, is_low))),
            checked.eq(arrived & reading),
            checked_at.eq(at),
        ]

        matching = Signal()
        foreign = Signal()
        closed = Signal()
        unowned = Signal()
        with m.If(closed):
            m.d.comb += self.verdict.eq(Verdict.PORT_CLOSED)
        with m.Elif(foreign):
            m.d.comb += self.verdict.eq(Verdict.SOURCE_MAC)
        with m.Elif(unowned):
            m.d.comb += self.verdict.eq(Verdict.SOURCE_IP)

        decide = [self.done.eq(1), reading.eq(0)]
        with m.If(~reading):
            m.d.sync += [asked.eq(0), arrived.eq(0)]
        with m.Else():
            m.d.sync += [at.eq(asked), asked.eq(asked + 1), arrived.eq(1)]
            if self.config.ipv6:
                with m.If(ipv6 & (asked == PortRecord.IPV4 - 1)):
                    m.d.sync += asked.eq(PortRecord.IPV6)
        with m.If(arrived & reading), m.Switch(at):
            with m.Case(PortRecord.MAC_HIGH):
                m.d.sync += [
                    closed.eq((word & PortRecord.OPEN) == 0),
                    self.network.eq(word[PortRecord.NETWORK :]),
                    self.network_known.eq(1),
                ]
            with m.Case(PortRecord.VNI):
                m.d.sync += self.vni.eq(word)
        with m.If(checked & reading):
            with m.If(checked_at[2:] != 0):
                match = equal & ((part == 0) | matching) if self.config.ipv6 else equal
                if self.config.ipv6:
                    match = Mux(ipv6, match, equal)
                m.d.sync += matching.eq(match)
                with m.If(part.all() & match & ~headers.unspecified):
                    m.d.sync += decide
                with m.Elif(checked_at == self._last_word(ipv6)):
                    m.d.sync += [unowned.eq(1), *decide]
            with m.Else(), m.Switch(checked_at[:2]):
                with m.Case(PortRecord.MAC_LOW):
                    m.d.sync += foreign.eq(~equal | (headers.arp & headers.arp_foreign))
                with m.Case(PortRecord.MAC_HIGH):
                    m.d.sync += foreign.eq(foreign | ~equal)
                with m.Case(PortRecord.VNI):
                    with m.If(closed | foreign | self._exempt(headers)):
                        m.d.sync += decide
                    if not self.config.ipv6:
                        with m.Elif(headers.ipv6):
                            m.d.sync += [unowned.eq(1), *decide]
        with m.If(self.start):
            m.d.sync += [reading.eq(1), asked.eq(0), arrived.eq(0), checked.eq(0), self.done.eq(0)]
            m.d.sync += [self.network_known.eq(0), closed.eq(0), foreign.eq(0), unowned.eq(0)]
        return m

    def _last_word(self, ipv6):
        last4 = PortRecord.IPV4 + self.config.addresses - 1
        last6 = PortRecord.IPV6 + 4 * self.config.addresses - 1
        return Mux(ipv6, last6, last4) if self.config.ipv6 else last4

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

"""The dissector: reads headers as a sequence of 16-bit words."""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Headers

from .protocol import EtherType, IpProtocol, NeighbourDiscovery

__all__ = ["Dissector"]


class _State(enum.Enum, shape=4):
    ETHERNET = 0
    TYPE = 1
    TAG = 2
    ARP = 3
    IPV4 = 4
    SKIP = 5
    IPV6 = 6
    EXTENSION = 7
    FRAGMENT = 8
    PORTS = 9
    UDP_LENGTH = 10
    ICMP = 11
    SOLICITATION = 12
    DONE = 13


class Dissector(wiring.Component):
    """Walks Ethernet, one VLAN tag, ARP, IPv4, IPv6 with its extension headers, and the
    first words of TCP, UDP and ICMP. One word a cycle.

    A header is refused (``bad``) when its version or length fields contradict the frame: IPv4
    header or total length, IPv6 payload length, UDP length beyond the frame's end, ARP that
    is not for IPv4 over Ethernet. Extension headers that are followed are hop-by-hop,
    routing, destination options and fragment (RFC 8200, 4); at any other the search for
    layer 4 ends without harm, and so it does in a fragment.

    Parameters
    ----------
    ipv6
        Whether to look into IPv6; if not, the headers end at its EtherType.

    Members
    -------
    start : In(1)
        Forget everything; ``length`` is that of the next frame.
    length : In(14)
        Bytes in the frame.
    stb, word : In(1), In(16)
        The next word, first byte in the high half.
    hashed : Out(1)
        The word belongs to the flow's identity, as ``hash_word`` shows it.
    hash_word : Out(16)
        The word, with what does not belong to it masked.
    done : Out(1)
        All headers have been read. Further words are ignored.
    bad : Out(1)
        The frame is malformed.
    headers : Out(Headers)
        What was found.
    """

    start: In(1)
    length: In(14)
    stb: In(1)
    word: In(16)
    hashed: Out(1)
    hash_word: Out(16)
    done: Out(1)
    bad: Out(1)
    headers: Out(Headers)

    def __init__(self, *, ipv6: bool):
        self.ipv6 = ipv6
        super().__init__()
        self._state = Signal(_State)
        # Words of this header that went before; words of the frame; words still to skip.
        self._index = Signal(5)
        self._offset = Signal(7)
        self._behind = Signal(7)
        self._skip = Signal(10)
        # Bytes from this word to the end of the frame.
        self._left = Signal(14)
        # A length field may be as large as what is left, give or take what the header in
        # front of it and behind it counts: one comparator serves IPv4, IPv6 and UDP.
        self._slack = Signal(signed(7))
        self._beyond = Signal()
        # What stands behind the present IP or extension header: its type is always known
        # some words before its end.
        self._follows = Signal(_State)
        self._refuse = Signal()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += [
            self._beyond.eq(Cat(self.word, 0).as_signed() > self._left + self._slack),
            self._behind.eq(self._offset + 1),
            self.done.eq(self._state == _State.DONE),
            self.hash_word.eq(self.word),
        ]
        self._choose_layer4(m)
        with m.If(self.start):
            m.d.sync += [
                self._state.eq(_State.ETHERNET),
                self._index.eq(0),
                self._offset.eq(0),
                self._left.eq(self.length),
                self.headers.eq(0),
                self.bad.eq(0),
            ]
        with m.Elif(self.stb):
            m.d.sync += [
                self._index.eq(self._index + 1),
                self._offset.eq(self._behind),
                self._left.eq(self._left - 2),
            ]
            with m.Switch(self._state):
                self._ethernet(m)
                self._arp(m)
                self._ipv4(m)
                if self.ipv6:
                    self._ipv6(m)
                    self._extensions(m)
                self._layer4(m)
            with m.If(self._refuse):
                m.d.sync += [self.bad.eq(1), self._state.eq(_State.DONE)]
        return m

    def _choose_layer4(self, m):
        m.d.comb += self._follows.eq(_State.DONE)
        with m.If(~self.headers.fragment), m.Switch(self.headers.protocol):
            with m.Case(IpProtocol.TCP, IpProtocol.UDP):
                m.d.comb += self._follows.eq(_State.PORTS)
            with m.Case(IpProtocol.ICMP, IpProtocol.ICMPV6):
                m.d.comb += self._follows.eq(_State.ICMP)
            if self.ipv6:
                with (
                    m.Case(
                        IpProtocol.HOP_BY_HOP, IpProtocol.ROUTING, IpProtocol.DESTINATION_OPTIONS
                    ),
                    m.If(self.headers.ipv6),
                ):
                    m.d.comb += self._follows.eq(_State.EXTENSION)
                with m.Case(IpProtocol.FRAGMENT), m.If(self.headers.ipv6):
                    m.d.comb += self._follows.eq(_State.FRAGMENT)

    def _ethernet(self, m):
        headers, index = self.headers, self._index
        with m.Case(_State.ETHERNET):
            # The two addresses are one shift register.
            addresses = Cat(headers.source, headers.destination)
            m.d.sync += addresses.eq(Cat(self.word, addresses)[:96])
            m.d.comb += self.hashed.eq(1)
            with m.If(index == 5):
                self._enter(m, _State.TYPE)
        with m.Case(_State.TYPE):
            m.d.sync += [
                headers.ethertype.eq(self.word),
                headers.l3_offset.eq(Mux(headers.vlan, 18, 14)),
            ]
            self._enter(m, _State.DONE)
            with m.Switch(self.word):
                with m.Case(EtherType.VLAN, EtherType.SERVICE_VLAN), m.If(~headers.vlan):
                    self._enter(m, _State.TAG)
                with m.Case(EtherType.IPV4):
                    m.d.sync += headers.ipv4.eq(1)
                    self._enter(m, _State.IPV4)
                with m.Case(EtherType.ARP):
                    m.d.sync += headers.arp.eq(1)
                    self._enter(m, _State.ARP)
                with m.Case(EtherType.IPV6):
                    m.d.sync += headers.ipv6.eq(1)
                    if self.ipv6:
                        self._enter(m, _State.IPV6)
        with m.Case(_State.TAG):
            m.d.sync += [headers.vlan.eq(1), headers.vlan_tag.eq(self.word)]
            self._enter(m, _State.TYPE)

    def _arp(self, m):
        headers = self.headers
        with m.Case(_State.ARP), m.Switch(self._index):
            for index, expected in enumerate((1, EtherType.IPV4, 0x0604)):
                with m.Case(index):
                    self._refuse_if(m, self.word != expected)
            with m.Case(3):
                m.d.sync += headers.l4_source.eq(self.word)
            with m.Case(4, 5, 6):
                self._shift_in(m, headers.arp_hardware)
            with m.Case(7):
                self._source_address(m, first=True)
            with m.Case(8):
                self._source_address(m)
            with m.Case(12):
                self._shift_in(m, headers.ip_destination)
            with m.Case(13):
                self._shift_in(m, headers.ip_destination)
                self._enter(m, _State.DONE)

    def _ipv4(self, m):
        headers, word = self.headers, self.word
        with m.Case(_State.IPV4), m.Switch(self._index):
            with m.Case(0):
                m.d.sync += [headers.tos.eq(word[:8]), self._skip.eq(Cat(0, word[8:12] - 5))]
                self._refuse_if(m, (word[12:] != 4) | (word[8:12] < 5))
            with m.Case(1):
                m.d.comb += self._slack.eq(2)
                short = word[2:] < self._skip[1:5] + 5
                self._refuse_if(m, self._beyond | short)
            with m.Case(3):
                m.d.sync += headers.fragment.eq(word[:14] != 0)
            with m.Case(4):
                m.d.sync += [headers.ttl.eq(word[8:]), headers.protocol.eq(word[:8])]
                m.d.comb += [self.hashed.eq(1), self.hash_word[8:].eq(0)]
            with m.Case(6):
                self._source_address(m, first=True)
            with m.Case(7):
                self._source_address(m)
            with m.Case(8, 9):
                self._destination_address(m)
                with m.If(self._index[0]):
                    with m.If(self._skip[1:5] != 0):
                        self._enter(m, _State.SKIP)
                    with m.Else():
                        self._leave(m)
        with m.Case(_State.SKIP):
            m.d.sync += self._skip.eq(self._skip - 1)
            with m.If(self._skip == 1):
                self._leave(m)

    def _ipv6(self, m):
        headers, word = self.headers, self.word
        with m.Case(_State.IPV6), m.Switch(self._index):
            with m.Case(0):
                m.d.sync += headers.tos.eq(word[4:12])
                self._refuse_if(m, word[12:] != 6)
            with m.Case(2):
                m.d.comb += self._slack.eq(-36)
                self._refuse_if(m, self._beyond)
            with m.Case(3):
                m.d.sync += [headers.protocol.eq(word[8:]), headers.ttl.eq(word[:8])]
                m.d.comb += [self.hashed.eq(1), self.hash_word[:8].eq(0)]
            with m.Case(4):
                self._source_address(m, first=True)
                m.d.sync += headers.link_local.eq(word[6:] == 0xFE80 >> 6)
            with m.Case(*range(5, 12)):
                self._source_address(m)
            with m.Case(*range(12, 20)):
                self._destination_address(m)
                with m.If(self._index == 19):
                    self._leave(m)

    def _extensions(self, m):
        headers, word = self.headers, self.word
        with m.Case(_State.EXTENSION):
            # Its length counts units of eight bytes beyond the first.
            m.d.sync += [headers.protocol.eq(word[8:]), self._skip.eq(Cat(C(3, 2), word[:8]))]
            self._enter(m, _State.SKIP)
        with m.Case(_State.FRAGMENT), m.Switch(self._index):
            with m.Case(0):
                m.d.sync += headers.protocol.eq(word[8:])
            with m.Case(1):
                # An offset, or more to come; neither is an atomic fragment (RFC 6946).
                m.d.sync += headers.fragment.eq(Cat(word[0], word[3:]) != 0)
            with m.Case(3):
                self._leave(m)

    def _layer4(self, m):
        headers, word, index = self.headers, self.word, self._index
        with m.Case(_State.PORTS):
            m.d.comb += self.hashed.eq(1)
            ports = Cat(headers.l4_destination, headers.l4_source)
            m.d.sync += ports.eq(Cat(word, ports)[:32])
            with m.If(index[0]):
                m.d.sync += headers.l4.eq(1)
                self._enter(m, _State.DONE)
                with m.If(headers.protocol == IpProtocol.UDP):
                    self._enter(m, _State.UDP_LENGTH)
        with m.Case(_State.UDP_LENGTH):
            m.d.comb += self._slack.eq(4)
            self._enter(m, _State.DONE)
            # Zero is a jumbogram's, which no frame can hold.
            self._refuse_if(m, self._beyond | (word < 8))
        with m.Case(_State.ICMP):
            m.d.sync += [headers.l4.eq(1), headers.l4_source.eq(word)]
            self._enter(m, _State.DONE)
            if self.ipv6:
                with m.If(headers.ipv6 & (word[8:] == NeighbourDiscovery.NEIGHBOUR_SOLICITATION)):
                    self._enter(m, _State.SOLICITATION)
        if self.ipv6:
            with m.Case(_State.SOLICITATION):
                # Checksum and a reserved word, then the target: it stays in the register
                # when all have passed through.
                self._shift_in(m, headers.nd_target)
                with m.If(index == 10):
                    self._enter(m, _State.DONE)

    def _shift_in(self, m, field):
        m.d.sync += field.eq(Cat(self.word, field)[: len(field)])

    def _source_address(self, m, *, first=False):
        self._shift_in(m, self.headers.ip_source)
        m.d.comb += self.hashed.eq(~self.headers.arp)
        unspecified = self.word == 0
        if not first:
            unspecified &= self.headers.unspecified
        m.d.sync += self.headers.unspecified.eq(unspecified)

    def _destination_address(self, m):
        self._shift_in(m, self.headers.ip_destination)
        m.d.comb += self.hashed.eq(1)

    def _leave(self, m):
        """Go on behind an IP or extension header."""
        m.d.sync += self.headers.l4_offset.eq(Cat(0, self._behind))
        m.d.sync += [self._state.eq(self._follows), self._index.eq(0)]

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _refuse_if(self, m, condition):
        m.d.comb += self._refuse.eq(condition)

"""The dissector: reads headers as a sequence of 32-bit words."""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.compare import less
from niter.interface import Headers

from .internet import InternetLayer, State
from .protocol import EtherType, IpProtocol, NeighbourDiscovery
from .sums import HalfSums

__all__ = ["Dissector"]


class Dissector(InternetLayer, wiring.Component):
    """Walks Ethernet, one VLAN tag, ARP, IPv4, IPv6 with its extension headers, and the
    first words of TCP, UDP and ICMP. One word a cycle.

    The first word is the first two bytes of the frame behind two of nothing: then no field but
    ARP's addresses crosses from one word into another, tag or not, and most are taken into their
    registers as they pass, without a multiplexer.

    A header is refused (``bad``) when its version or length fields contradict the frame: IPv4
    header or total length, IPv6 payload length, UDP length beyond the frame's end, ARP that
    is not for IPv4 over Ethernet. Extension headers that are followed are hop-by-hop,
    routing, destination options and fragment (RFC 8200, 4); at any other the search for
    layer 4 ends without harm, and so it does in a fragment.

    Parameters
    ----------
    ipv6
        Whether to look into IPv6; if not, the headers end at its EtherType.
    verify
        Whether to verify the checksum of TCP and UDP, from the sum of the whole frame: without
        the words in front of layer 4, and with the pseudo-header, nothing must be left
        of it. The addresses are in both and cancel out.

    Members
    -------
    start : In(1)
        Forget everything.
    length : In(14)
        Bytes in the frame, with each word.
    stb, word : In(1), In(32)
        The next word, whole, first byte in the highest eight bits.
    hash : Out(16)
        The flow hash of what has been read: see ``Parser``.
    sums : In(16)[2]
        With ``start``: ``meta.sums`` of the frame.
    checksum_good : Out(1)
        2 cycles after ``done``: the layer 4 checksum is there and right, and the packet fills
        the frame. Zero without ``verify``.
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
    word: In(32)
    hash: Out(16)
    sums: In(16).array(2)
    checksum_good: Out(1)
    done: Out(1)
    bad: Out(1)
    headers: Out(Headers)

    def __init__(self, *, ipv6: bool, verify: bool = False):
        self.ipv6 = ipv6
        self.verify = verify
        super().__init__()
        self._state = Signal(State)
        self._high = self.word[16:]
        self._low = self.word[:16]
        # Words of this header that went before; words of the frame; words still to skip.
        self._index = Signal(4)
        self._offset = Signal(6)
        self._skip = Signal(9 if ipv6 else 4)
        # Bytes from the beginning of this word to the end of the frame; not of the first one.
        self._left = Signal(15)
        # A length field may be as large as what is left, less what IPv6's does not count of its
        # header: one comparator serves IPv4, IPv6 and UDP.
        self._length = Signal(16)
        self._slack = Signal(signed(7))
        self._beyond = Signal()
        # What stands behind the present IP or extension header: its type is always known
        # some words before its end.
        self._follows = Signal(State)
        self._refuse = Signal()
        self._refused = Signal()
        self._hashed = Signal()
        # The word is one of the pseudo-header's addresses; the datagram fills the frame.
        self._address = Signal()
        self._exact = Signal()
        self._fills = Signal()
        self._hash_low = Signal(init=1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        was_bad = Signal()
        m.d.comb += [
            self._length.eq(self._high),
            self._beyond.eq(less(self._left + self._slack, self._length)),
            self.done.eq(self._state == State.DONE),
            self.bad.eq(self._refused | was_bad),
        ]
        self._choose_layer4(m)
        if self.verify:
            self._verify(m)
        with m.If(self.start):
            m.d.sync += [
                self._state.eq(State.ETHERNET),
                self._index.eq(0),
                self._offset.eq(0),
                self.headers.eq(0),
                self.hash.eq(0),
                was_bad.eq(0),
            ]
        with m.Elif(self.stb):
            m.d.sync += [
                self._index.eq(self._index + 1),
                self._offset.eq(self._offset + 1),
            ]
            # One word further than this one: less 2, and 4 for each before. UDP's length counts the
            # ports in front of it, too.
            with m.If(self._state != State.PORTS):
                m.d.sync += self._left.eq(self.length + ~Cat(C(1, 2), self._offset, C(0, 7)))
            with m.If(self._hashed):
                low = self._low & self._hash_low.replicate(16)
                m.d.sync += self.hash.eq(self.hash.rotate_left(5) ^ self._high ^ low.rotate_left(8))
            with m.Switch(self._state):
                self._ethernet(m)
                self._arp(m)
                self._ipv4(m)
                if self.ipv6:
                    self._ipv6(m)
                    self._extensions(m)
                self._layer4(m)
        # The verdict on a word is a long way, and takes effect one cycle later.
        m.d.sync += self._refused.eq(self.stb & self._refuse)
        with m.If(self._refused):
            m.d.sync += [was_bad.eq(1), self._state.eq(State.DONE)]
        return m

    def _verify(self, m):
        m.submodules.sums = sums = HalfSums()
        state = self._state
        m.d.comb += [
            self._exact.eq(self._length == (self._left + self._slack)[:16]),
            sums.start.eq(self.start),
            # A word that leaves the frame's sum leaves its negative here.
            *(there.eq(~here) for there, here in zip(sums.first, self.sums, strict=True)),
        ]
        before = Signal()
        m.d.comb += before.eq(
            (state != State.PORTS)
            & (state != State.UDP_LENGTH)
            & (state != State.ICMP)
            & (state != State.DONE)
        )
        bearing = Signal()
        with m.If(self.start):
            m.d.sync += bearing.eq(0)
        with m.Elif(self.stb):
            with m.If(before & ~self._address):
                m.d.comb += [sums.high.eq(self._high), sums.low.eq(self._low)]
            with m.If(state == State.PORTS):
                m.d.comb += [
                    sums.high.eq(~Cat(self._left, C(0, 1))),
                    sums.low.eq(~Cat(self.headers.protocol, C(0, 8))),
                ]
                m.d.sync += bearing.eq(1)
            with m.If((state == State.UDP_LENGTH) & (self._low == 0)):
                m.d.sync += bearing.eq(0)
        m.d.sync += self.checksum_good.eq(sums.zero & bearing & self._fills)

    def _choose_layer4(self, m):
        m.d.comb += self._follows.eq(State.DONE)
        with m.If(~self.headers.fragment), m.Switch(self.headers.protocol):
            with m.Case(IpProtocol.TCP, IpProtocol.UDP):
                m.d.comb += self._follows.eq(State.PORTS)
            with m.Case(IpProtocol.ICMP, IpProtocol.ICMPV6):
                m.d.comb += self._follows.eq(State.ICMP)
            if self.ipv6:
                with (
                    m.Case(
                        IpProtocol.HOP_BY_HOP, IpProtocol.ROUTING, IpProtocol.DESTINATION_OPTIONS
                    ),
                    m.If(self.headers.ipv6),
                ):
                    m.d.comb += self._follows.eq(State.EXTENSION)
                with m.Case(IpProtocol.FRAGMENT), m.If(self.headers.ipv6):
                    m.d.comb += self._follows.eq(State.FRAGMENT)

    def _ethernet(self, m):
        headers, index = self.headers, self._index
        with m.Case(State.ETHERNET):
            m.d.comb += self._hashed.eq(1)
            with m.Switch(index):
                with m.Case(0):
                    m.d.sync += headers.destination[32:].eq(self._low)
                with m.Case(1):
                    m.d.sync += headers.destination[:32].eq(self.word)
                with m.Case(2):
                    m.d.sync += headers.source[16:].eq(self.word)
                    self._enter(m, State.TYPE)
        with m.Case(State.TYPE):
            m.d.comb += [self._hashed.eq(~headers.vlan), self._hash_low.eq(0)]
            m.d.sync += [
                headers.ethertype.eq(self._low),
                headers.l3_offset.eq(Mux(headers.vlan, 18, 14)),
            ]
            # The word begins with the end of the source address, or is a tag's.
            with m.If(headers.vlan):
                m.d.sync += headers.vlan_tag.eq(self._high)
            with m.Else():
                m.d.sync += headers.source[:16].eq(self._high)
            self._enter(m, State.DONE)
            with m.Switch(self._low):
                with m.Case(EtherType.VLAN, EtherType.SERVICE_VLAN), m.If(~headers.vlan):
                    m.d.sync += headers.vlan.eq(1)
                    self._enter(m, State.TYPE)
                with m.Case(EtherType.IPV4):
                    m.d.sync += headers.ipv4.eq(1)
                    self._enter(m, State.IPV4)
                with m.Case(EtherType.ARP):
                    m.d.sync += headers.arp.eq(1)
                    self._enter(m, State.ARP)
                with m.Case(EtherType.IPV6):
                    m.d.sync += headers.ipv6.eq(1)
                    if self.ipv6:
                        self._enter(m, State.IPV6)

    def _layer4(self, m):
        headers, word = self.headers, self.word
        with m.Case(State.PORTS):
            m.d.comb += self._hashed.eq(1)
            m.d.sync += [
                headers.l4_source.eq(self._high),
                headers.l4_destination.eq(self._low),
                headers.l4.eq(1),
            ]
            self._enter(m, State.DONE)
            with m.If(headers.protocol == IpProtocol.UDP):
                self._enter(m, State.UDP_LENGTH)
        with m.Case(State.UDP_LENGTH):
            self._enter(m, State.DONE)
            # Zero is a jumbogram's, which no frame can hold.
            self._refuse_if(m, self._beyond | (self._high[3:] == 0))
        with m.Case(State.ICMP):
            m.d.sync += [headers.l4.eq(1), headers.l4_source.eq(self._high)]
            self._enter(m, State.DONE)
            if self.ipv6:
                solicits = word[24:] == NeighbourDiscovery.NEIGHBOUR_SOLICITATION
                with m.If(headers.ipv6 & solicits):
                    self._enter(m, State.SOLICITATION)
        if self.ipv6:
            with m.Case(State.SOLICITATION):
                # A reserved word, then the target: it stays in the register when all have
                # passed through.
                m.d.sync += headers.nd_target.eq(Cat(word, headers.nd_target)[:128])
                with m.If(self._index == 4):
                    self._enter(m, State.DONE)

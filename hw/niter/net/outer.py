"""The outer headers of a tunnel's datagram, read as a sequence of 32-bit words."""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Verdict

from .config import OverlayConfig
from .protocol import EtherType, IpProtocol, UdpPort
from .stage import add_carry
from .sums import HalfSums
from .table import Table

__all__ = ["EndpointWords", "OuterHeaders"]


class EndpointWords:
    """Where the 32-bit words of the card's tunnel endpoint stand, most significant first."""

    MAC = 0
    IPV4 = 2
    IPV6 = 4


class _State(enum.Enum, shape=3):
    ETHERNET = 0
    IPV4 = 1
    IPV6 = 2
    UDP = 3
    TUNNEL = 4
    SKIP = 5
    FRAME = 6
    QUESTION = 7


class OuterHeaders(wiring.Component):
    """Walks Ethernet, IPv4 or IPv6, UDP, and VXLAN or GENEVE, one word a cycle, and judges them:
    see ``Decapsulate`` for the reasons to reject a datagram.

    The first word is the first two bytes of the frame behind two of nothing, as for the
    ``Dissector``. A reason that a word gives takes effect with the next one.

    ARP, and with ``config.ipv6`` ICMPv6 in a datagram that is whole, is a question to the card,
    whoever it is sent to.

    Parameters
    ----------
    config
        ``ipv6``, ``geneve`` and ``verify``.
    endpoint
        The table of the card's addresses, see ``EndpointWords``.

    Members
    -------
    start : In(1)
        Begin with another frame.
    length : In(14)
        Bytes in the frame, with each word.
    stb, word : In(1), In(32)
        The next word, first byte in the highest eight bits.
    ends : In(1)
        With ``stb``: nothing is left behind it.
    sum : In(16)
        With ``config.verify``: the ones' complement sum of the frame, with each word.
    offset : Out(7)
        Words that went before.
    left : Out(15)
        With the first word behind the headers: bytes of the frame inside.
    last : Out(1)
        With ``stb``: behind this word begins the frame inside, unless it is rejected.
    frame, question : Out(1)
        The headers have ended; or this is a question. No further words are read.
    source, source_ends, ipv6 : Out(1)
        With ``stb``: the word is part of the IP source address, it is its last, it is IPv6's.
    verdict : Out(Verdict)
        With ``frame``: ``PASS``, or why the datagram is rejected.
    vni, ecn : Out(24), Out(2)
        With ``frame``: what the headers say.
    """

    def __init__(self, config: OverlayConfig, endpoint: Table):
        self.config = config
        self._endpoint = endpoint
        super().__init__(
            {
                "start": In(1),
                "length": In(14),
                "stb": In(1),
                "word": In(32),
                "ends": In(1),
                "sum": In(16),
                "offset": Out(7),
                "left": Out(15),
                "last": Out(1),
                "frame": Out(1),
                "question": Out(1),
                "source": Out(1),
                "source_ends": Out(1),
                "ipv6": Out(1),
                "verdict": Out(Verdict),
                "vni": Out(24),
                "ecn": Out(2),
            }
        )
        self._state = Signal(_State)
        self._index = Signal(4)
        self._high = self.word[16:]
        self._low = self.word[:16]
        # A length field, and what it counts beside the bytes that are left.
        self._length = Signal(16)
        self._slack = Signal(signed(7))
        self._exact = Signal()
        self._skip = Signal(6)
        # The word is part of an address of the endpoint; one that was to be was not.
        self._own = Signal()
        self._foreign = Signal()
        # The sum of the IPv4 header's words, and its carry that is still to be added.
        self._summed = Signal(33)
        self._geneve = Signal()
        # The word is reason to reject the frame; which reason follows from its place alone. It is
        # rejected with the word behind, so that this is no part of the way to `ready`.
        self._refuse = Signal()
        self._reason = Signal(Verdict)
        self._refused = Signal()
        self._refused_for = Signal(Verdict)
        # The datagram has a checksum.
        self._checked = Signal()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        state = self._state
        m.d.comb += [
            self.frame.eq(state == _State.FRAME),
            self.question.eq(state == _State.QUESTION),
            self.ipv6.eq(state == _State.IPV6),
            self._own.eq(self.word == self._endpoint.data),
            self._length.eq(self._high),
            self._exact.eq(self._length == (self.left + self._slack)[:16]),
        ]
        self._sum_ipv4(m)
        if self.config.verify:
            m.submodules.sums = sums = HalfSums()
            m.d.comb += sums.start.eq(self.frame | self.question)
        with m.If(self.stb):
            m.d.sync += [self._index.eq(self._index + 1), self.offset.eq(self.offset + 1)]
            # One word further than this one: less 2, and 4 for each before. UDP's length counts the
            # ports in front of it, too.
            with m.If((state != _State.UDP) | self._index[0]):
                m.d.sync += self.left.eq(self.length + ~Cat(C(1, 2), self.offset, C(0, 6)))
            with m.Switch(state):
                self._ethernet(m)
                self._ipv4(m)
                if self.config.ipv6:
                    self._ipv6(m)
                self._udp(m)
                self._tunnel(m)
            if self.config.verify:
                with m.If(self._verify(m, sums)):
                    m.d.comb += [self._refuse.eq(1), self._reason.eq(Verdict.OUTER_CHECKSUM)]
            # Questions are for everybody.
            looking = (state == _State.ETHERNET) | self.question
            if self.config.ipv6:
                looking |= (state == _State.IPV6) & (self._index[1:] == 0)
            with m.If(self._foreign & ~looking):
                m.d.comb += [self._refuse.eq(1), self._reason.eq(Verdict.NOT_TUNNEL)]
            m.d.sync += [self._refused.eq(self._refuse), self._refused_for.eq(self._reason)]
            with m.If(self._refused | (self.ends & ~self.question)):
                m.d.sync += [
                    self.verdict.eq(Mux(self._refused, self._refused_for, Verdict.MALFORMED)),
                    state.eq(_State.FRAME),
                ]
        with m.If(self.start):
            m.d.sync += [
                state.eq(_State.ETHERNET),
                self.verdict.eq(Verdict.PASS),
                self._index.eq(0),
                self.offset.eq(0),
                self._geneve.eq(0),
                self._foreign.eq(0),
                self._refused.eq(0),
            ]
        return m

    def _sum_ipv4(self, m):
        """Sum the words of an IPv4 header: right 3 cycles behind its last."""
        # A register that is reset where there is nothing to add costs less than a choice.
        summand = Signal(32)
        with m.If(self.stb & (self._state == _State.IPV4)):
            m.d.sync += summand.eq(self.word)
        with m.Else():
            m.d.sync += summand.eq(0)
        m.d.sync += self._summed.eq(add_carry(self._summed[:32], summand, self._summed[32]))
        with m.If(self._state == _State.ETHERNET):
            m.d.sync += self._summed.eq(0)

    def _verify(self, m, sums):
        """Sum what the checksum does not count, less the whole, and the pseudo-header's numbers
        (its addresses are counted twice). Returns that the checksum is there and wrong."""
        counted = Signal()
        first = Signal()
        with m.Switch(self._state):
            with m.Case(_State.ETHERNET):
                m.d.comb += [counted.eq(1), first.eq(self._index == 0)]
            with m.Case(_State.IPV4):
                m.d.comb += counted.eq(self._index < 3)
            with m.Case(_State.IPV6):
                m.d.comb += counted.eq(self._index < 2)
            with m.Case(_State.UDP):
                with m.If(self._index[0] == 0):
                    m.d.comb += [
                        sums.high.eq(~Cat(self.left, C(0, 1))),
                        sums.low.eq(0xFFFF - IpProtocol.UDP),
                    ]
                with m.Else():
                    m.d.sync += self._checked.eq(self._low != 0)
        with m.If(counted):
            m.d.comb += [sums.high.eq(Mux(first, ~self.sum, self._high)), sums.low.eq(self._low)]
        tunnel = (self._state == _State.TUNNEL) & (self._index[0] == 0)
        return tunnel & self._checked & ~sums.zero

    def _ethernet(self, m):
        with m.Case(_State.ETHERNET):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.MAC | self._index[0])
            with m.If(self._index == 3), m.Switch(self._low):
                with m.Case(EtherType.IPV4):
                    self._enter(m, _State.IPV4)
                with m.Case(EtherType.ARP):
                    self._enter(m, _State.QUESTION)
                if self.config.ipv6:
                    with m.Case(EtherType.IPV6):
                        self._enter(m, _State.IPV6)
                with m.Default():
                    self._reject_if(m, 1, Verdict.NOT_TUNNEL)
            with m.Elif(self._index < 2):
                m.d.sync += self._foreign.eq(self._foreign | ~self._own)

    def _ipv4(self, m):
        word = self.word
        with m.Case(_State.IPV4):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV4)
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self.ecn.eq(word[16:18])
                    m.d.comb += self._length.eq(self._low)
                    version, words = word[28:], word[24:28]
                    self._reject_if(m, (word[24:] != 0x45) | ~self._exact, Verdict.MALFORMED)
                    with m.If((version == 4) & (words > 5)):
                        m.d.comb += self._reason.eq(Verdict.NOT_TUNNEL)
                with m.Case(1):
                    self._reject_if(m, word[:14] != 0, Verdict.OUTER_FRAGMENT)
                with m.Case(2):
                    self._reject_if(m, word[16:24] != IpProtocol.UDP, Verdict.NOT_TUNNEL)
                with m.Case(3):
                    m.d.comb += [self.source.eq(1), self.source_ends.eq(1)]
                with m.Case(4):
                    m.d.sync += self._foreign.eq(self._foreign | ~self._own)
                    self._enter(m, _State.UDP)

    def _ipv6(self, m):
        word = self.word
        with m.Case(_State.IPV6):
            # The destination starts at word 6.
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV6 | (self._index[:2] ^ 2))
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self.ecn.eq(word[20:22])
                    self._reject_if(m, word[28:] != 6, Verdict.MALFORMED)
                with m.Case(1):
                    m.d.comb += self._slack.eq(-36)
                    # Questions may be padded, but not cut.
                    asks = word[8:16] == IpProtocol.ICMPV6
                    whole = self._length <= (self.left + self._slack)[:16]
                    sound = self._exact | (asks & whole)
                    self._reject_if(m, ~sound, Verdict.MALFORMED)
                    with m.If(sound), m.Switch(word[8:16]):
                        with m.Case(IpProtocol.FRAGMENT):
                            self._reject_if(m, 1, Verdict.OUTER_FRAGMENT)
                        with m.Case(IpProtocol.ICMPV6):
                            self._enter(m, _State.QUESTION)
                        with m.Case(IpProtocol.UDP):
                            pass
                        with m.Default():
                            self._reject_if(m, 1, Verdict.NOT_TUNNEL)
                with m.Case(2, 3, 4, 5):
                    m.d.comb += [self.source.eq(1), self.source_ends.eq(self._index == 5)]
                with m.Case(6, 7, 8, 9):
                    m.d.sync += self._foreign.eq(self._foreign | ~self._own)
                    with m.If(self._index == 9):
                        self._enter(m, _State.UDP)

    def _udp(self, m):
        with m.Case(_State.UDP):
            with m.If(self._index[0] == 0):
                other = self._low != UdpPort.VXLAN
                if self.config.geneve:
                    m.d.sync += self._geneve.eq(self._low == UdpPort.GENEVE)
                    other &= self._low != UdpPort.GENEVE
                self._reject_if(m, other, Verdict.NOT_TUNNEL)
            with m.Else():
                self._enter(m, _State.TUNNEL)
                self._reject_if(m, ~self._exact, Verdict.MALFORMED)

    def _tunnel(self, m):
        high, low = self._high, self._low
        with m.Case(_State.TUNNEL):
            with m.If(self._index[0] == 0):
                if self.config.geneve:
                    m.d.sync += self._skip.eq(high[8:14] & self._geneve.replicate(6))
                    bridged = low == EtherType.BRIDGED
                    self._reject_if(
                        m,
                        self._geneve & ((high[14:] != 0) | high[6:8].any() | ~bridged),
                        Verdict.MALFORMED,
                    )
                    with m.If(high[14:] == 0):
                        m.d.comb += self._reason.eq(Verdict.NOT_TUNNEL)
                        with m.If(high[7]):
                            m.d.comb += self._reason.eq(Verdict.OAM)
                        with m.Elif(high[6]):
                            m.d.comb += self._reason.eq(Verdict.CRITICAL_OPTION)
                with m.If(~self._geneve):
                    self._reject_if(m, ~high[11], Verdict.MALFORMED)
                # Zero has two forms; the words of a header are not all zero, and IPv6 has no sum.
                sum_low, sum_high = self._summed[:16], self._summed[16:32]
                good = (sum_low == ~sum_high) | self._summed[:32].all()
                if self.config.ipv6:
                    good |= ~self._summed[:32].any()
                with m.If(~good):
                    self._reject_if(m, 1, Verdict.OUTER_CHECKSUM)
            with m.Else():
                m.d.sync += self.vni.eq(self.word[8:])
                self._frame_follows(m, ~self._skip.any() if self.config.geneve else 1)
        if self.config.geneve:
            with m.Case(_State.SKIP):
                m.d.sync += self._skip.eq(self._skip - 1)
                self._frame_follows(m, self._skip == 1)

    def _frame_follows(self, m, condition):
        """The tunnel's header ends with this word, or an option follows."""
        m.d.comb += self.last.eq(condition)
        self._enter(m, _State.FRAME)
        if self.config.geneve:
            with m.If(~condition):
                self._enter(m, _State.SKIP)

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _reject_if(self, m, condition, reason):
        m.d.comb += [self._refuse.eq(condition), self._reason.eq(reason)]

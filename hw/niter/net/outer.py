"""The outer headers of a tunnel's datagram, read as a sequence of 32-bit words."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Verdict

from .config import OverlayConfig
from .endpoint import Endpoint
from .outer_layers import IPV6_ENDS, OuterLayers, OuterState
from .protocol import IpProtocol
from .stage import add_carry
from .sums import HalfSums

__all__ = ["OuterHeaders"]


class OuterHeaders(OuterLayers, wiring.Component):
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
        The card's addresses.

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

    def __init__(self, config: OverlayConfig, endpoint: Endpoint):
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
        self._state = Signal(OuterState)
        self._index = Signal(4)
        self._high = self.word[16:]
        self._low = self.word[:16]
        # A length field that counts what is left; and what IPv6's has to say.
        self._length = Signal(16)
        self._exact = Signal()
        self._payload = Signal(16)
        self._skip = Signal(6)
        # A word that was to be part of an address of the endpoint was not.
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
            self.frame.eq(state == OuterState.FRAME),
            self.question.eq(state == OuterState.QUESTION),
            self.ipv6.eq(state == OuterState.IPV6),
            self._endpoint.word.eq(self.word),
            self._length.eq(self._high),
            self._exact.eq(self._length == self.left),
        ]
        self._sum_ipv4(m)
        if self.config.verify:
            m.submodules.sums = sums = HalfSums()
            m.d.comb += sums.start.eq(self.frame | self.question)
        with m.If(self.stb):
            m.d.sync += [self._index.eq(self._index + 1), self.offset.eq(self.offset + 1)]
            # One word further than this one: less 2, and 4 for each before. UDP's length counts the
            # ports in front of it, too.
            with m.If((state != OuterState.UDP) | self._index[0]):
                m.d.sync += self.left.eq(self.length + ~Cat(C(1, 2), self.offset, C(0, 6)))
            if self.config.ipv6:
                m.d.sync += self._payload.eq(self.length - IPV6_ENDS)
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
            looking = (state == OuterState.ETHERNET) | self.question
            if self.config.ipv6:
                looking |= (state == OuterState.IPV6) & (self._index[1:] == 0)
            with m.If(self._foreign & ~looking):
                m.d.comb += [self._refuse.eq(1), self._reason.eq(Verdict.NOT_TUNNEL)]
            m.d.sync += [self._refused.eq(self._refuse), self._refused_for.eq(self._reason)]
            with m.If(self._refused | (self.ends & ~self.question)):
                m.d.sync += [
                    self.verdict.eq(Mux(self._refused, self._refused_for, Verdict.MALFORMED)),
                    state.eq(OuterState.FRAME),
                ]
        with m.If(self.start):
            m.d.sync += [
                state.eq(OuterState.ETHERNET),
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
        with m.If(self.stb & (self._state == OuterState.IPV4)):
            m.d.sync += summand.eq(self.word)
        with m.Else():
            m.d.sync += summand.eq(0)
        m.d.sync += self._summed.eq(add_carry(self._summed[:32], summand, self._summed[32]))
        with m.If(self._state == OuterState.ETHERNET):
            m.d.sync += self._summed.eq(0)

    def _verify(self, m, sums):
        """Sum what the checksum does not count, less the whole, and the pseudo-header's numbers
        (its addresses are counted twice). Returns that the checksum is there and wrong."""
        counted = Signal()
        first = Signal()
        with m.Switch(self._state):
            with m.Case(OuterState.ETHERNET):
                m.d.comb += [counted.eq(1), first.eq(self._index == 0)]
            with m.Case(OuterState.IPV4):
                m.d.comb += counted.eq(self._index < 3)
            with m.Case(OuterState.IPV6):
                m.d.comb += counted.eq(self._index < 2)
            with m.Case(OuterState.UDP):
                with m.If(self._index[0] == 0):
                    m.d.comb += [
                        sums.high.eq(~Cat(self.left, C(0, 1))),
                        sums.low.eq(0xFFFF - IpProtocol.UDP),
                    ]
                with m.Else():
                    m.d.sync += self._checked.eq(self._low != 0)
        with m.If(counted):
            m.d.comb += [sums.high.eq(Mux(first, ~self.sum, self._high)), sums.low.eq(self._low)]
        tunnel = (self._state == OuterState.TUNNEL) & (self._index[0] == 0)
        return tunnel & self._checked & ~sums.zero

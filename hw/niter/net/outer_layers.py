"""The layers of an outer header: Ethernet, IPv4 or IPv6, UDP, and VXLAN or GENEVE."""

from amaranth import Signal, Value
from amaranth.lib import enum

from niter.compare import less
from niter.interface import Verdict

from .config import OverlayConfig
from .endpoint import Endpoint, EndpointWords
from .protocol import EtherType, IpProtocol, UdpPort

__all__ = ["IPV6_ENDS", "OuterLayers", "OuterState"]

#: Bytes in front of what the length in an IPv6 header counts.
IPV6_ENDS = 14 + 40


class OuterState(enum.Enum, shape=3):
    """Which header the word at hand belongs to."""

    ETHERNET = 0
    IPV4 = 1
    IPV6 = 2
    UDP = 3
    TUNNEL = 4
    SKIP = 5
    FRAME = 6
    QUESTION = 7


class OuterLayers:
    """Part of ``OuterHeaders``, which has the registers; each method adds the cases of a header to
    the switch over its state."""

    config: OverlayConfig
    word: Signal
    left: Signal
    last: Signal
    vni: Signal
    ecn: Signal
    source: Signal
    source_ends: Signal
    _endpoint: Endpoint
    _high: Value
    _low: Value
    _state: Signal
    _index: Signal
    _length: Signal
    _exact: Signal
    _payload: Signal
    _skip: Signal
    _foreign: Signal
    _summed: Signal
    _geneve: Signal
    _refuse: Signal
    _reason: Signal

    def _ethernet(self, m):
        with m.Case(OuterState.ETHERNET):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.MAC | self._index[0])
            with m.If(self._index == 3), m.Switch(self._low):
                with m.Case(EtherType.IPV4):
                    self._enter(m, OuterState.IPV4)
                with m.Case(EtherType.ARP):
                    self._enter(m, OuterState.QUESTION)
                if self.config.ipv6:
                    with m.Case(EtherType.IPV6):
                        self._enter(m, OuterState.IPV6)
                with m.Default():
                    self._reject_if(m, 1, Verdict.NOT_TUNNEL)
            with m.Elif(self._index < 2):
                m.d.sync += self._foreign.eq(self._foreign | ~self._endpoint.own)

    def _ipv4(self, m):
        word = self.word
        with m.Case(OuterState.IPV4):
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
                    m.d.sync += self._foreign.eq(self._foreign | ~self._endpoint.own)
                    self._enter(m, OuterState.UDP)

    def _ipv6(self, m):
        word = self.word
        with m.Case(OuterState.IPV6):
            # The destination starts at word 6.
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV6 | (self._index[:2] ^ 2))
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self.ecn.eq(word[20:22])
                    self._reject_if(m, word[28:] != 6, Verdict.MALFORMED)
                with m.Case(1):
                    # Questions may be padded, but not cut.
                    asks = word[8:16] == IpProtocol.ICMPV6
                    whole = ~less(self._payload, self._high)
                    sound = (self._payload == self._high) | (asks & whole)
                    self._reject_if(m, ~sound, Verdict.MALFORMED)
                    with m.If(sound), m.Switch(word[8:16]):
                        with m.Case(IpProtocol.FRAGMENT):
                            self._reject_if(m, 1, Verdict.OUTER_FRAGMENT)
                        with m.Case(IpProtocol.ICMPV6):
                            self._enter(m, OuterState.QUESTION)
                        with m.Case(IpProtocol.UDP):
                            pass
                        with m.Default():
                            self._reject_if(m, 1, Verdict.NOT_TUNNEL)
                with m.Case(2, 3, 4, 5):
                    m.d.comb += [self.source.eq(1), self.source_ends.eq(self._index == 5)]
                with m.Case(6, 7, 8, 9):
                    m.d.sync += self._foreign.eq(self._foreign | ~self._endpoint.own)
                    with m.If(self._index == 9):
                        self._enter(m, OuterState.UDP)

    def _udp(self, m):
        with m.Case(OuterState.UDP):
            with m.If(self._index[0] == 0):
                other = self._low != UdpPort.VXLAN
                if self.config.geneve:
                    m.d.sync += self._geneve.eq(self._low == UdpPort.GENEVE)
                    other &= self._low != UdpPort.GENEVE
                self._reject_if(m, other, Verdict.NOT_TUNNEL)
            with m.Else():
                self._enter(m, OuterState.TUNNEL)
                self._reject_if(m, ~self._exact, Verdict.MALFORMED)

    def _tunnel(self, m):
        high, low = self._high, self._low
        with m.Case(OuterState.TUNNEL):
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
            with m.Case(OuterState.SKIP):
                m.d.sync += self._skip.eq(self._skip - 1)
                self._frame_follows(m, self._skip == 1)

    def _frame_follows(self, m, condition):
        """The tunnel's header ends with this word, or an option follows."""
        m.d.comb += self.last.eq(condition)
        self._enter(m, OuterState.FRAME)
        if self.config.geneve:
            with m.If(~condition):
                self._enter(m, OuterState.SKIP)

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _reject_if(self, m, condition, reason):
        m.d.comb += [self._refuse.eq(condition), self._reason.eq(reason)]

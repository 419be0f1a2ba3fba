"""Decapsulation: is this datagram for our tunnel endpoint, and the frame inside it."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import enum
from amaranth.lib.wiring import connect, flipped

from niter.interface import FrameBeat, Verdict
from niter.stream import PipeRegister, Realigner

from .config import OverlayConfig
from .protocol import EtherType, IpProtocol, UdpPort
from .stage import Stage, add_carry
from .table import Table

__all__ = ["Decapsulate", "EndpointWords"]

#: Beats that wait for the parser behind.
_BEATS_AHEAD = 4


class EndpointWords:
    """Where the words of the card's tunnel endpoint stand, most significant word first."""

    MAC = 0
    IPV4 = 4
    IPV6 = 8


class _State(enum.Enum, shape=3):
    ETHERNET = 0
    IPV4 = 1
    IPV6 = 2
    UDP = 3
    TUNNEL = 4
    SKIP = 5
    FRAME = 6


class Decapsulate(Stage):
    """Removes the outer headers of VXLAN (RFC 7348) and GENEVE (RFC 8926) datagrams.

    A datagram is taken when it is addressed to the endpoint's MAC and IP address and to the
    UDP port of a tunnel. Everything else is rejected, with the first reason that is met:

    ``NOT_TUNNEL``
        Another address, protocol, UDP port, or payload of GENEVE than Ethernet.
    ``MALFORMED``
        Cut off within the headers or nothing behind them; version or lengths that
        contradict the frame (padding behind the datagram included: one with a frame inside is
        never short); VXLAN without the I flag; GENEVE of another version.
    ``OUTER_FRAGMENT``, ``OUTER_CHECKSUM``
        The outer datagram is a fragment; its IPv4 header's checksum is wrong.
    ``OAM``, ``CRITICAL_OPTION``
        GENEVE with the O bit; with the C bit, since no option is known here.

    Options of GENEVE are skipped; an outer IPv4 header with options is no tunnel endpoint's
    (``NOT_TUNNEL``). The UDP checksum is not verified, which both
    RFCs allow and RFC 6936 asks to be considered: the frame inside has its own.

    Sets ``meta.vni``, ``meta.length``, ``meta.outer_ecn``, and ``meta.underlay`` until the
    function is known. What a rejected frame carries on is not defined, but for its length in
    bytes being at least one.

    It takes two bytes of the outer headers a cycle, then a beat a cycle: 25 cycles over
    IPv4, 35 over IPv6, and the beats of the inner frame.

    Parameters
    ----------
    config
        ``ipv6`` and ``geneve``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._endpoint = Table(16, 16, "Addresses of the card's tunnel endpoint.", registered=False)
        super().__init__(blocks={"endpoint": self._endpoint})
        self._state = Signal(_State)
        self._index = Signal(5)
        self._offset = Signal(8)
        self._start = Signal(3)
        self._slack = Signal(signed(7))
        self._skip = Signal(7)
        self._word = Signal(16)
        # The word is the endpoint's; the word is the length that the frame really has.
        self._own = Signal()
        self._exact = Signal()
        self._sum = Signal(17)
        self._geneve = Signal()
        self._vni = Signal(24)
        self._ecn = Signal(2)
        self._verdict = Signal(Verdict)
        # The word is reason to reject the frame; which reason follows from its place alone.
        self._refuse = Signal()
        self._reason = Signal(Verdict)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.register = register = PipeRegister(FrameBeat)
        connect(m, flipped(self.i), register.i)
        m.submodules.realigner = realigner = Realigner(
            FrameBeat, turns={2, 6} if self.config.ipv6 or self.config.geneve else {6}
        )
        # The parser behind takes four cycles a beat: while it reads these, the next datagram's
        # outer headers are read here.
        upstream = realigner.o
        for n in range(_BEATS_AHEAD):
            m.submodules[f"ahead_{n}"] = ahead = PipeRegister(FrameBeat)
            connect(m, upstream, ahead.i)
            upstream = ahead.o
        connect(m, upstream, flipped(self.o))
        packet, meta = register.o.payload.packet, register.o.payload.meta
        piece = realigner.i.payload

        lane = Signal(2)
        first = Signal()
        step = Signal()
        ends = Signal()
        left = Signal(15)
        m.d.comb += [
            step.eq(register.o.valid & (self._state != _State.FRAME)),
            # Nothing is left behind this word, which may itself be half a word.
            ends.eq(packet.last & (lane == ~packet.empty[1:])),
            self._word.eq(Cat(packet.data.word_select(Cat(high, lane), 8) for high in (1, 0))),
            self._own.eq(self._word == self._endpoint.data),
            # A length field counts from its own place on, but for `slack` bytes.
            left.eq(meta.length - Cat(0, self._offset)),
            self._exact.eq(self._word == (left + self._slack)[:16]),
        ]
        with m.If(step):
            m.d.sync += [
                lane.eq(lane + 1),
                self._start.eq(Cat(0, 1, lane[1])),
                first.eq(1),
                self._index.eq(self._index + 1),
                self._offset.eq(self._offset + 1),
            ]
            m.d.comb += register.o.ready.eq(lane.all())
            with m.Switch(self._state):
                self._ethernet(m)
                self._ipv4(m)
                if self.config.ipv6:
                    self._ipv6(m)
                self._udp(m)
                self._tunnel(m)
            with m.If(self._refuse | ends):
                m.d.sync += [
                    self._verdict.eq(Mux(ends, Verdict.MALFORMED, self._reason)),
                    self._state.eq(_State.FRAME),
                    self._start.eq(0),
                ]
                m.d.comb += register.o.ready.eq(lane.all() & ~ends)

        # What has been rejected leaves from the first byte of the beat at hand.
        with m.If(self._state == _State.FRAME):
            m.d.comb += [
                realigner.i.valid.eq(register.o.valid),
                register.o.ready.eq(realigner.i.ready),
            ]
            with m.If(register.o.valid & register.o.ready):
                m.d.sync += first.eq(0)
                with m.If(packet.last):
                    m.d.sync += [
                        self._state.eq(_State.ETHERNET),
                        self._verdict.eq(Verdict.PASS),
                        self._index.eq(0),
                        self._offset.eq(0),
                        self._geneve.eq(0),
                        lane.eq(0),
                    ]
        m.d.comb += [
            piece.packet.eq(packet),
            piece.start.eq(Mux(first, self._start, 0)),
            piece.sideband.meta.eq(meta),
            piece.sideband.meta.underlay.eq(1),
            piece.sideband.meta.vni.eq(self._vni),
            piece.sideband.meta.outer_ecn.eq(self._ecn),
            piece.sideband.meta.length.eq(left),
        ]
        with m.If(meta.verdict == Verdict.PASS):
            m.d.comb += piece.sideband.meta.verdict.eq(self._verdict)
        return m

    def _ethernet(self, m):
        with m.Case(_State.ETHERNET):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.MAC | self._index[:2])
            with m.If(self._index == 6), m.Switch(self._word):
                with m.Case(EtherType.IPV4):
                    self._enter(m, _State.IPV4)
                if self.config.ipv6:
                    with m.Case(EtherType.IPV6):
                        self._enter(m, _State.IPV6)
                with m.Default():
                    self._reject_if(m, 1, Verdict.NOT_TUNNEL)
            with m.Elif(self._index < 3):
                self._reject_if(m, ~self._own, Verdict.NOT_TUNNEL)

    def _ipv4(self, m):
        word = self._word
        with m.Case(_State.IPV4):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV4 | self._index[0])
            # Each word folds the carry of the one before.
            m.d.sync += self._sum.eq(add_carry(self._sum[:16], word, self._sum[16]))
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += [self._sum.eq(word), self._ecn.eq(word[:2])]
                    self._reject_if(m, word[8:] != 0x45, Verdict.MALFORMED)
                    with m.If((word[12:] == 4) & (word[8:12] > 5)):
                        m.d.comb += self._reason.eq(Verdict.NOT_TUNNEL)
                with m.Case(1):
                    m.d.comb += self._slack.eq(2)
                    self._reject_if(m, ~self._exact, Verdict.MALFORMED)
                with m.Case(3):
                    self._reject_if(m, word[:14] != 0, Verdict.OUTER_FRAGMENT)
                with m.Case(4):
                    self._reject_if(m, word[:8] != IpProtocol.UDP, Verdict.NOT_TUNNEL)
                with m.Case(8, 9):
                    with m.If(self._index[0]):
                        self._enter(m, _State.UDP)
                    self._reject_if(m, ~self._own, Verdict.NOT_TUNNEL)

    def _ipv6(self, m):
        word = self._word
        with m.Case(_State.IPV6):
            # The destination starts at word 12.
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV6 | (self._index[:3] ^ 4))
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self._ecn.eq(word[4:6])
                    # No header checksum: what is checked later is right.
                    m.d.sync += self._sum.eq(0xFFFF)
                    self._reject_if(m, word[12:] != 6, Verdict.MALFORMED)
                with m.Case(2):
                    m.d.comb += self._slack.eq(-36)
                    self._reject_if(m, ~self._exact, Verdict.MALFORMED)
                with m.Case(3):
                    with m.If(word[8:] == IpProtocol.FRAGMENT):
                        self._reject_if(m, 1, Verdict.OUTER_FRAGMENT)
                    with m.Else():
                        self._reject_if(m, word[8:] != IpProtocol.UDP, Verdict.NOT_TUNNEL)
                with m.Case(*range(12, 20)):
                    with m.If(self._index == 19):
                        self._enter(m, _State.UDP)
                    self._reject_if(m, ~self._own, Verdict.NOT_TUNNEL)

    def _udp(self, m):
        word = self._word
        with m.Case(_State.UDP), m.Switch(self._index):
            with m.Case(0):
                m.d.sync += self._sum.eq(add_carry(self._sum[:16], 0, self._sum[16]))
            with m.Case(1):
                other = word != UdpPort.VXLAN
                if self.config.geneve:
                    m.d.sync += self._geneve.eq(word == UdpPort.GENEVE)
                    other &= word != UdpPort.GENEVE
                self._reject_if(m, other, Verdict.NOT_TUNNEL)
                with m.If(~self._sum[:16].all()):
                    self._reject_if(m, 1, Verdict.OUTER_CHECKSUM)
            with m.Case(2):
                m.d.comb += self._slack.eq(4)
                self._reject_if(m, ~self._exact, Verdict.MALFORMED)
            with m.Case(3):
                self._enter(m, _State.TUNNEL)

    def _tunnel(self, m):
        word = self._word
        with m.Case(_State.TUNNEL), m.Switch(self._index):
            with m.Case(0):
                if self.config.geneve:
                    m.d.sync += self._skip.eq(Cat(0, word[8:14]) & self._geneve.replicate(7))
                    with m.If(self._geneve):
                        self._reject_if(m, (word[14:] != 0) | word[6:8].any(), Verdict.MALFORMED)
                        with m.If(word[14:] == 0):
                            reason = Mux(word[7], Verdict.OAM, Verdict.CRITICAL_OPTION)
                            m.d.comb += self._reason.eq(reason)
                with m.If(~self._geneve):
                    self._reject_if(m, ~word[11], Verdict.MALFORMED)
            with m.Case(1):
                if self.config.geneve:
                    bridged = word == EtherType.BRIDGED
                    self._reject_if(m, self._geneve & ~bridged, Verdict.NOT_TUNNEL)
            with m.Case(2):
                m.d.sync += self._vni[8:].eq(word)
            with m.Case(3):
                m.d.sync += self._vni[:8].eq(word[8:])
                self._enter(m, _State.FRAME)
                if self.config.geneve:
                    with m.If(self._skip != 0):
                        self._enter(m, _State.SKIP)
        if self.config.geneve:
            with m.Case(_State.SKIP):
                m.d.sync += self._skip.eq(self._skip - 1)
                with m.If(self._skip == 1):
                    self._enter(m, _State.FRAME)

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _reject_if(self, m, condition, reason):
        m.d.comb += [self._refuse.eq(condition), self._reason.eq(reason)]

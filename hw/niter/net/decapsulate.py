"""Decapsulation: is this datagram for our tunnel endpoint, and the frame inside it."""

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import enum
from amaranth.lib.wiring import connect, flipped

from niter.interface import FrameBeat, Verdict
from niter.stream import PipeRegister, Realigner, SkidBuffer

from .config import OverlayConfig
from .peers import Peers
from .protocol import EtherType, IpProtocol, UdpPort
from .stage import Stage, add_carry
from .sums import HalfSums
from .table import Table

__all__ = ["Decapsulate", "EndpointWords"]

#: Beats that wait for the parser behind.
_BEATS_AHEAD = 4


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
        The outer datagram is a fragment; its IPv4 header's checksum is wrong, or its own.
    ``UNKNOWN_ENDPOINT``
        With ``config.peers``: the source address is not in the table ``peers``.
    ``OAM``, ``CRITICAL_OPTION``
        GENEVE with the O bit; with the C bit, since no option is known here.

    Options of GENEVE are skipped; an outer IPv4 header with options is no tunnel endpoint's
    (``NOT_TUNNEL``). The UDP checksum is verified with ``config.verify``, where there
    is one, from ``meta.sums[0]``, the sum of the whole frame; ``meta.sums`` are then those of the
    frame inside. Without it the checksum is not looked at, which both RFCs allow and RFC 6936
    asks to be considered: the frame inside has its own.

    Sets ``meta.vni``, ``meta.length``, ``meta.outer_ecn``, and ``meta.underlay`` until the
    function is known. What a rejected frame carries on is not defined, and neither is its
    ``meta.length``, but there is at least one byte of it.

    It takes four bytes of the outer headers a cycle, then a beat a cycle: 13 cycles over
    IPv4, 18 over IPv6, and the beats of the inner frame.

    Parameters
    ----------
    config
        ``ipv6``, ``geneve``, ``verify`` and ``peers``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        doc = "Addresses of the card's tunnel endpoint."
        self._endpoint = Table(32, 8, doc, registered=False)
        blocks = {"endpoint": self._endpoint}
        if config.peers:
            blocks["peers"] = self._peers = Peers(config.peers, ipv6=config.ipv6)
        super().__init__(blocks=blocks)
        self._state = Signal(_State)
        self._index = Signal(4)
        self._offset = Signal(7)
        self._start = Signal(3)
        self._word = Signal(32)
        self._high = self._word[16:]
        self._low = self._word[:16]
        # Bytes from this word to the frame's end; a length field, and what it counts beside them.
        self._left = Signal(15)
        self._length = Signal(16)
        self._slack = Signal(signed(7))
        self._exact = Signal()
        self._skip = Signal(6)
        # The word is part of an address of the endpoint; the one before was to be and was not.
        self._own = Signal()
        self._foreign = Signal()
        # Sums of the high and the low halves of the IPv4 header, carries still to be added.
        self._sums = [Signal(17, name=f"sum_{n}") for n in range(2)]
        self._geneve = Signal()
        self._vni = Signal(24)
        self._ecn = Signal(2)
        self._verdict = Signal(Verdict)
        # The word is reason to reject the frame; which reason follows from its place alone. It is
        # rejected with the word behind, so that this is no part of the way to `ready`.
        self._refuse = Signal()
        self._reason = Signal(Verdict)
        self._refused = Signal()
        self._refused_for = Signal(Verdict)
        self._enters_frame = Signal()
        # The datagram has a checksum.
        self._checked = Signal()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.register = register = SkidBuffer(FrameBeat)
        connect(m, flipped(self.i), register.i)
        ends = {2, 6} if self.config.ipv6 or self.config.geneve else {6}
        m.submodules.realigner = realigner = Realigner(FrameBeat, turns=ends, stops=ends)
        # The parser behind takes two cycles a beat: while it reads these, the next datagram's
        # outer headers are read here.
        upstream = realigner.o
        for n in range(_BEATS_AHEAD - 2):
            m.submodules[f"ahead_{n}"] = ahead = PipeRegister(FrameBeat)
            connect(m, upstream, ahead.i)
            upstream = ahead.o
        # Two of them are a skid buffer: the parser's `ready` must not go through all in one cycle.
        m.submodules.turn = turn = SkidBuffer(FrameBeat)
        connect(m, upstream, turn.i)
        connect(m, turn.o, flipped(self.o))
        packet, meta = register.o.payload.packet, register.o.payload.meta
        piece = realigner.i.payload

        # Two words a beat: they begin at lanes 6 and 2, so that the IP header begins with one.
        half = Signal()
        carried = Signal(16)
        lanes = [packet.data.word_select(n, 8) for n in range(8)]
        first = Signal()
        step = Signal()
        ends = Signal()
        left = self._left
        m.d.comb += [
            step.eq(register.o.valid & (self._state != _State.FRAME)),
            # Nothing is left behind this word, which may itself be a part of one. Two bytes
            # behind the second word are a part of the next.
            ends.eq(
                packet.last
                & Mux(half, (packet.empty >= 2) | ~self._enters_frame, packet.empty >= 6)
            ),
            self._word.eq(
                Mux(
                    half,
                    Cat(lanes[5], lanes[4], lanes[3], lanes[2]),
                    Cat(lanes[1], lanes[0], carried),
                )
            ),
            self._own.eq(self._word == self._endpoint.data),
            self._length.eq(self._high),
            self._exact.eq(self._length == (left + self._slack)[:16]),
        ]
        settled = Signal()
        m.d.comb += settled.eq(1)
        known: Value = C(1)
        if self.config.peers:
            self._ask(m, step)
            known = self._peers.known
            # Who was rejected before has not been looked for.
            with m.If((self._verdict == Verdict.PASS) & ~self._peers.done):
                m.d.comb += settled.eq(0)
        # Sums over all that is taken off, and over what a checksum of the datagram counts.
        if self.config.verify:
            m.submodules.outer_sums = outer_sums = HalfSums()
            m.submodules.frame_sums = frame_sums = HalfSums()
            begins = (self._state == _State.ETHERNET) & (self._index == 0)
            summed = Signal()
            m.d.sync += summed.eq(self._state == _State.FRAME)
            with m.If(~summed):
                m.d.comb += settled.eq(0)
            m.d.comb += [
                outer_sums.start.eq(self._state == _State.FRAME),
                frame_sums.start.eq(register.o.valid & register.o.ready & packet.last),
            ]
            with m.If(step):
                m.d.comb += [
                    frame_sums.high.eq(Mux(begins, ~meta.sums[0], self._high)),
                    frame_sums.low.eq(self._low),
                ]
        with m.If(step):
            m.d.sync += [
                half.eq(~half),
                self._start.eq(Mux(half, 6, 2)),
                first.eq(1),
                self._index.eq(self._index + 1),
                self._offset.eq(self._offset + 1),
                self._foreign.eq(0),
            ]
            # One word further than this one: less 2, and 4 for each before. UDP's length counts the
            # ports in front of it, too.
            with m.If((self._state != _State.UDP) | self._index[0]):
                m.d.sync += left.eq(meta.length + ~Cat(C(1, 2), self._offset, C(0, 6)))
            m.d.comb += register.o.ready.eq(half & ~self._enters_frame & ~ends)
            with m.Switch(self._state):
                self._ethernet(m)
                self._ipv4(m)
                if self.config.ipv6:
                    self._ipv6(m)
                self._udp(m)
                self._tunnel(m)
            if self.config.verify:
                with m.If(self._verify(m, left, meta.sums[0], outer_sums)):
                    m.d.comb += [self._refuse.eq(1), self._reason.eq(Verdict.OUTER_CHECKSUM)]
            with m.If(self._foreign):
                m.d.comb += [self._refuse.eq(1), self._reason.eq(Verdict.NOT_TUNNEL)]
            m.d.sync += [self._refused.eq(self._refuse), self._refused_for.eq(self._reason)]
            with m.If(self._refused | ends):
                m.d.sync += [
                    self._verdict.eq(Mux(self._refused, self._refused_for, Verdict.MALFORMED)),
                    self._state.eq(_State.FRAME),
                    self._start.eq(0),
                ]
        with m.If(register.o.ready):
            m.d.sync += carried.eq(Cat(lanes[7], lanes[6]))
        # A condition by itself becomes the registers' reset, and costs nothing a bit.
        with m.If(self._state == _State.FRAME):
            m.d.sync += carried.eq(0)

        # What has been rejected leaves from the first byte of the beat at hand.
        with m.If((self._state == _State.FRAME) & settled):
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
                        self._foreign.eq(0),
                        self._refused.eq(0),
                        half.eq(0),
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
        if self.config.verify:
            for n, total in enumerate(frame_sums.sums):
                m.d.comb += piece.sideband.meta.sums[n].eq(~total)
        with m.If(meta.verdict == Verdict.PASS):
            m.d.comb += piece.sideband.meta.verdict.eq(self._verdict)
            with m.If((self._verdict == Verdict.PASS) & ~known):
                m.d.comb += piece.sideband.meta.verdict.eq(Verdict.UNKNOWN_ENDPOINT)
        return m

    def _ask(self, m, step):
        """Look for the datagram's source while the rest of its headers is read."""
        peers = self._peers
        address = Signal(128)
        is_ipv6 = self._state == _State.IPV6
        source = (self._state == _State.IPV4) & (self._index == 3)
        if self.config.ipv6:
            source |= is_ipv6 & (self._index >= 2) & (self._index < 6)
        m.d.comb += peers.address.eq(address)
        ends = step & source & (~is_ipv6 | (self._index == 5))
        m.d.sync += peers.start.eq(ends)
        with m.If(step & source):
            m.d.sync += [address.eq(Cat(self._word, address)[:128]), peers.is_ipv6.eq(is_ipv6)]

    def _verify(self, m, left, whole, sums):
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
                        sums.high.eq(~Cat(left, C(0, 1))),
                        sums.low.eq(0xFFFF - IpProtocol.UDP),
                    ]
                with m.Else():
                    m.d.sync += self._checked.eq(self._low != 0)
        with m.If(counted):
            m.d.comb += [sums.high.eq(Mux(first, ~whole, self._high)), sums.low.eq(self._low)]
        tunnel = (self._state == _State.TUNNEL) & (self._index[0] == 0)
        return tunnel & self._checked & ~sums.zero

    def _ethernet(self, m):
        with m.Case(_State.ETHERNET):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.MAC | self._index[0])
            with m.If(self._index == 3), m.Switch(self._low):
                with m.Case(EtherType.IPV4):
                    self._enter(m, _State.IPV4)
                if self.config.ipv6:
                    with m.Case(EtherType.IPV6):
                        self._enter(m, _State.IPV6)
                with m.Default():
                    self._reject_if(m, 1, Verdict.NOT_TUNNEL)
            with m.Elif(self._index < 2):
                m.d.sync += self._foreign.eq(~self._own)
            self._sum(m, clear=True)

    def _ipv4(self, m):
        word = self._word
        with m.Case(_State.IPV4):
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV4)
            self._sum(m, self._low, self._high)
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self._ecn.eq(word[16:18])
                    m.d.comb += self._length.eq(self._low)
                    version, words = word[28:], word[24:28]
                    self._reject_if(m, (word[24:] != 0x45) | ~self._exact, Verdict.MALFORMED)
                    with m.If((version == 4) & (words > 5)):
                        m.d.comb += self._reason.eq(Verdict.NOT_TUNNEL)
                with m.Case(1):
                    self._reject_if(m, word[:14] != 0, Verdict.OUTER_FRAGMENT)
                with m.Case(2):
                    self._reject_if(m, word[16:24] != IpProtocol.UDP, Verdict.NOT_TUNNEL)
                with m.Case(4):
                    m.d.sync += self._foreign.eq(~self._own)
                    self._enter(m, _State.UDP)

    def _ipv6(self, m):
        word = self._word
        with m.Case(_State.IPV6):
            # The destination starts at word 6.
            m.d.comb += self._endpoint.addr.eq(EndpointWords.IPV6 | (self._index[:2] ^ 2))
            with m.Switch(self._index):
                with m.Case(0):
                    m.d.sync += self._ecn.eq(word[20:22])
                    self._reject_if(m, word[28:] != 6, Verdict.MALFORMED)
                with m.Case(1):
                    m.d.comb += self._slack.eq(-36)
                    self._reject_if(m, ~self._exact, Verdict.MALFORMED)
                    with m.If(self._exact & (word[8:16] == IpProtocol.FRAGMENT)):
                        self._reject_if(m, 1, Verdict.OUTER_FRAGMENT)
                    with m.Elif(self._exact):
                        self._reject_if(m, word[8:16] != IpProtocol.UDP, Verdict.NOT_TUNNEL)
                with m.Case(6, 7, 8, 9):
                    m.d.sync += self._foreign.eq(~self._own)
                    with m.If(self._index == 9):
                        self._enter(m, _State.UDP)

    def _udp(self, m):
        with m.Case(_State.UDP):
            with m.If(self._index[0] == 0):
                # The sums' last carries. An IPv6 header has no checksum: its sums are zero.
                self._sum(m, 0, 0)
                other = self._low != UdpPort.VXLAN
                if self.config.geneve:
                    m.d.sync += self._geneve.eq(self._low == UdpPort.GENEVE)
                    other &= self._low != UdpPort.GENEVE
                self._reject_if(m, other, Verdict.NOT_TUNNEL)
            with m.Else():
                self._enter(m, _State.TUNNEL)
                self._reject_if(m, ~self._exact, Verdict.MALFORMED)
                low, high = (total[:16] for total in self._sums)
                summed = (low == ~high) | Cat(low, high).all()
                if self.config.ipv6:
                    summed |= Cat(low, high) == 0
                with m.If(~summed):
                    self._reject_if(m, 1, Verdict.OUTER_CHECKSUM)

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
            with m.Else():
                m.d.sync += self._vni.eq(self._word[8:])
                self._frame_follows(m, ~self._skip.any() if self.config.geneve else 1)
        if self.config.geneve:
            with m.Case(_State.SKIP):
                m.d.sync += self._skip.eq(self._skip - 1)
                self._frame_follows(m, self._skip == 1)

    def _frame_follows(self, m, condition):
        """The tunnel's header ends with this word, or an option follows."""
        m.d.comb += self._enters_frame.eq(condition)
        self._enter(m, _State.FRAME)
        if self.config.geneve:
            with m.If(~condition):
                self._enter(m, _State.SKIP)

    def _sum(self, m, *halves, clear=False):
        for n, total in enumerate(self._sums):
            if clear:
                m.d.sync += total.eq(0)
            else:
                m.d.sync += total.eq(add_carry(total[:16], halves[n], total[16]))

    def _enter(self, m, state):
        m.d.sync += [self._state.eq(state), self._index.eq(0)]

    def _reject_if(self, m, condition, reason):
        m.d.comb += [self._refuse.eq(condition), self._reason.eq(reason)]

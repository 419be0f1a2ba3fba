"""Decapsulation: is this datagram for our tunnel endpoint, and the frame inside it."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Out, connect, flipped

from niter.compare import below
from niter.interface import FrameBeat, Verdict
from niter.stream import HalfBuffer, PipeRegister, Realigner, SkidBuffer

from .config import OverlayConfig
from .endpoint import Endpoint
from .outer import OuterHeaders
from .peers import Peers
from .stage import Stage
from .sums import HalfSums
from .underlay import QUESTION_WORDS, Questions, QuestionWord

__all__ = ["Decapsulate"]

#: Beats that wait for the parser behind.
_BEATS_AHEAD = 4

#: Bytes of a question that are read: of an ARP request, and of a neighbour solicitation.
_QUESTION_BYTES = (42, 78)


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

    ARP and, with ``config.ipv6``, ICMPv6 end here: what a question needs goes to ``questions``, one
    at a time; a frame that comes while another waits there, or is too short, is lost.

    It takes four bytes of the outer headers a cycle, then a beat a cycle: 13 cycles over
    IPv4, 18 over IPv6, and the beats of the inner frame.

    Parameters
    ----------
    config
        ``ipv6``, ``geneve``, ``verify`` and ``peers``.

    Members
    -------
    questions : Out(stream.Signature(QuestionWord))
        Frames that ask the card itself, word by word.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._endpoint = Endpoint(ipv6=config.ipv6)
        blocks = {"endpoint": self._endpoint}
        if config.peers:
            blocks["peers"] = self._peers = Peers(config.peers, ipv6=config.ipv6)
        ports = {"questions": Out(stream.Signature(QuestionWord))}
        super().__init__(blocks=blocks, ports=ports)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.register = register = PipeRegister(FrameBeat)
        connect(m, flipped(self.i), register.i)
        ends = {2, 6} if self.config.ipv6 or self.config.geneve else {6}
        m.submodules.realigner = realigner = Realigner(FrameBeat, turns=ends, stops=ends)
        # The parser behind takes two cycles a beat: while it reads these, the next datagram's
        # outer headers are read here. The parser's `ready` must not go through all in one cycle,
        # and the buffer in front is far enough from here. One port's beats come in every fourth.
        kind, held = (HalfBuffer, 1) if self.config.ports == 1 else (SkidBuffer, 2)
        m.submodules.turn = turn = kind(FrameBeat)
        connect(m, realigner.o, turn.i)
        upstream = turn.o
        for n in range(_BEATS_AHEAD - held):
            m.submodules[f"ahead_{n}"] = ahead = PipeRegister(FrameBeat)
            connect(m, upstream, ahead.i)
            upstream = ahead.o
        connect(m, upstream, flipped(self.o))
        m.submodules.outer = outer = OuterHeaders(self.config, self._endpoint)
        packet, meta = register.o.payload.packet, register.o.payload.meta
        piece = realigner.i.payload

        # Two words a beat: they begin at lanes 6 and 2, so that the IP header begins with one.
        half = Signal()
        carried = Signal(16)
        lanes = [packet.data.word_select(n, 8) for n in range(8)]
        start = Signal(3)
        first = Signal()
        asked = Signal()
        m.d.comb += [
            outer.start.eq(register.o.valid & register.o.ready & packet.last),
            outer.length.eq(meta.length),
            outer.sum.eq(meta.sums[0]),
            outer.stb.eq(register.o.valid & ~outer.frame & ~asked),
            # Nothing is left behind this word, which may itself be a part of one. Two bytes
            # behind the second word are a part of the next.
            outer.ends.eq(
                packet.last & Mux(half, (packet.empty >= 2) | ~outer.last, packet.empty >= 6)
            ),
            outer.word.eq(
                Mux(
                    half,
                    Cat(lanes[5], lanes[4], lanes[3], lanes[2]),
                    Cat(lanes[1], lanes[0], carried),
                )
            ),
        ]
        with m.If(outer.stb):
            m.d.sync += [half.eq(~half), start.eq(Mux(half, 6, 2)), first.eq(1)]
            # A question is not left before all of it has been read.
            m.d.comb += register.o.ready.eq(
                half & ~outer.last & ~Mux(outer.question, packet.last, outer.ends)
            )
        with m.If(register.o.ready):
            m.d.sync += carried.eq(Cat(lanes[7], lanes[6]))
        # A condition by itself becomes the registers' reset, and costs nothing a bit.
        with m.If(outer.frame | asked):
            m.d.sync += carried.eq(0)

        known, settled = self._settle(m, register.o, outer)
        with m.If(outer.frame & settled):
            m.d.comb += [
                realigner.i.valid.eq(register.o.valid),
                register.o.ready.eq(realigner.i.ready),
            ]
            with m.If(register.o.valid & register.o.ready):
                m.d.sync += first.eq(0)
        self._hand_on_questions(m, outer, meta, asked)
        with m.If(asked):
            m.d.comb += register.o.ready.eq(1)
        with m.If(outer.start):
            m.d.sync += half.eq(0)

        m.d.comb += [
            piece.packet.eq(packet),
            # What has been rejected leaves from the first byte of the beat at hand.
            piece.start.eq(Mux(first & (outer.verdict == Verdict.PASS), start, 0)),
            piece.sideband.meta.eq(meta),
            piece.sideband.meta.underlay.eq(1),
            piece.sideband.meta.vni.eq(outer.vni),
            piece.sideband.meta.outer_ecn.eq(outer.ecn),
            piece.sideband.meta.length.eq(outer.left),
        ]
        if self.config.verify:
            self._sum_frame(m, outer, register.o, piece.sideband.meta)
        with m.If(meta.verdict == Verdict.PASS):
            m.d.comb += piece.sideband.meta.verdict.eq(outer.verdict)
            with m.If((outer.verdict == Verdict.PASS) & ~known):
                m.d.comb += piece.sideband.meta.verdict.eq(Verdict.UNKNOWN_ENDPOINT)
        return m

    def _hand_on_questions(self, m, outer, meta, asked):
        """Gather words; ``asked`` is high when those of a question are all there."""
        m.submodules.asking = asking = Questions(QUESTION_WORDS[self.config.ipv6])
        connect(m, asking.o, flipped(self.questions))
        enough = ~below(meta.length, _QUESTION_BYTES[0])
        if self.config.ipv6:
            ipv6 = Signal()
            with m.If(outer.stb & ~outer.question):
                m.d.sync += ipv6.eq(outer.ipv6)
            enough = Mux(ipv6, ~below(meta.length, _QUESTION_BYTES[1]), enough)
        m.d.comb += [
            asked.eq(outer.question & (outer.offset == QUESTION_WORDS[self.config.ipv6])),
            asking.first.eq(outer.offset == 0),
            asking.stb.eq(outer.stb),
            asking.word.eq(outer.word),
            asking.port.eq(meta.port),
            asking.keep.eq(outer.start & asked & enough),
        ]

    def _settle(self, m, register, outer):
        """Whether the source is known, and whether all is that the frame's meta needs."""
        settled = Signal()
        known: Value = C(1)
        m.d.comb += settled.eq(1)
        if self.config.peers:
            # Look for the datagram's source while the rest of its headers is read.
            peers = self._peers
            known = peers.known
            address = Signal(128)
            taken = outer.stb & outer.source
            m.d.comb += peers.address.eq(address)
            m.d.sync += peers.start.eq(taken & outer.source_ends)
            with m.If(taken):
                m.d.sync += [
                    address.eq(Cat(outer.word, address)[:128]),
                    peers.is_ipv6.eq(outer.ipv6),
                ]
            # Who was rejected before has not been looked for.
            with m.If((outer.verdict == Verdict.PASS) & ~peers.done):
                m.d.comb += settled.eq(0)
        if self.config.verify:
            summed = Signal()
            m.d.sync += summed.eq(outer.frame)
            with m.If(~summed):
                m.d.comb += settled.eq(0)
        return known, settled

    def _sum_frame(self, m, outer, register, meta):
        """The sums of the frame inside: those of the whole less what is taken off."""
        whole = register.payload.meta.sums[0]
        m.submodules.frame_sums = frame_sums = HalfSums()
        m.d.comb += frame_sums.start.eq(outer.start)
        with m.If(outer.stb):
            m.d.comb += [
                frame_sums.high.eq(Mux(outer.offset == 0, ~whole, outer.word[16:])),
                frame_sums.low.eq(outer.word[:16]),
            ]
        for n, total in enumerate(frame_sums.sums):
            m.d.comb += meta.sums[n].eq(~total)

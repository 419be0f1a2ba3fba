"""Congestion marks that a frame met in its tunnel go on inside it."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import connect, flipped

from niter.interface import FrameBeat, Verdict
from niter.stream import PipeRegister

from .config import OverlayConfig
from .stage import Stage, pass_frame

__all__ = ["CombineEcn"]

_NOT_ECT, _ECT1, _ECT0, _CE = range(4)


class CombineEcn(Stage):
    """Combines ``meta.outer_ecn`` with the ECN field of the frame's own IP header as RFC 6040,
    4.2 says: CE outside makes CE inside, or the verdict ``CONGESTION`` when the inner
    transport knows no ECN, for the card to count; ECT(1) outside makes ECT(1) of ECT(0). The IPv4
    header checksum is corrected (RFC 1624). Frames that are not IP pass.

    Latency 1 cycle: the beats come from block memory, late in theirs.

    Parameters
    ----------
    config
        Not looked at.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.register = register = PipeRegister(FrameBeat)
        connect(m, flipped(self.i), register.i)
        m.d.comb += pass_frame(register.o, self.o)
        packet, meta = register.o.payload.packet, register.o.payload.meta
        headers = meta.headers
        out = self.o.payload

        inner = headers.tos[:2]
        is_ip = headers.ipv4 | headers.ipv6
        marked = Signal()
        weakened = Signal()
        m.d.comb += [
            marked.eq(is_ip & (meta.outer_ecn == _CE)),
            weakened.eq(is_ip & (meta.outer_ecn == _ECT1) & (inner == _ECT0)),
        ]
        with m.If(marked & (inner == _NOT_ECT) & (meta.verdict == Verdict.PASS)):
            m.d.comb += [out.meta.verdict.eq(Verdict.CONGESTION), out.meta.underlay.eq(1)]

        # The field grows by 1 to 3 or shrinks by 1, and the checksum, which is the complement of a
        # sum, changes the other way, in ones' complement: what passes zero goes one further.
        beat = Signal(3)
        change = Signal()
        growth = Signal(2)
        step = Signal(signed(4))
        checksum = Signal(16)
        wraps = Signal()
        corrected = Signal(16)
        ecn = Signal(2)
        tagged = headers.vlan
        big_endian = packet.data.word_select(Mux(tagged, 2, 0), 16)
        m.d.comb += [
            change.eq((marked & (inner != _CE)) | weakened),
            ecn.eq(Mux(marked, _CE, _ECT1)),
            checksum.eq(Cat(big_endian[8:], big_endian[:8])),
            growth.eq(_CE - inner),
        ]
        with m.If(weakened):
            m.d.comb += [wraps.eq(checksum.all()), step.eq(1 + wraps)]
        with m.Else():
            m.d.comb += [
                wraps.eq((checksum[2:] == 0) & (checksum[:2] <= growth)),
                step.eq(-(growth + wraps)),
            ]
        m.d.comb += corrected.eq(checksum + step)
        with m.If(self.o.valid & self.o.ready):
            with m.If(packet.last):
                m.d.sync += beat.eq(0)
            with m.Elif(~beat.all()):
                m.d.sync += beat.eq(beat + 1)

        # The type of service is byte 15, or 19 behind a tag; in IPv6 it is four bits on.
        byte = out.packet.data.word_select(Mux(tagged, 3, 7), 8)
        with m.If(change & (beat == Mux(tagged, 2, 1))):
            with m.If(headers.ipv4):
                m.d.comb += byte[:2].eq(ecn)
            with m.Else():
                m.d.comb += byte[4:6].eq(ecn)
        with m.If(change & headers.ipv4 & (beat == 3)):
            field = out.packet.data.word_select(Mux(tagged, 2, 0), 16)
            m.d.comb += field.eq(Cat(corrected[8:], corrected[:8]))
        return m

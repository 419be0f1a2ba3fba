"""Frames from the wire that speak to the card itself, not to a tenant."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import BEAT_BYTES, Beat, FrameBeat, FrameStream
from niter.stream import PipeRegister

from .config import OverlayConfig
from .delay import DelayLine
from .protocol import EtherType, IpProtocol

__all__ = ["Divert", "Questions"]


def _big_endian(packet, at):
    """The 16 bits at byte ``at`` of a beat."""
    return Cat(packet.data.word_select(at + 1, 8), packet.data.word_select(at, 8))


class Divert(wiring.Component):
    """Sends ARP, and with IPv6 also ICMPv6, another way than everything else.

    Latency 1 cycle, 2 with IPv6.

    Parameters
    ----------
    config
        ``ipv6``.

    Members
    -------
    i : In(FrameStream)
        Frames from the wire.
    o : Out(FrameStream)
        Frames that may be tunnelled.
    o_underlay : Out(FrameStream)
        The others, marked ``meta.underlay``.
    """

    i: In(FrameStream)
    o: Out(FrameStream)
    o_underlay: Out(FrameStream)

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # The decision is made when the beats that it needs stand in a row.
        delays = [PipeRegister(FrameBeat) for _ in range(2 if self.config.ipv6 else 1)]
        row = [flipped(self.i)]
        for n, delay in enumerate(delays):
            m.submodules[f"delay_{n}"] = delay
            connect(m, row[-1], delay.i)
            row.append(delay.o)
        oldest, *younger = reversed(row)
        second = younger[0]
        ethertype = _big_endian(second.payload.packet, 12 - BEAT_BYTES)
        underlay = ethertype == EtherType.ARP
        seen = second.valid
        if self.config.ipv6:
            third = younger[1]
            next_header = third.payload.packet.data.word_select(20 - 2 * BEAT_BYTES, 8)
            icmp = (ethertype == EtherType.IPV6) & (next_header == IpProtocol.ICMPV6)
            underlay |= icmp & ~second.payload.packet.last
            seen &= second.payload.packet.last | third.valid

        decided = Signal()
        diverted = Signal()
        last = oldest.payload.packet.last
        m.d.comb += [
            self.o.payload.eq(oldest.payload),
            self.o_underlay.payload.eq(oldest.payload),
            self.o_underlay.payload.meta.underlay.eq(1),
            self.o.valid.eq(oldest.valid & decided & ~diverted),
            self.o_underlay.valid.eq(oldest.valid & decided & diverted),
            oldest.ready.eq(decided & Mux(diverted, self.o_underlay.ready, self.o.ready)),
        ]
        with m.If(~decided):
            m.d.sync += [
                decided.eq(oldest.valid & (seen | last)),
                diverted.eq(underlay & ~last),
            ]
        with m.Elif(oldest.valid & oldest.ready & last):
            m.d.sync += decided.eq(0)
        return m


#: Beats that wait for the transmit pipeline to answer what the underlay asks: the shortest
#: frame, and with IPv6 a solicitation.
_BEATS = {False: 8, True: 12}


class Questions(wiring.Component):
    """Keeps a short frame of the underlay until the transmit pipeline has time for it.

    A frame that comes while another waits is discarded whole: who asked asks again. One that
    is longer than the queue is no question, and waits on the way in. Latency 8 cycles, or 12.

    Parameters
    ----------
    config
        ``ipv6``.

    Members
    -------
    i : In(FrameStream)
        Frames of the underlay.
    o : Out(FrameStream)
        Those that are kept, with ``length``, ``port`` and ``underlay`` of their meta.
    """

    i: In(FrameStream)
    o: Out(FrameStream)

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        kept = data.StructLayout({"packet": Beat, "length": 14, "port": 2})
        m.submodules.queue = queue = DelayLine(kept, _BEATS[self.config.ipv6])
        packet, meta = self.i.payload.packet, self.i.payload.meta
        inside = Signal()
        taking = Signal()
        take = Signal()
        occupied = Signal()
        m.d.comb += [
            take.eq(Mux(inside, taking, ~occupied)),
            queue.i.valid.eq(self.i.valid & take),
            queue.i.payload.packet.eq(packet),
            self.i.ready.eq(queue.i.ready | ~take),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
            self.o.payload.packet.eq(queue.o.payload.packet),
            self.o.payload.meta.underlay.eq(1),
        ]
        for name in ("length", "port"):
            m.d.comb += [
                queue.i.payload[name].eq(meta[name]),
                self.o.payload.meta[name].eq(queue.o.payload[name]),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [inside.eq(~packet.last), taking.eq(take)]
            with m.If(take):
                m.d.sync += occupied.eq(1)
        with m.If(self.o.valid & self.o.ready & self.o.payload.packet.last):
            m.d.sync += occupied.eq(0)
        return m

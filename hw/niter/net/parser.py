"""The parser: finds the headers of a frame and puts them beside its first beat."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib.crc import catalog

from niter.interface import Beat, FrameMeta, Verdict
from niter.stream import Fifo

from .config import OverlayConfig
from .dissector import Dissector
from .stage import Stage

__all__ = ["FLOW_HASH", "HEADER_BEATS", "Parser"]

#: The flow hash: this CRC over the header words that tell flows apart.
FLOW_HASH = catalog.CRC16_IBM_3740(data_width=16)

#: Beats within which all headers must end.
HEADER_BEATS = 15


class Parser(Stage):
    """Fills in ``meta.headers`` and ``meta.hash``; a frame that is not well-formed gets
    the verdict ``MALFORMED``.

    While it is in the headers it takes two bytes a cycle, which needs no byte selection
    wider than a word; behind them it takes a beat a cycle. The beats wait in a small queue
    meanwhile, and the headers of one frame are read while the frame before it leaves. A
    minimum-size TCP frame over IPv4 takes 24 cycles, one over IPv6 34.

    The flow hash is ``FLOW_HASH`` over these 16-bit words: both MAC addresses, the IP
    addresses, the byte that names the next protocol (the other byte of its word being zero),
    and the ports. A fragment has no ports.

    Parameters
    ----------
    config
        ``ipv6`` decides whether IPv6 is looked into.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.queue = queue = Fifo(Beat, HEADER_BEATS + 1)
        m.submodules.dissector = dissector = Dissector(ipv6=self.config.ipv6)
        m.submodules.hash = flow_hash = FLOW_HASH.create()
        packet = self.i.payload.packet

        # Word by word through the header, then beat by beat.
        lane = Signal(2)
        stop = Signal(2)
        partial = Signal()
        feeding = Signal(init=1)
        step = Signal()
        beats = Signal(range(HEADER_BEATS + 1))
        skip = Signal()
        words = (
            Cat(packet.data[8:16], packet.data[0:8]),
            *(Cat(packet.data[n + 8 : n + 16], packet.data[n : n + 8]) for n in (16, 32, 48)),
        )
        with m.Switch(packet.empty):
            for empty in range(8):
                with m.Case(empty):
                    whole = (8 - empty) // 2
                    m.d.comb += [stop.eq(max(whole - 1, 0)), partial.eq(whole == 0)]
        overlong = Signal()
        first = Signal(init=1)
        m.d.comb += [
            overlong.eq(beats == HEADER_BEATS),
            skip.eq((dissector.done | overlong) & ~first),
            step.eq(self.i.valid & queue.i.ready & feeding),
            self.i.ready.eq(queue.i.ready & feeding & (skip | (lane == stop))),
            queue.i.valid.eq(self.i.valid & feeding & (skip | (lane == stop))),
            queue.i.payload.eq(packet),
        ]
        m.d.sync += [
            dissector.stb.eq(step & ~skip & ~partial),
            flow_hash.start.eq(0),
        ]
        with m.If(step):
            m.d.sync += [lane.eq(lane + 1), dissector.word.eq(_select(words, lane))]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += lane.eq(0)
            with m.If(~overlong):
                m.d.sync += beats.eq(beats + 1)
            with m.If(packet.last):
                m.d.sync += feeding.eq(0)

        m.d.comb += [
            flow_hash.valid.eq(dissector.stb & dissector.hashed),
            flow_hash.data.eq(dissector.hash_word),
        ]

        # What belongs to the frame being read, and to the one that leaves.
        arriving = Signal(FrameMeta)
        leaving = Signal(FrameMeta)
        handed = Signal()
        occupied = Signal()
        known = Signal()
        m.d.comb += [
            dissector.length.eq(self.i.payload.meta.length),
            dissector.start.eq(first),
            known.eq(~first & ~dissector.stb & (dissector.done | overlong | ~feeding)),
        ]
        with m.If(step & first):
            m.d.sync += [arriving.eq(self.i.payload.meta), first.eq(0)]
        with m.If(known & ~handed & ~occupied):
            m.d.sync += [leaving.eq(arriving), occupied.eq(1), handed.eq(1)]
            m.d.sync += [leaving.headers.eq(dissector.headers), leaving.hash.eq(flow_hash.crc)]
            with m.If((arriving.verdict == Verdict.PASS) & (dissector.bad | ~dissector.done)):
                m.d.sync += leaving.verdict.eq(Verdict.MALFORMED)
        with m.If(handed & ~feeding):
            m.d.sync += [feeding.eq(1), first.eq(1), handed.eq(0), beats.eq(0)]
            m.d.sync += flow_hash.start.eq(1)

        m.d.comb += [
            self.o.payload.packet.eq(queue.o.payload),
            self.o.payload.meta.eq(leaving),
            self.o.valid.eq(queue.o.valid & occupied),
            queue.o.ready.eq(self.o.ready & occupied),
        ]
        with m.If(self.o.valid & self.o.ready & self.o.payload.packet.last):
            m.d.sync += occupied.eq(0)
        return m


def _select(words, lane):
    low = Mux(lane[0], words[1], words[0])
    high = Mux(lane[0], words[3], words[2])
    return Mux(lane[1], high, low)

"""From packets to octets on GMII."""

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import crc, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream

from .gmii import GmiiTransmit

__all__ = ["Transmitter"]

#: Octets of preamble with the start delimiter, of the shortest frame without FCS, and of the gap.
PREAMBLE = 8
SHORTEST = 60
GAP = 12
#: Octet times in one pause quantum of 512 bit times (IEEE 802.3, 31B.2).
QUANTUM = 64


class Transmitter(wiring.Component):
    """Sends packets as Ethernet frames: preamble, padding, FCS, gap (IEEE 802.3, clause 4).

    Its domain is the transmit clock. The first octet of preamble stands on GMII two cycles
    after a packet is offered to an idle transmitter. ``i`` must not run dry within a packet:
    where it does, the frame goes on with ``er`` set and its receiver discards it.

    Members
    -------
    i : In(PacketStream)
        Frames without FCS.
    gmii : Out(GmiiTransmit)
        The wire.
    enable : In(1)
        Begin frames. A frame that has begun is finished.
    pause : In(16)
        Quanta for which no frame may begin, taken over with ``pause_stb``; zero ends a pause.
    pause_stb : In(1)
        See ``pause``.
    """

    i: In(PacketStream)
    gmii: Out(GmiiTransmit)
    enable: In(1)
    pause: In(16)
    pause_stb: In(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        begin = Signal()
        # Its own `start` could come with data, and that costs a multiplexer a bit.
        m.submodules.fcs = fcs = ResetInserter(begin)(
            crc.catalog.CRC32_ETHERNET(data_width=8).create()
        )
        beat = self.i.payload
        octet = Signal(8)
        enable = Signal()
        error = Signal()
        count = Signal(range(max(PREAMBLE, GAP)))
        lane = Signal(3)
        short = Signal(range(SHORTEST + 1), init=SHORTEST)
        m.d.sync += [
            self.gmii.d.eq(octet),
            self.gmii.en.eq(enable),
            self.gmii.er.eq(error),
        ]

        quanta = Signal(16)
        paused = Signal()
        tick = Signal(range(QUANTUM))
        m.d.sync += [tick.eq(tick + 1), paused.eq(quanta != 0)]
        with m.If(self.pause_stb):
            m.d.sync += [quanta.eq(self.pause), tick.eq(0)]
        with m.Elif(paused & (tick == QUANTUM - 1)):
            m.d.sync += quanta.eq(quanta - 1)

        # Only this is under the FCS: padding is zero.
        content = Signal(8)
        m.d.comb += [fcs.data.eq(content), enable.eq(1)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [enable.eq(0), begin.eq(1)]
                m.d.sync += [count.eq(PREAMBLE - 1), lane.eq(0), short.eq(SHORTEST)]
                with m.If(self.i.valid & self.enable & ~paused):
                    m.next = "PREAMBLE"
            with m.State("PREAMBLE"):
                m.d.comb += octet.eq(Mux(count == 0, 0xD5, 0x55))
                m.d.sync += count.eq(count - 1)
                with m.If(count == 0):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    content.eq(beat.data.word_select(lane, 8)),
                    octet.eq(content),
                    error.eq(~self.i.valid),
                    fcs.valid.eq(self.i.valid),
                ]
                m.d.sync += count.eq(3)
                with m.If(self.i.valid):
                    m.d.sync += [lane.eq(lane + 1), short.eq(short - (short != 0))]
                    with m.If((lane ^ Mux(beat.last, beat.empty, 0)) == 7):
                        m.d.comb += self.i.ready.eq(1)
                        with m.If(beat.last):
                            m.next = "FCS"
                            with m.If(short > 1):
                                m.next = "PAD"
            with m.State("PAD"):
                m.d.comb += fcs.valid.eq(1)
                m.d.sync += short.eq(short - 1)
                with m.If(short == 1):
                    m.next = "FCS"
            with m.State("FCS"):
                m.d.comb += octet.eq(fcs.crc.word_select(~count[:2], 8))
                m.d.sync += count.eq(count - 1)
                with m.If(count == 0):
                    m.d.sync += count.eq(GAP - 2)
                    m.next = "GAP"
            with m.State("GAP"):
                m.d.comb += enable.eq(0)
                m.d.sync += count.eq(count - 1)
                with m.If(count == 0):
                    m.next = "IDLE"
        return m

"""Proofs of the network device's movers: whole packets, and their bytes in order.

They only join or cut: a byte's place is the number of its beat in the whole, and its lane. The
solver chooses a place, and what was put in there must come out there.
"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.interface import BEAT_BYTES
from niter.virtio.net.fetch import LEAD
from niter.virtio.net.gather import Gather
from tests.formal.harness import drive, follow_packets, prove


class Pieces:
    """Follows pieces that make up a whole, each beginning at the lane behind the one before.

    Parameters
    ----------
    m
        Module of the specification.
    port
        The stream of the pieces' beats.
    beat
        The beat in its payload.
    final
        The piece at hand is the whole's last.

    Members
    -------
    whole, beat, lane
        Number of the whole, of the beat in it, and the first lane that is the piece's own.
    end
        The lane behind the last one used.
    """

    def __init__(self, m: Module, port, beat, final: Value):
        self.whole, self.beat, self.lane = Signal(2), Signal(4), Signal(3, init=LEAD)
        self.end = Signal(4)
        self.taken = port.valid & port.ready
        m.d.comb += self.end.eq(Mux(beat.last, BEAT_BYTES - beat.empty, BEAT_BYTES))
        with m.If(self.taken):
            m.d.sync += self.lane.eq(self.end)
            with m.If(self.end[3]):
                m.d.sync += self.beat.eq(self.beat + 1)
            with m.If(beat.last & final):
                m.d.sync += [
                    self.whole.eq(self.whole + 1),
                    self.beat.eq(0),
                    self.lane.eq(LEAD),
                ]

    def uses(self, lane: Value) -> Value:
        """Is that lane of this beat the piece's own?"""
        return (lane >= self.lane) & (lane < self.end)


class Join(Elaboratable):
    """``Gather`` with any pieces, of any length, failing or not."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Gather(LEAD)
        drive(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        i, o = dut.i.p.packet, dut.o.p
        put = Pieces(m, dut.i, i, dut.i.p.final)
        got = Pieces(m, dut.o, o, Const(1))
        m.d.comb += [
            # Rules of packets, and no piece is empty; those that fail end anywhere.
            Assume(i.last | ((i.empty == 0) & ~i.error)),
            Assume(put.end > put.lane),
        ]
        # ``final`` is the same on all beats of a piece.
        inside, final = Signal(), Signal()
        with m.If(put.taken):
            m.d.sync += [inside.eq(~i.last), final.eq(dut.i.p.final)]
        m.d.comb += Assume(~inside | (dut.i.p.final == final))

        # What came in at the watched place, and how the watched whole ended.
        whole, beat, lane = AnyConst(2), AnyConst(4), AnyConst(3)
        value, known = Signal(8), Signal()
        failing, failed, ended = Signal(), Signal(), Signal()
        last_beat, last_end = Signal(4), Signal(4)
        fails = failing | (i.last & i.error)
        with m.If(put.taken):
            m.d.sync += failing.eq(fails & ~(i.last & dut.i.p.final))
            with m.If(put.whole == whole):
                with m.If((put.beat == beat) & put.uses(lane)):
                    m.d.sync += [value.eq(i.data.word_select(lane, 8)), known.eq(1)]
                with m.If(i.last & dut.i.p.final):
                    m.d.sync += [
                        ended.eq(1),
                        failed.eq(fails),
                        last_beat.eq(put.beat),
                        last_end.eq(put.end),
                    ]
        watched = dut.o.valid & (got.whole == whole)
        with m.If(watched & (got.beat == beat) & got.uses(lane) & ~(o.last & o.error)):
            m.d.comb += Assert(known & (o.data.word_select(lane, 8) == value))
        with m.If(watched & o.last):
            m.d.comb += Assert(ended & (o.error == failed))
            m.d.comb += Assert(failed | ((got.beat == last_beat) & (got.end == last_end)))
        # All that was put in comes out: with the output free, in the next cycle.
        idle = Signal()
        m.d.sync += idle.eq(~put.taken & dut.o.ready)
        m.d.comb += Assert(~idle | (put.whole == got.whole) | dut.o.valid)
        return m


def test_gather_joins_whole_packets():
    prove(Join(), depth=9)

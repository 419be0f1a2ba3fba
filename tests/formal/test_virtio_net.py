"""Proofs of the network device's movers: whole packets, and their bytes in order.

Both only join or cut: a byte's place is the number of its beat in the whole, and its lane. The
solver chooses a place, and what was put in there must come out there.
"""

import pytest
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.interface import BEAT_BYTES
from niter.virtio.gather import Gather
from niter.virtio.net.layouts import HEADER_BYTES
from niter.virtio.net.scatter import LEAD, Scatter
from tests.formal.harness import drive, follow_packets, follow_stream, prove


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


class Split(Elaboratable):
    """``Scatter`` with frames of any content and of one length, cut anywhere.

    The cuts add up to header and frame, as the contract asks; frames end as announced.

    Parameters
    ----------
    length
        Of the frames in bytes.
    """

    def __init__(self, length: int):
        self.length = length

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Scatter()
        drive(m, dut.i, packets=True)
        follow_stream(m, dut.cut, rule=Assume)
        valid_flag, buffers = AnyConst(1), AnyConst(16)
        m.d.comb += [
            dut.o.ready.eq(AnySeq(1)),
            dut.valid_flag.eq(valid_flag),
            dut.buffers.eq(buffers),
        ]
        follow_packets(m, dut.o)
        i, o, cut = dut.i.p, dut.o.p, dut.cut.p

        # Frames of ``length`` octets.
        length = self.length
        octets = Signal(5)
        taken = dut.i.valid & dut.i.ready
        following = octets + BEAT_BYTES - i.empty
        m.d.comb += [
            Assume(~dut.i.valid | (i.last == (octets + BEAT_BYTES >= length))),
            Assume(~dut.i.valid | ~i.last | (following == length)),
        ]
        with m.If(taken):
            m.d.sync += octets.eq(Mux(i.last, 0, octets + BEAT_BYTES))

        # Cuts that cover them.
        position = Signal(6)
        cut_taken = dut.cut.valid & dut.cut.ready
        ahead = (position + cut.length)[:6]
        total = HEADER_BYTES + length
        m.d.comb += [
            dut.cut.valid.eq(AnySeq(1)),
            cut.length.eq(AnySeq(5)),
            cut.last.eq(ahead == total),
            cut.lane.eq(LEAD + position),
            Assume(cut.length != 0),
            Assume(ahead <= total),
        ]
        pieces, watched_piece = Signal(4), AnyConst(4)
        cut_at, cut_known = Signal(6), Signal()
        with m.If(cut_taken):
            m.d.sync += [position.eq(Mux(cut.last, 0, ahead)), pieces.eq(pieces + 1)]
            with m.If(pieces == watched_piece):
                m.d.sync += [cut_at.eq(ahead), cut_known.eq(1)]

        # Each piece ends where its cut says.
        given = Signal(4)
        got_end = Signal(7)
        got = Pieces(m, dut.o, o, (got_end == total + LEAD))
        m.d.comb += got_end.eq(Cat(Const(0, 3), got.beat) + got.end)
        with m.If(got.taken & o.last):
            m.d.sync += given.eq(given + 1)
        with m.If(dut.o.valid & o.last & (given == watched_piece)):
            m.d.comb += Assert(cut_known & (got_end == cut_at + LEAD))
        m.d.comb += [Assert(~dut.o.valid | (given < pieces)), Assert(~dut.o.valid | ~o.error)]

        # Each octet of the header is what it should be, and each of the frame what came in.
        whole, beat, lane = AnyConst(2), AnyConst(4), AnyConst(3)
        frames, value, known = Signal(2), Signal(8), Signal()
        with m.If(taken):
            m.d.sync += frames.eq(frames + i.last)
            with m.If((frames == whole) & (octets[3:] + 2 == beat)):
                m.d.sync += [value.eq(i.data.word_select(lane, 8)), known.eq(1)]
        octet = o.data.word_select(lane, 8)
        # The beat may be shown while it is still waiting to be used up.
        shown = Mux(known, value, dut.i.p.data.word_select(lane, 8))
        before = Signal(8)
        m.d.sync += before.eq(shown)
        at, wanted = Cat(lane, beat), Signal(8)
        with m.If(at == LEAD):
            m.d.comb += wanted.eq(valid_flag << 1)
        with m.Elif(at == LEAD + HEADER_BYTES - 2):
            m.d.comb += wanted.eq(buffers[:8])
        with m.Elif(at == LEAD + HEADER_BYTES - 1):
            m.d.comb += wanted.eq(buffers[8:])
        with m.Elif(at >= LEAD + HEADER_BYTES):
            m.d.comb += wanted.eq(Mux(known, value, before))
        with m.If(dut.o.valid & (got.whole == whole) & (got.beat == beat) & got.uses(lane)):
            m.d.comb += Assert(octet == wanted)

        # It is done once a frame, when all of it has been accepted.
        dones = Signal(2)
        m.d.sync += dones.eq(dones + dut.done)
        m.d.comb += Assert(~dut.done | (frames == (dones + 1)[:2]))
        m.d.comb += Assert(~dut.done | ~dut.o.valid | (got.taken & o.last))
        return m


def test_gather_joins_whole_packets():
    prove(Join(), depth=9)


@pytest.mark.parametrize("length", [9])
def test_scatter_cuts_whole_frames(length):
    prove(Split(length), depth=9)

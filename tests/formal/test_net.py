"""Proofs of the overlay's flow: frames stay whole and in order, none is lost, all waits hold.

Frames have few bits of data, all beats full, and of their meta what decides.
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.interface import Verdict
from niter.net import Deliver, Drop, OverlayConfig
from niter.net.replay import Replay
from niter.net.underlay import Questions
from niter.stream import beat_of
from tests.formal.harness import (
    drive,
    follow_packets,
    follow_stream,
    match_order,
    prove,
)

CONFIG = OverlayConfig(functions=2)


class Spec(Elaboratable):
    """A device with free streams; ``build(m, dut)`` adds the rules."""

    def __init__(self, dut, build):
        self.dut = dut
        self.build = build

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        self.build(m, self.dut)
        return m


def send_frames(m, port, *, bits=2, **meta):
    """Let the solver send frames whose meta has these fields, each with so many free bits."""
    for name, width in meta.items():
        m.d.comb += Value.cast(port.payload.meta[name]).eq(AnySeq(width))
    drive(m, port, packets=True, data_bits=bits)


def between(m, port):
    """Nothing comes, and the last frame has come whole: its beginning may wait for more."""
    inside = Signal()
    with m.If(port.valid & port.ready):
        m.d.sync += inside.eq(~beat_of(port.payload).last)
    return ~port.valid & ~inside


def test_drop_removes_what_is_rejected_and_nothing_else():
    def build(m, dut):
        send_frames(m, dut.i, verdict=1)
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), dut.count.ready.eq(AnySeq(1))]
        follow_packets(m, dut.o)
        follow_stream(m, dut.count)
        beat = dut.i.payload.packet
        passes = dut.i.payload.meta.verdict == Verdict.PASS
        quiet = match_order(
            m,
            dut.i.valid & dut.i.ready & passes,
            Value.cast(beat),
            dut.o.valid & dut.o.ready,
            Value.cast(dut.o.payload.packet),
            bound=2,
        )
        m.d.comb += quiet.eq(~dut.i.valid & dut.o.ready)
        # Each frame counts: as one frame, or at its reason; one that passes also with its bytes.
        frames, counted = Signal(4), Signal(4)
        bytes_due = Signal()
        event = dut.count.payload
        m.d.sync += frames.eq(frames + (dut.i.valid & dut.i.ready & beat.last))
        with m.If(dut.count.valid & dut.count.ready):
            m.d.sync += bytes_due.eq(~bytes_due & (event.reason == 0))
            m.d.sync += counted.eq(counted + ~bytes_due)
            m.d.comb += Assert(~bytes_due | (event.reason == 31))
            m.d.comb += Assert(bytes_due | (event.amount == 1))
        m.d.comb += Assert((frames == counted) | (frames == counted + 1))
        m.d.comb += Assert((frames == counted) | dut.count.valid)

    prove(Spec(Drop(CONFIG), build), depth=9)


def test_replay_loses_and_doubles_nothing():
    """Beats go through in order, whatever waits for what: they for their meta, or it for them."""

    def build(m, dut):
        drive(m, dut.beats, packets=True, data_bits=2)
        m.d.comb += [
            dut.i.valid.eq(AnySeq(1)),
            dut.i.payload.meta.length.eq(AnySeq(2)),
            dut.o.ready.eq(AnySeq(1)),
        ]
        follow_stream(m, dut.i, rule=Assume)
        follow_packets(m, dut.o)
        taken, given = dut.beats.valid & dut.beats.ready, dut.o.valid & dut.o.ready
        quiet = match_order(
            m,
            taken,
            Value.cast(dut.beats.payload),
            given,
            Value.cast(dut.o.payload.packet),
            bound=10,
        )
        m.d.comb += quiet.eq(between(m, dut.beats) & dut.i.valid & dut.o.ready)
        # The meta of the n-th frame is the n-th that came.
        here = dut.o.valid & dut.o.ready & dut.o.payload.packet.last
        came = dut.i.valid & dut.i.ready
        match_order(m, came, dut.i.payload.meta.length, here, dut.o.payload.meta.length, bound=31)

    prove(Spec(Replay(2), build), depth=14)


def test_replay_gives_a_frame_twice():
    """Both copies of the first frame are what came, of up to three beats; no copy is a third."""

    def build(m, dut):
        drive(m, dut.beats, packets=True, data_bits=2)
        second = Signal()
        m.d.comb += [
            dut.i.valid.eq(1),
            dut.o.ready.eq(AnySeq(1)),
            dut.keep.eq(~second),
            dut.again.eq(~second),
        ]
        follow_packets(m, dut.o)
        beat, out = dut.beats.payload, dut.o.payload.packet
        # A frame of one beat less than the storage can be kept.
        came, length, before = Signal(6), Signal(2), Signal(2)
        first = Signal(init=1)
        with m.If(dut.beats.valid & dut.beats.ready):
            m.d.sync += before.eq(Mux(beat.last, 0, before + 1))
            with m.If(first):
                m.d.sync += [
                    came.bit_select(before << 1, 2).eq(beat.data),
                    length.eq(before + 1),
                    first.eq(~beat.last),
                ]
        m.d.comb += Assume(~dut.beats.valid | beat.last | (before != 2))
        copies, place = Signal(2), Signal(2)
        with m.If(dut.o.valid & dut.o.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(out.last):
                m.d.sync += [place.eq(0), second.eq(~second), copies.eq(copies + ~copies[1])]
        with m.If(dut.o.valid & ~copies[1]):
            m.d.comb += Assert(out.data[:2] == came.bit_select(place << 1, 2))
            m.d.comb += Assert(out.last == (~first & (place + 1 == length)))

    prove(Spec(Replay(4), build), depth=12)


def test_questions_are_kept_or_lost_whole():
    """What comes out is a question as it came in, whatever goes by meanwhile."""
    count = 3

    def build(m, dut):
        follow_stream(m, dut.o)
        m.d.comb += [
            dut.stb.eq(AnySeq(1)),
            dut.first.eq(AnySeq(1)),
            dut.word.eq(AnySeq(2)),
            dut.keep.eq(AnySeq(1)),
            dut.port.eq(AnySeq(1)),
            dut.o.ready.eq(AnySeq(1)),
        ]
        # The frame's words so far, and whether nothing waited when it began.
        words = Signal(2 * count)
        seen = Signal(range(count + 2))
        free = Signal()
        with m.If(dut.stb):
            m.d.sync += [
                words.eq(Cat(dut.word[:2], words)),
                seen.eq(Mux(dut.first, 1, seen + (seen <= count))),
            ]
            with m.If(dut.first):
                m.d.sync += free.eq(~dut.o.valid)
        # A frame that is kept has exactly so many, and is over then.
        m.d.comb += Assume(~dut.keep | (~dut.stb & (seen == count)))
        over = Signal(init=1)
        with m.If(dut.keep | (dut.stb & dut.first)):
            m.d.sync += over.eq(dut.keep)
        m.d.comb += Assume(~over | ~dut.stb | dut.first)
        m.d.comb += Assume(~over | ~dut.keep)
        kept = Signal(2 * count)
        port = Signal()
        left = Signal(range(count + 1))
        m.d.comb += Assert(dut.o.valid == (left != 0))
        with m.If(dut.keep & free):
            m.d.sync += [kept.eq(words), left.eq(count), port.eq(dut.port)]
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(dut.o.payload.word == kept[-2:]),
                Assert(dut.o.payload.last == (left == 1)),
                Assert(dut.o.payload.port == port),
            ]
            with m.If(dut.o.ready):
                m.d.sync += [kept.eq(kept << 2), left.eq(left - 1)]

    prove(Spec(Questions(count), build), depth=14)


def test_deliver_gives_a_frame_to_each_function_once():
    """Copies go to the functions that the meta names, lowest first, and nowhere else: whole, as
    the frame came, and in the order of the frames. What cannot be kept, or was rejected, passes
    once."""

    def build(m, dut):
        drive(m, dut.beats, packets=True, data_bits=2)
        meta, out = dut.i.payload.meta, dut.o.payload.meta
        m.d.comb += [
            dut.i.valid.eq(AnySeq(1)),
            meta.functions.eq(AnySeq(2)),
            meta.verdict.eq(AnySeq(1)),
            meta.length.eq(AnySeq(14)),
            dut.o.ready.eq(AnySeq(1)),
        ]
        follow_stream(m, dut.i, rule=Assume)
        follow_packets(m, dut.o)
        beat, given = dut.beats.payload, dut.o.payload.packet

        # One frame is watched: its meta, and one of its beats.
        watched, place = AnyConst(2), AnyConst(1)
        told, whole = Signal(4), Signal(4)
        functions, rejected, long = Signal(2), Signal(), Signal()
        came, at = Signal.like(Value.cast(beat)), Signal(2)
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += told.eq(told + 1)
            with m.If(told == watched):
                m.d.sync += [
                    functions.eq(meta.functions),
                    rejected.eq(meta.verdict != Verdict.PASS),
                    long.eq(meta.length > 8 * (dut.config.replay_beats - 1)),
                ]
        with m.If(dut.beats.valid & dut.beats.ready):
            m.d.sync += [at.eq(Mux(beat.last, 0, at + ~at.all())), whole.eq(whole + beat.last)]
            with m.If((whole == watched) & (at == place)):
                m.d.sync += came.eq(Value.cast(beat))

        # Where the output is: the frame, which of its functions have had it, and the beat.
        frame, served, here = Signal(4), Signal(2), Signal(2)
        several = functions.all() & ~rejected
        expected = functions & ~served
        more = Mux(several & ~long, served == 0, 0)
        with m.If(dut.o.valid & (frame == watched)):
            m.d.comb += [
                Assert(out.functions == functions),
                Assert((here != place) | (Value.cast(given) == came)),
                Assert((out.verdict == Verdict.NO_REPLICATION) == (several & long)),
                Assert(rejected | (several & long) | (out.verdict == Verdict.PASS)),
            ]
            with m.If((functions != 0) & ~(several & long)):
                m.d.comb += Assert(out.function == Mux(expected[0], 0, 1))
        with m.If(dut.o.valid & dut.o.ready):
            m.d.sync += here.eq(Mux(given.last, 0, here + ~here.all()))
            with m.If(given.last):
                # Of a frame that is not watched, what its meta says counts.
                others = out.functions[:2].all() & (out.verdict == Verdict.PASS) & (served == 0)
                again = Mux(frame == watched, more, others)
                m.d.sync += [served.eq(Mux(again, 1, 0)), frame.eq(frame + ~again)]
        m.d.comb += Assert((frame < told) | ~dut.o.valid)

    config = OverlayConfig(functions=2, replay_beats=16)
    prove(Spec(Deliver(config), build), depth=9)

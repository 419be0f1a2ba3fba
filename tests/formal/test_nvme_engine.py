"""Proofs of the NVMe engine: its queues of tags, and what it promises to host memory."""

from amaranth import Module, Mux, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.interface import BEAT_BYTES
from niter.nvme.engine.pull import Pull
from niter.nvme.engine.tags import TagQueue
from tests.formal.harness import drive, follow_packets, follow_stream, match_order, prove


class Queue(Elaboratable):
    """Tags leave in the order in which they came, none is lost, and the queue never overflows."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = TagQueue(4)
        level = Signal(range(5))
        m.d.comb += [
            dut.push.eq(AnySeq(1)),
            dut.i.eq(AnySeq(2)),
            dut.pop.eq(AnySeq(1)),
            Assume(~dut.pop | dut.valid),
            # Each tag is in it once at most.
            Assume(~dut.push | (level != 4)),
            Assert(dut.valid == (level != 0)),
        ]
        m.d.sync += level.eq(level + dut.push - dut.pop)
        quiet = match_order(m, dut.push, dut.i, dut.pop, dut.o, bound=1)
        m.d.comb += quiet.eq(0)
        return m


def test_tags_keep_their_order():
    prove(Queue(), depth=14)


class Room(Elaboratable):
    """Free spans, places and transport; reads are answered in order, right or short and wrong.

    An answer is never kept waiting, and every packet keeps the rules of the packet stream.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Pull(depth=4, chunk=32)
        drive(m, dut.span)
        m.d.comb += [
            Assume(dut.span.payload.sectors == 1),
            Assume(dut.span.payload.first == 0),
            dut.o.ready.eq(AnySeq(1)),
            dut.place.request.ready.eq(AnySeq(1)),
            dut.read.command.ready.eq(AnySeq(1)),
        ]
        waits = Signal()
        with m.If(dut.place.request.valid & dut.place.request.ready):
            m.d.sync += waits.eq(1)
        with m.If(dut.place.done):
            m.d.sync += waits.eq(0)
        m.d.comb += [
            dut.place.done.eq(AnySeq(1)),
            Assume(~dut.place.done | waits),
            dut.place.place.address.eq(AnyConst(3) << 2),
            dut.place.place.dead.eq(AnyConst(1)),
        ]

        # Up to two reads wait for their answers: beats, empty lanes, context.
        command = dut.read.command.payload
        issue = dut.read.command.valid & dut.read.command.ready
        lengths = [Signal(6, name=f"length_{n}") for n in range(2)]
        contexts = [Signal(name=f"context_{n}") for n in range(2)]
        waiting = Signal(2)
        sent = Signal(4)
        beat = dut.read.answer.payload.packet
        left = Signal(6)
        final = Signal()
        m.d.comb += [
            left.eq(lengths[0] - BEAT_BYTES * sent),
            final.eq(left <= BEAT_BYTES),
            dut.read.answer.valid.eq(AnySeq(1)),
            Assume(~dut.read.answer.valid | (waiting != 0)),
            Assume(~issue | (waiting != 2)),
            dut.read.answer.payload.context.eq(contexts[0]),
            beat.data.eq(0),
            beat.last.eq(final | beat.error),
            beat.error.eq(AnySeq(1)),
            beat.empty.eq(Mux(final & beat.last, BEAT_BYTES - left, 0)),
            Assert(~dut.read.answer.valid | dut.read.answer.ready),
            Assert(~dut._lost),
        ]
        over = dut.read.answer.valid & beat.last
        with m.If(dut.read.answer.valid):
            m.d.sync += sent.eq(Mux(beat.last, 0, sent + 1))
        with m.If(over):
            m.d.sync += [lengths[0].eq(lengths[1]), contexts[0].eq(contexts[1])]
        with m.If(issue):
            with m.If(waiting - over == 0):
                m.d.sync += [lengths[0].eq(command.length), contexts[0].eq(command.context)]
            with m.Else():
                m.d.sync += [lengths[1].eq(command.length), contexts[1].eq(command.context)]
        m.d.sync += waiting.eq(waiting + issue - over)
        follow_stream(m, dut.read.command)
        follow_packets(m, dut.o)
        m.d.comb += Assert(~issue | ((command.length != 0) & (command.length <= 32)))
        return m


def test_answers_to_pulls_always_find_room():
    prove(Room(), depth=16)

"""Proofs of the overlay's flow: frames stay whole and in order, none is lost, all waits hold.

Frames have few bits of data, all beats full, and of their meta what decides.
"""

import pytest
from amaranth import Cat, Const, Module, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.interface import Verdict
from niter.net import Drop, OverlayConfig
from niter.net.delay import DelayLine
from niter.net.protocol import EtherType
from niter.net.underlay import Divert, Questions
from tests.formal.harness import (
    drive,
    follow_packets,
    follow_stream,
    match_order,
    prove,
    watch_octet,
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


def keep_order(m, sources, sinks, quiet, *, bound):
    """The beats of all ``sources`` come out of ``sinks``, none lost and none overtaken."""

    def joined(ports):
        sent = Signal()
        value = Signal(len(Value.cast(ports[0].payload.packet)))
        for port in ports:
            with m.If(port.valid & port.ready):
                m.d.comb += [sent.eq(1), value.eq(port.payload.packet)]
        return sent, value

    match = match_order(m, *joined(sources), *joined(sinks), bound=bound)
    m.d.comb += match.eq(quiet)


def between(m, port):
    """Nothing comes, and the last frame has come whole: its beginning may wait for more."""
    inside = Signal()
    with m.If(port.valid & port.ready):
        m.d.sync += inside.eq(~port.payload.packet.last)
    return ~port.valid & ~inside


@pytest.mark.parametrize("mode", ["prove", "bmc"])
def test_delay_line(mode):
    def build(m, dut):
        drive(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_stream(m, dut.o)
        if mode == "bmc":
            taken, given = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
            quiet = match_order(m, taken, dut.i.payload, given, dut.o.payload, bound=7)
            m.d.comb += quiet.eq(~dut.i.valid & dut.o.ready)

    prove(Spec(DelayLine(2, 3), build), depth=12 if mode == "bmc" else 4, mode=mode)


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


def test_divert_sends_a_frame_one_way():
    def build(m, dut):
        # Two bits that tell beats apart, and in each a type that may be ARP's.
        beat = dut.i.payload.packet
        arp = Const((EtherType.ARP.value & 0xFF) << 8 | EtherType.ARP.value >> 8, 16)
        m.d.comb += [
            dut.i.valid.eq(AnySeq(1)),
            beat.data.eq(Cat(AnySeq(2), Const(0, 30), arp & AnySeq(1).replicate(16))),
            Cat(beat.last, beat.error).eq(AnySeq(2)),
        ]
        follow_packets(m, dut.i, rule=Assume)
        ways = [dut.o, dut.o_underlay]
        for way in ways:
            m.d.comb += way.ready.eq(AnySeq(1))
            follow_packets(m, way)
        m.d.comb += Assert(~(dut.o.valid & dut.o_underlay.valid))
        # No turn in the middle of a frame.
        inside = [Signal(name=f"inside_{n}") for n in range(2)]
        for way, flag in zip(ways, inside, strict=True):
            with m.If(way.valid & way.ready):
                m.d.sync += flag.eq(~way.payload.packet.last)
        m.d.comb += Assert(~(inside[0] & dut.o_underlay.valid) & ~(inside[1] & dut.o.valid))
        quiet = between(m, dut.i) & dut.o.ready & dut.o_underlay.ready
        keep_order(m, [dut.i], ways, quiet, bound=5)

    prove(Spec(Divert(CONFIG), build), depth=9)


def test_questions_are_kept_or_lost_whole():
    """Frames never wait for the way out, and what comes out is the first that came in."""

    def build(m, dut):
        send_frames(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        octet = AnyConst(4)
        _, sent, sent_length = watch_octet(m, dut.i, Signal(1), octet)
        here, given, given_length = watch_octet(m, dut.o, Signal(1), octet)
        m.d.comb += Assert(~here | (given == sent))
        m.d.comb += Assert((given_length == 0) | (given_length == sent_length))

    prove(Spec(Questions(CONFIG), build), depth=14)

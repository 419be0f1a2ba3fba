"""Proofs of the stream room: the contract holds for ever, order and content within a bound.

Payloads are narrow and memories small, which changes no control logic.
"""

import pytest
from amaranth import Module
from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Elaboratable
from amaranth.lib import data

from niter.interface import Beat
from niter.stream import (
    Fifo,
    PacketFifo,
    PipeRegister,
    SkidBuffer,
    beat_of,
)
from tests.formal.harness import drive, follow_packets, follow_stream, match_order, prove


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


class Tagged(data.Struct):
    packet: Beat
    tag: 2


BUFFERS = {
    "register": lambda: PipeRegister(3),
    "skid": lambda: SkidBuffer(3),
    "fifo": lambda: Fifo(3, 4),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffer_holds_its_output(name):
    def build(m, dut):
        drive(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_stream(m, dut.o)

    prove(Spec(BUFFERS[name](), build), depth=4, mode="prove" if name != "fifo" else "bmc")


@pytest.mark.parametrize("name", BUFFERS)
def test_buffer_keeps_order(name):
    def build(m, dut):
        drive(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        quiet = match_order(
            m,
            dut.i.valid & dut.i.ready,
            dut.i.payload,
            dut.o.valid & dut.o.ready,
            dut.o.payload,
            bound=5,
        )
        m.d.comb += quiet.eq(~dut.i.valid & dut.o.ready)

    prove(Spec(BUFFERS[name](), build), depth=9)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("shape", [Beat, Tagged])
def test_packet_fifo(shape, drop):
    def build(m, dut):
        drive(m, dut.i, packets=True)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        m.d.comb += Assert(~beat_of(dut.o.payload).error)

    prove(Spec(PacketFifo(shape, 4, packets=4, drop=drop), build), depth=12)

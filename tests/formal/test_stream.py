"""Proofs of the stream room: the contract holds for ever, order and content within a bound.

Payloads are narrow and memories small, which changes no control logic.
"""

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable
from amaranth.lib import data

from niter.interface import Beat
from niter.stream import (
    Arbiter,
    Demux,
    Fifo,
    HalfBuffer,
    HeaderInsert,
    HeaderRemove,
    PacketFifo,
    PipeRegister,
    SkidBuffer,
    WidthConverter,
    beat_of,
)
from tests.formal.harness import (
    drive,
    follow_packets,
    follow_stream,
    match_order,
    prove,
    watch_octet,
)


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
    "half": lambda: HalfBuffer(3),
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
@pytest.mark.parametrize("shape, beats", [(Beat, 4), (Beat, 6), (Tagged, 4)])
def test_packet_fifo_contract(shape, beats, drop):
    def build(m, dut):
        drive(m, dut.i, packets=True)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        m.d.comb += Assert(~beat_of(dut.o.payload).error)

    prove(Spec(PacketFifo(shape, beats, packets=4, drop=drop), build), depth=9)


@pytest.mark.parametrize("beats", [4, 6])
@pytest.mark.parametrize("drop", [False, True])
def test_packet_fifo_gives_out_the_good_packets(drop, beats):
    """Every beat of every packet that was not discarded, and no other, in order."""

    def build(m, dut):
        drive(m, dut.i, packets=True, data_bits=1)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        packet, beat = AnyConst(2), AnyConst(2)
        taken = dut.i.valid & dut.i.ready
        given = dut.o.valid & dut.o.ready
        last, error = dut.i.payload.last, dut.i.payload.error

        # What became of a packet is told in the cycle behind its end.
        ended, failed = Signal(), Signal()
        good, good_before = Signal(4), Signal(4)
        m.d.sync += [ended.eq(taken & last), failed.eq(taken & last & error), good_before.eq(good)]
        m.d.comb += good.eq(good_before + (ended & ~dut.overflow & ~dut.discarded))
        m.d.comb += Assert(~dut.discarded | failed)
        m.d.comb += Assert(~failed | dut.discarded | dut.overflow)
        m.d.comb += Assert(~(dut.discarded | dut.overflow) | ended)

        i_beat, o_beat, given_packets = Signal(4), Signal(4), Signal(4)
        value = Signal(Beat)
        with m.If(taken):
            m.d.sync += i_beat.eq(Mux(last, 0, i_beat + 1))
            with m.If((good == packet) & (i_beat == beat)):
                m.d.sync += value.eq(dut.i.payload)
        with m.If(given):
            m.d.sync += o_beat.eq(Mux(dut.o.payload.last, 0, o_beat + 1))
            m.d.sync += given_packets.eq(given_packets + dut.o.payload.last)
        with m.If(dut.o.valid):
            m.d.comb += Assert(given_packets < good)
            with m.If((given_packets == packet) & (o_beat == beat)):
                m.d.comb += Assert(Value.cast(dut.o.payload) == Value.cast(value))
        quiet = Signal(range(6))
        m.d.sync += quiet.eq(Mux(dut.i.valid | dut.o.valid, 0, quiet + (quiet != 5)))
        m.d.comb += Assert((quiet != 5) | (given_packets == good))

    prove(Spec(PacketFifo(Beat, beats, drop=drop), build), depth=11)


def test_arbiter_order_and_wholeness():
    """Each input's beats come out in order, and packets of different inputs do not mix."""

    def build(m, dut):
        watched = AnyConst(1)
        for number, port in enumerate(dut.i):
            drive(m, port, packets=True)
            m.d.comb += Assume(port.payload.tag == number)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        ports = [(port.valid & port.ready, Value.cast(port.payload)) for port in dut.i]
        quiet = match_order(
            m,
            Mux(watched, ports[1][0], ports[0][0]),
            Mux(watched, ports[1][1], ports[0][1]),
            dut.o.valid & dut.o.ready & (dut.o.payload.tag == watched),
            Value.cast(dut.o.payload),
            bound=4,
        )
        m.d.comb += quiet.eq(~dut.i[0].valid & ~dut.i[1].valid & dut.o.ready)

    prove(Spec(Arbiter(Tagged, 2, weights=[1, 2]), build), depth=8)


def test_arbiter_starves_nobody():
    """An input waits no longer than the others may take for their turns."""

    def build(m, dut):
        for port in dut.i:
            drive(m, port)
        m.d.comb += dut.o.ready.eq(1)
        waited = Signal(4)
        stuck = dut.i[0].valid & ~dut.i[0].ready
        m.d.sync += waited.eq(Mux(stuck, waited + 1, 0))
        m.d.comb += Assert(waited <= 2 + 1 + 1)

    prove(Spec(Arbiter(2, 3, weights=[1, 2, 1], packet=False), build), depth=14)


def test_demux():
    """Each output gets what is meant for it, in order; what is for nobody disappears."""

    def build(m, dut):
        drive(m, dut.i)
        m.d.comb += dut.select.eq(dut.i.payload)
        for port in dut.o:
            m.d.comb += port.ready.eq(AnySeq(1))
            follow_stream(m, port)
            m.d.comb += Assert(~(dut.o[0].valid & dut.o[1].valid))
        for number, port in enumerate(dut.o):
            m.d.comb += Assert(~port.valid | (port.payload[:2] == number))
        quiet = match_order(
            m,
            dut.i.valid & dut.i.ready & (dut.i.payload[:2] == 1),
            dut.i.payload,
            dut.o[1].valid & dut.o[1].ready,
            dut.o[1].payload,
            bound=3,
        )
        m.d.comb += quiet.eq(~dut.i.valid & dut.o[0].ready & dut.o[1].ready)

    prove(Spec(Demux(4, 3), build), depth=9)


@pytest.mark.parametrize("lanes", [(4, 1), (1, 4), (4, 8)])
def test_width_converter(lanes):
    """Any octet of the first packets stays at its place, and packets keep their length."""

    def build(m, dut):
        drive(m, dut.i, packets=True)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        follow_packets(m, dut.o)
        packet, octet = AnyConst(1), AnyConst(4)
        _, sent, sent_length = watch_octet(m, dut.i, packet, octet)
        here, taken, taken_length = watch_octet(m, dut.o, packet, octet)
        m.d.comb += Assert(~here | (taken == sent))
        m.d.comb += Assert((taken_length == 0) | (taken_length == sent_length))

    prove(Spec(WidthConverter(*lanes), build), depth=9)


@pytest.mark.parametrize("offset", [0, 12])
def test_header_insert(offset):
    """Any octet of the first packets is where it belongs, and so is their end."""

    def build(m, dut):
        drive(m, dut.i, packets=True)
        drive(m, dut.header, packets=True)
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), dut.insert.eq(1)]
        follow_packets(m, dut.o)
        packet, octet, length = AnyConst(1), AnyConst(5), AnyConst(4)
        in_header = (octet >= offset) & (octet < offset + length)
        _, front, i_length = watch_octet(
            m, dut.i, packet, Mux(octet < offset, octet, (octet - length)[:5])
        )
        _, header, _ = watch_octet(m, dut.header, packet, (octet - offset)[:5])
        second = Signal()
        with m.If(dut.header.valid & dut.header.ready):
            m.d.sync += second.eq(~dut.header.payload.last)
        used = 8 - dut.header.payload.empty
        m.d.comb += [
            Assume((length == 4) | (length == 10)),
            Assume(dut.header.payload.last == (second | (length == 4))),
            Assume(~dut.header.payload.last | (used == Mux(length == 4, 4, 2))),
        ]
        here, value, o_length = watch_octet(m, dut.o, packet, octet)
        m.d.comb += [
            Assume((i_length == 0) | (i_length > offset)),
            Assert(~here | (value == Mux(in_header, header, front))),
            Assert((o_length == 0) | (o_length == i_length + length)),
        ]

    prove(Spec(HeaderInsert(Beat, offset=offset, lengths=[4, 10]), build), depth=8)


@pytest.mark.parametrize("offset", [0, 6])
def test_header_remove(offset):
    """Any octet of the first packets is where it belongs, and so is their end."""

    def build(m, dut):
        drive(m, dut.i, packets=True)
        packet, octet, length = AnyConst(1), AnyConst(4), AnyConst(4)
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), dut.length.eq(length)]
        follow_packets(m, dut.o)
        _, sent, i_length = watch_octet(
            m, dut.i, packet, Mux(octet < offset, octet, octet + length)
        )
        here, value, o_length = watch_octet(m, dut.o, packet, octet)
        m.d.comb += [
            Assume((length == 0) | (length == 4) | (length == 10)),
            Assume((i_length == 0) | (i_length > offset + length)),
            Assert(~here | (value == sent)),
            Assert((o_length == 0) | (o_length == i_length - length)),
        ]

    prove(Spec(HeaderRemove(Beat, offset=offset, lengths=[0, 4, 10]), build), depth=7)

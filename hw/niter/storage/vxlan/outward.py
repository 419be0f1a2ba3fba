"""Frames on their way out: the outer header goes in front of those for the tunnel."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.ram import Ram
from niter.stream import HeaderInsert

from .layouts import OUTER_BYTES, Short, TemplateWrite, network

__all__ = ["Outward"]

_BEATS = (OUTER_BYTES + 7) // 8


class Outward(wiring.Component):
    """Puts the template in front of frames whose port is the tunnel's, with their lengths and the
    IPv4 header's checksum; they leave by port 0. All others pass as they are.

    In the place of the checksum the template has the ones' complement sum of the rest of the IPv4
    header with a total length of zero. UDP goes without one (RFC 7348, 5).

    A frame in the tunnel takes 18 cycles more than its beats.

    Parameters
    ----------
    way
        The tunnel's port.

    Members
    -------
    i, o : In(stream.Signature(Short)), Out(stream.Signature(Short))
        Frames.
    write : In(TemplateWrite)
        Of the template.
    """

    i: In(stream.Signature(Short))
    o: Out(stream.Signature(Short))
    write: In(TemplateWrite)

    def __init__(self, way: int):
        self.way = way
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.insert = insert = HeaderInsert(Short, lengths=[OUTER_BYTES])
        i = self.i.payload
        inside = Signal()
        m.d.comb += [
            inside.eq(i.port == self.way),
            insert.insert.eq(inside),
            insert.i.valid.eq(self.i.valid),
            self.i.ready.eq(insert.i.ready),
            insert.i.payload.packet.eq(i.packet),
            insert.i.payload.length.eq(i.length + Mux(inside, OUTER_BYTES, 0)),
            insert.i.payload.port.eq(Mux(inside, 0, i.port)),
        ]
        connect(m, insert.o, flipped(self.o))

        # Both halves of a beat are read at once.
        index = Signal(range(_BEATS))
        words = Signal(64)
        halves = []
        for half in range(2):
            m.submodules[f"half_{half}"] = ram = Ram(shape=32, depth=8, init=[])
            read, write = ram.read_port(), ram.write_port()
            m.d.comb += [
                read.addr.eq(index),
                write.addr.eq(self.write.addr[1:]),
                write.data.eq(self.write.data),
                write.en.eq(self.write.en & (self.write.addr[0] == half)),
            ]
            halves.append(read.data)
        m.d.comb += words.eq(Cat(*halves))

        total, udp = Signal(16), Signal(16)
        together, checksum = Signal(17), Signal(16)
        beat = insert.header.payload
        m.d.comb += [
            total.eq(i.length + (OUTER_BYTES - 14)),
            udp.eq(i.length + (OUTER_BYTES - 14 - 20)),
            together.eq(network(words, 0, 2) + total),
            checksum.eq(~(together[:16] + together[16])),
            beat.data.eq(words),
            beat.last.eq(index == _BEATS - 1),
            beat.empty.eq(Mux(beat.last, 8 * _BEATS - OUTER_BYTES, 0)),
        ]
        # Total length at byte 16, checksum at 24, UDP's length at 38.
        for at, value in ((16, total), (24, checksum), (38, udp)):
            with m.If(index == at // 8):
                m.d.comb += beat.data[8 * (at % 8) :][:16].eq(Cat(value[8:], value[:8]))
        ready = Signal()
        m.d.comb += insert.header.valid.eq(ready)
        with m.If(~ready):
            m.d.sync += ready.eq(self.i.valid & inside)
        with m.Elif(insert.header.ready):
            m.d.sync += [ready.eq(0), index.eq(Mux(beat.last, 0, index + 1))]
        return m

"""Takes headers of requests apart."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.interface import PacketStream

from .layouts import MAX_RANGE_SECTORS, Header, Kind

__all__ = ["HeaderParser"]

#: Types of requests, by number (5.2.6).
TYPES = {
    0: Kind.IN,
    1: Kind.OUT,
    4: Kind.FLUSH,
    8: Kind.GET_ID,
    11: Kind.DISCARD,
    13: Kind.WRITE_ZEROES,
}


class HeaderParser(wiring.Component):
    """Makes a ``Header`` of 16 or 32 bytes: ``struct virtio_blk_req``, and a range behind it.

    One beat a cycle; the header stands a cycle behind the last.

    Members
    -------
    i : In(PacketStream)
        The bytes.
    o : Out(stream.Signature(Header))
        What they say.
    """

    i: In(PacketStream)
    o: Out(stream.Signature(Header))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        beat, header = self.i.payload, self.o.payload
        number = Signal(2)
        sectors, flags = beat.data[:32], beat.data[32:]
        excess = ~below(sectors, MAX_RANGE_SECTORS + 1)
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                number.eq(number + 1),
                header.ranged.eq(number.all()),
                header.failed.eq(beat.last & beat.error),
                self.o.valid.eq(beat.last),
            ]
            with m.If(beat.last):
                m.d.sync += number.eq(0)
            with m.Switch(number):
                with m.Case(0):
                    m.d.sync += header.kind.eq(Kind.UNKNOWN)
                    for value, kind in TYPES.items():
                        with m.If(beat.data[:32] == value):
                            m.d.sync += header.kind.eq(kind)
                with m.Case(1, 2):
                    m.d.sync += header.sector.eq(beat.data)
                with m.Case(3):
                    m.d.sync += [
                        header.sectors.eq(sectors),
                        header.unmap.eq(flags[0]),
                        header.reserved.eq(flags[1:].any()),
                    ]
                    with m.If(excess):
                        m.d.sync += header.sectors.eq(0)
        return m

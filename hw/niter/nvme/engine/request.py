"""Makes block requests of commands."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.interface import BlockOpcode, BlockRequest

from .layouts import TAG_BITS, Kind

__all__ = ["CHUNK", "CHUNK_BITS", "Request"]

#: Blocks of one request of a command without data, which may be longer than a request.
CHUNK_BITS = 12
CHUNK = 1 << CHUNK_BITS

_OPCODES = {
    Kind.FLUSH: BlockOpcode.FLUSH,
    Kind.WRITE: BlockOpcode.WRITE,
    Kind.READ: BlockOpcode.READ,
    Kind.COMPARE: BlockOpcode.READ,
    Kind.WRITE_ZEROES: BlockOpcode.WRITE_ZEROES,
    Kind.DATASET: BlockOpcode.DISCARD,
    Kind.VERIFY: BlockOpcode.VERIFY,
}


class Request(wiring.Component):
    """Holds a request until the block port accepts it. Latency 1 cycle.

    Members
    -------
    make : In(1)
        Make a request; only while ``o`` has none.
    tag, kind, fua, volume
        Of the command.
    large : In(1)
        A block has eight sectors, not one.
    first, blocks : In(56), In(33)
        What of the command is left.
    parts : In(1)
        The command may be longer than a request.
    big : Out(1)
        It is: this request is for ``CHUNK`` blocks only. Combinational.
    o : Out(stream.Signature(BlockRequest))
        Block port.
    """

    make: In(1)
    tag: In(TAG_BITS)
    kind: In(Kind)
    fua: In(1)
    volume: In(4)
    large: In(1)
    first: In(56)
    blocks: In(33)
    parts: In(1)
    big: Out(1)
    o: Out(stream.Signature(BlockRequest))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        count = Signal(17)
        request = self.o.payload
        m.d.comb += [
            self.big.eq(self.parts & ~below(self.blocks, CHUNK + 1)),
            count.eq(Mux(self.big, CHUNK, self.blocks)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.make):
            m.d.sync += [
                self.o.valid.eq(1),
                request.tag.eq(self.tag),
                request.volume.eq(self.volume),
                request.fua.eq(self.fua & (self.kind == Kind.WRITE)),
                request.lba.eq(Mux(self.large, self.first << 3, self.first)),
                request.sectors.eq(Mux(self.large, count << 3, count)),
            ]
            with m.Switch(self.kind):
                for kind, opcode in _OPCODES.items():
                    with m.Case(kind):
                        m.d.sync += request.opcode.eq(opcode)
        return m

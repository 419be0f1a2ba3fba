"""Says what becomes of a request: a block request, an answer at once, or neither."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import SECTOR_BYTES, BlockOpcode, BlockStatus

from .layouts import DATA_BITS, ID_BYTES, Facts, Header, Kind

__all__ = ["STATUS", "Check", "Outcome"]

_SECTOR_SHIFT = SECTOR_BYTES.bit_length() - 1

#: Requests that the volumes carry out.
OPCODES = {
    Kind.IN: BlockOpcode.READ,
    Kind.OUT: BlockOpcode.WRITE,
    Kind.FLUSH: BlockOpcode.FLUSH,
    Kind.DISCARD: BlockOpcode.DISCARD,
    Kind.WRITE_ZEROES: BlockOpcode.WRITE_ZEROES,
}


class Outcome(enum.Enum, shape=3):
    """What becomes of a request. The lowest two bits of those with an answer are the status."""

    #: VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP.
    OK = 0
    IOERR = 1
    UNSUPP = 2
    #: It is for the volumes.
    REQUEST = 4
    #: It is answered with the identity of the disk.
    IDENTITY = 5


#: How a request is answered that has ended like this; all others with IOERR.
STATUS = {BlockStatus.OK: Outcome.OK, BlockStatus.UNSUPPORTED: Outcome.UNSUPP}


class Check(wiring.Component):
    """Judges a request that can be answered (virtio 1.2, 5.2.6). Combinational.

    - Without a whole header, or with one that could not be read, with more data segments than
      are kept, or too much data: IOERR.
    - Of a type that does not exist, or was not negotiated: UNSUPP.
    - IN and OUT have data in their direction only, one or more whole sectors: else IOERR.
    - GET_ID has room for 20 bytes exactly, FLUSH no room for data: else IOERR.
    - DISCARD and WRITE_ZEROES have one range, of 1 to 32768 sectors: else IOERR. Flags that do
      not exist, and ``unmap`` of a DISCARD, are UNSUPP.
    - A sector that no volume can have is IOERR; all other limits are the volumes' to see to.

    Members
    -------
    facts : In(Facts), total : In(25)
        The request, and the bytes of its data.
    header : In(Header)
        Its header, unless it is headless.
    discard, write_zeroes : In(1)
        What its driver has negotiated.
    outcome : Out(Outcome)
        What becomes of it.
    opcode : Out(BlockOpcode), sectors : Out(16)
        Of a ``REQUEST``.
    """

    facts: In(Facts)
    total: In(DATA_BITS)
    header: In(Header)
    discard: In(1)
    write_zeroes: In(1)
    outcome: Out(Outcome)
    opcode: Out(BlockOpcode)
    sectors: Out(16)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        facts, header = self.facts, self.header
        whole = (self.total[:_SECTOR_SHIFT] == 0) & (self.total != 0)
        verdict = Signal(Outcome)
        ranges = Signal()
        m.d.comb += [
            ranges.eq((header.kind == Kind.DISCARD) | (header.kind == Kind.WRITE_ZEROES)),
            self.sectors.eq(Mux(ranges, header.sectors, self.total >> _SECTOR_SHIFT)),
        ]
        with m.Switch(header.kind):
            for kind, opcode in OPCODES.items():
                with m.Case(kind):
                    m.d.comb += self.opcode.eq(opcode)

        def answer(good, verdict_if_good=Outcome.REQUEST):
            m.d.comb += verdict.eq(Mux(good, verdict_if_good, Outcome.IOERR))

        with m.Switch(header.kind):
            with m.Case(Kind.IN):
                answer(whole & facts.reads & ~facts.writes & ~header.ranged)
            with m.Case(Kind.OUT):
                answer(whole & facts.writes & ~facts.reads)
            with m.Case(Kind.FLUSH):
                answer(~facts.reads)
            with m.Case(Kind.GET_ID):
                sized = self.total == ID_BYTES
                answer(sized & facts.reads & ~facts.writes & ~header.ranged, Outcome.IDENTITY)
            with m.Case(Kind.DISCARD, Kind.WRITE_ZEROES):
                answer(header.ranged & (header.sectors != 0) & ~facts.reads)
                with m.If(header.ranged & header.reserved):
                    m.d.comb += verdict.eq(Outcome.UNSUPP)
            with m.Default():
                m.d.comb += verdict.eq(Outcome.UNSUPP)
        with m.If((header.kind == Kind.DISCARD) & ((header.ranged & header.unmap) | ~self.discard)):
            m.d.comb += verdict.eq(Outcome.UNSUPP)
        with m.If((header.kind == Kind.WRITE_ZEROES) & ~self.write_zeroes):
            m.d.comb += verdict.eq(Outcome.UNSUPP)

        m.d.comb += self.outcome.eq(verdict)
        far = (verdict == Outcome.REQUEST) & header.sector[56:].any()
        with m.If(facts.headless | facts.excess | header.failed | far):
            m.d.comb += self.outcome.eq(Outcome.IOERR)
        return m

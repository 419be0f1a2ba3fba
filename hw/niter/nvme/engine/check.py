"""The bounds of a command: its blocks in the namespace, its data in the host's pages."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .fetch import RANGE_BYTES
from .layouts import MAX_SECTORS, PAGE_BITS, Kind, Record

__all__ = ["Check"]


class Check(wiring.Component):
    """Works out what is wrong with a command. The outputs stand 3 cycles after the inputs.

    Members
    -------
    kind : In(Kind)
        What the command does.
    first : In(64)
        Its first block.
    blocks : In(33)
        How many they are.
    ranges : In(8)
        Ranges less one, with DATASET.
    prp1, prp2 : In(64)
        Where its data is.
    record : In(Record)
        Its namespace.
    moves : Out(1)
        It is a command with data. Combinational.
    outside : Out(1)
        Blocks lie outside of the namespace.
    too_long : Out(1)
        There is more data than MDTS allows.
    misaligned : Out(1)
        PRP1, or PRP2 as far as it is used, has an offset that it may not have
        (Base 2.0, 4.1.1).
    entries : Out(6)
        Pages beside the first that the data lies in: with one PRP2 names it, with more a list.
    """

    kind: In(Kind)
    first: In(64)
    blocks: In(33)
    ranges: In(8)
    prp1: In(64)
    prp2: In(64)
    record: In(Record)
    moves: Out(1)
    outside: Out(1)
    too_long: Out(1)
    misaligned: Out(1)
    entries: Out(6)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        end = Signal(57)
        far = Signal()
        m.d.sync += [
            end.eq(self.first[:56] + self.blocks),
            far.eq(self.first[56:].any()),
            self.outside.eq(far | (end > self.record.blocks)),
        ]

        # Sectors of a block command, 512 bytes; ranges for the others.
        sectors = Signal(9)
        dataset = Signal()
        final = Signal(18)
        m.d.comb += [
            self.moves.eq(
                (self.kind == Kind.READ) | (self.kind == Kind.WRITE) | (self.kind == Kind.COMPARE)
            ),
            dataset.eq(self.kind == Kind.DATASET),
            sectors.eq(Mux(self.record.large, self.blocks << 3, self.blocks)),
        ]
        size = Signal(18)
        m.d.sync += [
            size.eq(Mux(dataset, RANGE_BYTES * (self.ranges + 1), sectors << 9)),
            # Of the last byte.
            final.eq(self.prp1[:PAGE_BITS] + size - 1),
            self.too_long.eq(self.blocks > Mux(self.record.large, MAX_SECTORS // 8, MAX_SECTORS)),
        ]
        more = Signal(6)
        m.d.comb += more.eq(final[PAGE_BITS:])
        m.d.sync += [
            self.entries.eq(more),
            self.misaligned.eq(
                (self.moves | dataset)
                & (
                    self.prp1[:2].any()
                    | ((more != 0) & self.prp2[:3].any())
                    | ((more == 1) & self.prp2[3:PAGE_BITS].any())
                )
            ),
        ]
        return m

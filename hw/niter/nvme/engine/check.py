"""The bounds of a command: its blocks in the namespace, its data in the host's pages."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below, less

from .fetch import RANGE_BYTES
from .layouts import MAX_SECTORS, PAGE_BITS, Kind, Outcome, Record

__all__ = ["Check"]


class Check(wiring.Component):
    """Works out what is wrong with a command, or with a range of it.

    The outputs stand 3 cycles after the record's flags and the command, 1 after the record's size.

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
    fresh : In(1)
        It has just come; otherwise it has been checked, and this is a range, or a namespace of
        many.
    broadcast : In(1)
        It is about all namespaces.
    prp1, prp2 : In(64)
        Where its data is, while ``fresh``.
    record : In(Record)
        Its namespace.
    moves : Out(1)
        It is a command with data. Combinational.
    skips : Out(1)
        There is nothing to do: the namespace is not active, or the range is empty.
    refusal : Out(Outcome)
        What is wrong: the namespace is not active, or may not be written; there is more data
        than MDTS allows; PRP1, or PRP2 as far as it is used, has an offset that it may not have
        (Base 2.0, 4.1.1); blocks lie outside of the namespace.
    entries : Out(6)
        Pages beside the first that the data lies in: with one PRP2 names it, with more a list.
    """

    kind: In(Kind)
    first: In(64)
    blocks: In(33)
    ranges: In(8)
    fresh: In(1)
    broadcast: In(1)
    prp1: In(64)
    prp2: In(64)
    record: In(Record)
    moves: Out(1)
    skips: Out(1)
    refusal: Out(Outcome)
    entries: Out(6)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        end = Signal(57)
        far, outside = Signal(), Signal()
        m.d.sync += [
            end.eq(self.first[:56] + self.blocks),
            far.eq(self.first[56:].any()),
            outside.eq(far | less(self.record.blocks, end)),
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
        too_long, misaligned = Signal(), Signal()
        m.d.sync += [
            size.eq(Mux(dataset, RANGE_BYTES * (self.ranges + 1), sectors << 9)),
            # Of the last byte.
            final.eq(self.prp1[:PAGE_BITS] + size - 1),
            too_long.eq(
                Mux(
                    self.record.large,
                    ~below(self.blocks, MAX_SECTORS // 8 + 1),
                    ~below(self.blocks, MAX_SECTORS + 1),
                )
            ),
        ]
        more = Signal(6)
        m.d.comb += more.eq(final[PAGE_BITS:])
        m.d.sync += [
            self.entries.eq(more),
            misaligned.eq(
                (self.moves | dataset)
                & (
                    self.prp1[:2].any()
                    | ((more != 0) & self.prp2[:3].any())
                    | ((more == 1) & self.prp2[3:PAGE_BITS].any())
                )
            ),
        ]

        changes = Signal()
        m.d.comb += [
            changes.eq(dataset | (self.kind == Kind.WRITE) | (self.kind == Kind.WRITE_ZEROES)),
            self.skips.eq(
                Mux(
                    self.broadcast,
                    ~self.record.active,
                    dataset & ~self.fresh & (self.blocks == 0),
                )
            ),
        ]
        with m.If(outside & (self.kind != Kind.FLUSH) & ~(dataset & self.fresh)):
            m.d.comb += self.refusal.eq(Outcome.OUT_OF_RANGE)
        with m.If(self.fresh & misaligned):
            m.d.comb += self.refusal.eq(Outcome.PRP_OFFSET)
        with m.If(self.moves & too_long):
            m.d.comb += self.refusal.eq(Outcome.INVALID_FIELD)
        with m.If(changes & self.record.read_only):
            m.d.comb += self.refusal.eq(Outcome.WRITE_PROTECTED)
        with m.If(~self.record.active):
            m.d.comb += self.refusal.eq(Outcome.INVALID_FIELD)
        return m

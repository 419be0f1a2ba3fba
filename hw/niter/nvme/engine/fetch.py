"""Fetches what a command keeps in host memory beside its data: PRP lists, ranges."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, HostRead

from .layouts import PAGE_BITS, Fetched, Job, Outcome, PlacePort, StorePage

__all__ = ["RANGE_BYTES", "Fetch"]

#: A range of Dataset Management: attributes, length in blocks, first block.
RANGE_BYTES = 16

_PAGE_ENTRIES = (1 << PAGE_BITS) // BEAT_BYTES


class Fetch(wiring.Component):
    """Carries out a job at a time.

    A PRP list goes into the table of pages whole, before the command's data moves: it is then
    known to be right, and its pages are found in any order. It is one read, two when it is
    chained, as a list may be that does not begin a page: the last entry of its page then points
    to the rest. Every entry names the start of a page, or the job ends in ``PRP_OFFSET``
    (Base 2.0, 4.1.1). A range is data of the command, and may lie across two of its pages.

    A job takes about 10 cycles beyond the answer to its reads, 20 with two.

    Members
    -------
    job : In(stream.Signature(Job))
        What to fetch.
    o : Out(stream.Signature(Fetched))
        How that ended.
    page : Out(StorePage)
        Table of pages.
    place : Out(PlacePort)
        Where a range lies.
    read : Out(HostRead)
        Host memory.
    busy : Out(1)
        There is a job, or its end has not been taken.
    """

    job: In(stream.Signature(Job))
    o: Out(stream.Signature(Fetched))
    page: Out(StorePage)
    place: Out(PlacePort)
    read: Out(HostRead)
    busy: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        job = Signal(Job)
        outcome = Signal(Outcome)
        command = self.read.command.payload
        beat = self.read.answer.payload.packet
        # Of a list: entries that fit on its page, and entries stored.
        fits, stored = Signal(10), Signal(6)
        beyond, chained = Signal(), Signal()
        # Of a range: its last three dwords, and how many of four are still to come.
        dwords, missing = Signal(96), Signal(3)
        to_end = Signal(PAGE_BITS - 1)
        asked = Signal(3)
        m.d.comb += [
            fits.eq(_PAGE_ENTRIES - job.address[3:PAGE_BITS]),
            beyond.eq(job.entries > fits),
            command.function.eq(job.function),
            self.place.request.payload.tag.eq(job.tag),
            self.place.request.payload.byte.eq(Cat(C(0, 2), (4 - missing)[:2], job.number)),
            to_end.eq(((1 << PAGE_BITS) - self.place.place.address[:PAGE_BITS]) >> 2),
            self.page.tag.eq(job.tag),
            self.page.entry.eq(stored),
            self.page.data.eq(beat.data[PAGE_BITS:]),
            self.o.payload.tag.eq(job.tag),
            self.o.payload.outcome.eq(outcome),
            Cat(self.o.payload.blocks, self.o.payload.start).eq(dwords),
        ]
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [
                    job.eq(self.job.payload),
                    stored.eq(0),
                    missing.eq(RANGE_BYTES // 4),
                    outcome.eq(Outcome.OK),
                ]
                with m.If(self.job.valid):
                    m.next = "LIST"
                    with m.If(self.job.payload.range):
                        m.next = "ASK"

            with m.State("LIST"):
                m.d.sync += [
                    chained.eq(beyond),
                    command.address.eq(job.address),
                    command.length.eq(Mux(beyond, fits, job.entries) << 3),
                ]
                m.next = "READ LIST"
            with m.State("READ LIST"):
                m.d.comb += self.read.command.valid.eq(1)
                with m.If(self.read.command.ready):
                    m.next = "ENTRIES"
            with m.State("ENTRIES"):
                pointer = chained & beat.last
                m.d.comb += self.read.answer.ready.eq(1)
                with m.If(self.read.answer.valid & self.read.answer.ready):
                    m.d.comb += self.page.en.eq(~pointer)
                    m.d.sync += stored.eq(stored + ~pointer)
                    with m.If(beat.data[:PAGE_BITS].any() & (outcome == Outcome.OK)):
                        m.d.sync += outcome.eq(Outcome.PRP_OFFSET)
                    with m.If(beat.last):
                        m.next = "NEXT"
                        m.d.sync += job.address.eq(beat.data)
                        with m.If(beat.error):
                            m.d.sync += outcome.eq(Outcome.DATA_TRANSFER)
                            m.next = "DONE"
                        with m.If(~chained):
                            m.next = "DONE"
                        m.d.sync += job.entries.eq(job.entries - fits + 1)
            with m.State("NEXT"):
                m.next = "LIST"
                with m.If(outcome != Outcome.OK):
                    m.next = "DONE"

            with m.State("ASK"):
                m.d.comb += self.place.request.valid.eq(1)
                with m.If(self.place.request.ready):
                    m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    command.address.eq(self.place.place.address),
                    asked.eq(Mux(to_end < missing, to_end, missing)),
                ]
                with m.If(self.place.done):
                    m.next = "READ RANGE"
            with m.State("READ RANGE"):
                m.d.sync += command.length.eq(asked << 2)
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.command.valid.eq(1)
                with m.If(self.read.command.ready):
                    m.d.sync += missing.eq(missing - asked)
                    m.next = "DWORDS"
            with m.State("DWORDS"):
                m.d.comb += self.read.answer.ready.eq(1)
                with m.If(self.read.answer.valid):
                    with m.If(beat.last & beat.empty[2]):
                        m.d.sync += dwords.eq(Cat(dwords[32:], beat.data[:32]))
                    with m.Else():
                        m.d.sync += dwords.eq(Cat(dwords[64:], beat.data))
                    with m.If(beat.last):
                        m.next = "DONE"
                        with m.If(beat.error):
                            m.d.sync += outcome.eq(Outcome.DATA_TRANSFER)
                        with m.Elif(missing != 0):
                            m.next = "ASK"

            with m.State("DONE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m

"""Takes chains in: their headers are read, and their data is entered in the table of segments."""

from amaranth import Mux, Signal
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.interface import ReadCommand
from niter.virtio.queue.layouts import Segment as ChainSegment

from .layouts import (
    DATA_BITS,
    FACTS_INDEX,
    HEADER_BYTES,
    MAX_SEGMENTS,
    TAG_BITS,
    Arrival,
    Facts,
    Segment,
    StoreEntry,
    Ticket,
)

__all__ = ["Intake"]

#: A header and one range: what a discard is made of, and nothing else.
_RANGED_BYTES = 2 * HEADER_BYTES


class Intake(wiring.Component):
    """Gives each chain a tag, and finds header, data and status in it.

    How a driver cuts a request into descriptors means nothing (virtio 1.2, 2.7.4): the first 16
    device-readable bytes are the header, the last device-writable byte takes the status, and all
    else is data. If there are 32 readable bytes in all they can only be a header and a range,
    and both are read.

    The pieces of a header are read so that each begins at the lane behind the one before, and
    their answers join. A segment takes 4 cycles, or 5 if part of a header and data stand in it; a
    chain takes one more. Nothing is taken while no tag is free.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains, as the queue engine pushes them: whole, one after another, no segment empty.
    tags : In(stream.Signature(TAG_BITS))
        Free tags.
    command : Out(stream.Signature(ReadCommand))
        Reads of headers; their context is a ``Ticket``.
    store : Out(StoreEntry), store_valid : Out(1)
        To the table of segments.
    arrival : Out(Arrival), arrived : Out(1)
        A chain is through, in the cycle in which its last entry is stored.
    """

    i: In(stream.Signature(ChainSegment))
    tags: In(stream.Signature(TAG_BITS))
    command: Out(stream.Signature(ReadCommand))
    store: Out(StoreEntry)
    store_valid: Out(1)
    arrival: Out(Arrival)
    arrived: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        segment = self.i.payload
        command = self.command.payload

        # Of the chain: what is missing of its header, and its data so far.
        tag = Signal(TAG_BITS)
        missing = Signal(range(_RANGED_BYTES + 1))
        facts = Signal(Facts)
        offset = Signal(DATA_BITS)
        full = Signal()
        # Of the segment: the data in it, and how much of the header. Where the data begins, or,
        # behind that, where it has ended: there the status stands. Either is worked out anew in
        # each cycle from what the segment is.
        base, left = Signal(64), Signal(32)
        taken = Signal.like(left[:6])
        portion, header = Signal.like(missing), Signal.like(missing)
        short, at_end = Signal(), Signal()
        begins, nothing = Signal(), Signal()
        end = Signal(DATA_BITS + 1)
        data = Signal(Segment)
        ticket = Signal(Ticket)
        m.d.comb += [
            short.eq(~segment.length[6:].any() & (segment.length[:6] < missing)),
            portion.eq(Mux(short, segment.length[:6], missing)),
            at_end.eq(segment.writable & segment.last),
            end.eq(offset + left[:DATA_BITS]),
            data.address.eq(base),
            data.end.eq(end),
            ticket.final.eq(portion == missing),
            command.address.eq(segment.address),
            command.length.eq(portion),
            command.function.eq(segment.queue.function),
            command.lane.eq(-missing[:3]),
            command.context.eq(ticket),
            self.store.tag.eq(tag),
            self.store.index.eq(facts.count),
            self.store.content.eq(data),
            self.arrival.tag.eq(tag),
            self.arrival.headed.eq(~facts.headless),
            full.eq(facts.count == MAX_SEGMENTS),
        ]
        # ``left`` is nothing while the header is being read, so that no more is added than needed.
        m.d.sync += [
            base.eq(segment.address + (left | header)),
            left.eq(segment.length - taken),
        ]
        with m.FSM():
            with m.State("SEGMENT"):
                m.d.comb += nothing.eq(1)
                with m.If(self.i.valid & segment.first):
                    m.d.comb += begins.eq(1)
                    m.d.sync += [
                        tag.eq(self.tags.payload),
                        facts.eq(0),
                        facts.queue.eq(segment.queue),
                        facts.head.eq(segment.head),
                        facts.mute.eq(1),
                        facts.headless.eq(below(segment.total, HEADER_BYTES)),
                        missing.eq(HEADER_BYTES),
                    ]
                    with m.If(segment.total == _RANGED_BYTES):
                        m.d.sync += missing.eq(_RANGED_BYTES)
                    with m.If(below(segment.total, HEADER_BYTES)):
                        m.d.sync += missing.eq(0)
                with m.If(self.i.valid & (self.tags.valid | ~segment.first)):
                    m.d.comb += self.tags.ready.eq(segment.first)
                    m.next = "SPLIT"

            with m.State("SPLIT"):
                m.next = "DATA"
                with m.If(~segment.writable & (missing != 0)):
                    m.d.comb += nothing.eq(1)
                    m.next = "HEADER"
                with m.If(at_end):
                    m.d.comb += taken.eq(1)
                    m.d.sync += facts.mute.eq(0)
            with m.State("HEADER"):
                m.d.comb += [self.command.valid.eq(1), header.eq(portion), taken.eq(portion)]
                with m.If(self.command.ready):
                    m.d.sync += missing.eq(missing - portion)
                    m.next = "DATA"
                with m.Else():
                    m.d.comb += nothing.eq(1)

            with m.State("DATA"):
                m.d.comb += self.store_valid.eq((left != 0) & ~full)
                with m.If(left != 0):
                    m.d.sync += [
                        facts.reads.eq(facts.reads | segment.writable),
                        facts.writes.eq(facts.writes | ~segment.writable),
                        offset.eq(end),
                        facts.count.eq(facts.count + ~full),
                        facts.excess.eq(
                            facts.excess | full | end[DATA_BITS] | left[DATA_BITS:].any()
                        ),
                    ]
                m.next = "FACTS"
                with m.If(~segment.last):
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "SEGMENT"
            with m.State("FACTS"):
                m.d.comb += [
                    self.store_valid.eq(1),
                    self.store.index.eq(FACTS_INDEX),
                    self.store.content.eq(facts),
                    self.store.content[:64].eq(base),
                    self.arrived.eq(1),
                    self.i.ready.eq(1),
                ]
                m.next = "SEGMENT"
        # Last, where synthesis finds resets.
        with m.If(nothing):
            m.d.sync += left.eq(0)
        with m.If(begins):
            m.d.sync += offset.eq(0)
        return m

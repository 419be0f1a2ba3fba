"""Hands complete chains of pushed queues to the device."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import Segment
from .messages import Job, Release
from .walker import SegmentAddress, SegmentWord

__all__ = ["Pusher", "grain"]


def grain(count):
    """Logarithm of a number of segments, 1 to 64, rounded up, at most 5."""
    less = count - 1
    few = Mux(less[2], 3, Mux(less[1], 2, less[0]))
    return Mux(less[4:] != 0, 5, Mux(less[3], 4, few))


class Pusher(wiring.Component):
    """Sends a chain's segments, five cycles each, and gives its slot back.

    Members
    -------
    job : In(stream.Signature(Job))
    address : Out(SegmentAddress), segment : In(SegmentWord)
        Look-up of stored segments, one cycle later.
    fetching : Out(1)
        The look-up is taken in this cycle.
    segments : Out(stream.Signature(Segment))
    release : Out(stream.Signature(Release))
    """

    job: In(stream.Signature(Job))
    address: Out(SegmentAddress)
    segment: In(SegmentWord)
    fetching: Out(1)
    segments: Out(stream.Signature(Segment))
    release: Out(stream.Signature(Release))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        job = Signal(Job)
        index = Signal(7)
        out = self.segments.p
        words = Signal(64)
        m.d.comb += [
            self.address.index.eq(index),
            out.queue.eq(job.row),
            out.head.eq(job.head),
            out.total.eq(job.total),
            out.first.eq(index == 0),
            out.last.eq(index + 1 == job.count),
            out.address.eq(words),
            self.release.p.slot.eq(job.slot),
            self.release.p.row.eq(job.row),
            self.release.p.delivered.eq(1),
            self.release.p.grain.eq(grain(job.count)),
        ]
        length, writable = Signal(32), Signal()
        m.d.comb += self.address.slot.eq(job.slot)
        m.d.comb += [out.length.eq(length), out.writable.eq(writable)]
        with m.FSM():
            with m.State("IDLE"):
                # The first segment's first word is read at once.
                m.d.comb += [
                    self.job.ready.eq(1),
                    self.address.slot.eq(self.job.p.slot),
                    self.fetching.eq(self.job.valid),
                ]
                m.d.sync += job.eq(self.job.p)
                with m.If(self.job.valid):
                    m.next = "HIGH"
            with m.State("LOW"):
                m.d.comb += [self.fetching.eq(1), self.address.part.eq(0)]
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [self.fetching.eq(1), self.address.part.eq(1)]
                m.d.sync += words[:32].eq(self.segment.word)
                m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += [self.fetching.eq(1), self.address.part.eq(2)]
                m.d.sync += words[32:].eq(self.segment.word)
                m.next = "LAST"
            with m.State("LAST"):
                m.d.sync += [length.eq(self.segment.word), writable.eq(self.segment.writable)]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.segments.valid.eq(1)
                with m.If(self.segments.ready):
                    m.d.sync += index.eq(index + 1)
                    m.next = "LOW"
                    with m.If(out.last):
                        m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += self.release.valid.eq(1)
                m.d.sync += index.eq(0)
                with m.If(self.release.ready):
                    m.next = "IDLE"
        return m

"""Keeps chains of pulled queues at hand and offers them when a device asks."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram

from .geometry import RING_WORDS, Geometry
from .layouts import Offer, Take, TakeOperation
from .messages import Commit, ControlKind, Job, Release, Supervision
from .pusher import grain
from .walker import SegmentAddress, SegmentWord

__all__ = ["Puller"]

#: Position in a ring of words.
_POINTER_BITS = (RING_WORDS - 1).bit_length()


class Row(data.Struct):
    """Of a pulled queue: where its ring is filled, taken and committed up to."""

    enabled: 1
    flushing: 1
    filled: _POINTER_BITS
    taken: _POINTER_BITS
    committed: _POINTER_BITS
    chains: 6


class Word(data.Struct):
    """A third of a segment: address (low, high), length; and of what else is known of it, four
    bits each: those of the head, then two of the head, ``last`` and ``writable``."""

    word: 32
    extra: 4


class Puller(wiring.Component):
    """A ring of segments for each pulled queue, filled from the slots.

    Segments are taken in order; those taken and not committed stay in the ring, so that a
    roll-back forgets nothing. A chain for which there is no room goes back to be begun anew;
    one for which the empty ring has none is a fault. A segment takes six cycles on its way in
    and four on its way out; what the device asks has precedence between chains.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    supervision : In(Supervision)
        ``idle``: the device has no chain of that row that is neither committed nor rolled back.
    job : In(stream.Signature(Job))
    address : Out(SegmentAddress), segment : In(SegmentWord)
        Look-up of stored segments, one cycle later.
    busy : In(1)
        The look-up is not possible in this cycle.
    take : In(stream.Signature(Take))
    offers : Out(stream.Signature(Offer))
    commit : Out(stream.Signature(Commit))
    judged : In(1), judged_row : In(7), coming : In(1)
        Whether chains of a row are on their way. What a commit or a release has changed of that
        is told within four cycles.
    release : Out(stream.Signature(Release))
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "supervision": In(Supervision),
                "job": In(stream.Signature(Job)),
                "address": Out(SegmentAddress),
                "segment": In(SegmentWord),
                "busy": In(1),
                "take": In(stream.Signature(Take)),
                "offers": Out(stream.Signature(Offer)),
                "commit": Out(stream.Signature(Commit)),
                "release": Out(stream.Signature(Release)),
                "judged": In(1),
                "judged_row": In(7),
                "coming": In(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        ring_bits = g.row_bits - 4 + g.pulled_bits
        m.submodules.rows = rows = memory.Memory(shape=Row, depth=1 << ring_bits, init=[])
        store, load = rows.write_port(), rows.read_port(domain="comb")
        m.submodules.words = words = Ram(shape=Word, depth=RING_WORDS << ring_bits, init=[])
        fill, shown = words.write_port(), words.read_port()

        q = Signal(7)
        ring, known = self._place(m, q)
        judged_ring, judged_known = self._place(m, self.judged_row)
        m.submodules.coming = coming = memory.Memory(shape=1, depth=1 << ring_bits, init=[])
        tell, is_coming = coming.write_port(), coming.read_port(domain="comb")
        soon = Signal()
        m.d.comb += [
            tell.addr.eq(judged_ring),
            tell.data.eq(self.coming),
            tell.en.eq(self.judged & judged_known),
            is_coming.addr.eq(ring),
            self.offers.p.soon.eq(soon),
        ]
        row = Signal(Row)
        operation = Signal(TakeOperation)
        job = Signal(Job)
        job_valid = Signal()
        count = Signal(7)
        part = Signal(2)
        at, following = Signal(_POINTER_BITS), Signal(_POINTER_BITS)
        out = self.offers.p.segment
        extra = Signal(8)
        is_last = Signal()
        control = self.supervision.control
        active = row.enabled & ~self.supervision.stopped.bit_select(q[4:7], 1) & known
        m.d.comb += [
            load.addr.eq(ring),
            store.addr.eq(ring),
            store.data.eq(row),
            self.job.ready.eq(~job_valid),
            self.address.slot.eq(job.slot),
            self.address.index.eq(count),
            self.address.part.eq(part),
            following.eq(at + 1),
            is_last.eq(count + 1 == job.count),
            fill.addr.eq(Cat(at, ring)),
            fill.data.word.eq(self.segment.word),
            fill.data.extra.eq(Cat(job.head, is_last, self.segment.writable).word_select(part, 4)),
            shown.addr.eq(Cat(at, ring)),
            shown.en.eq(0),
            out.queue.eq(q),
            out.head.eq(Cat(extra, shown.data.extra[:2])),
            self.commit.p.row.eq(q),
            self.commit.p.chains.eq(row.chains),
            self.release.p.slot.eq(job.slot),
            self.release.p.row.eq(job.row),
            self.release.p.grain.eq(grain(job.count)),
            self.supervision.fault_function.eq(q >> 4),
            # The word read last stays on the port.
            out.length.eq(shown.data.word),
            out.writable.eq(shown.data.extra[3]),
            out.last.eq(shown.data.extra[2]),
        ]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [job.eq(self.job.p), job_valid.eq(1)]

        low, high, first = Signal(32), Signal(32), Signal()
        m.d.comb += [out.address.eq(Cat(low, high)), out.first.eq(first)]
        taking, told = Signal(), Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [taking.eq(0), told.eq(0), count.eq(0), part.eq(0)]
                with m.If(control.valid):
                    m.d.sync += [q.eq(control.p.row), told.eq(1)]
                    m.next = "LOAD"
                with m.Elif(self.take.valid):
                    m.d.comb += self.take.ready.eq(1)
                    m.d.sync += [
                        operation.eq(self.take.p.operation),
                        q.eq(self.take.p.queue),
                        taking.eq(1),
                    ]
                    m.next = "LOAD"
                with m.Elif(job_valid):
                    m.d.sync += q.eq(job.row)
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += row.eq(load.data)
                m.next = "JOB"
                with m.If(told):
                    m.next = "CONTROL"
                with m.Elif(taking):
                    m.next = "TAKE"
            with m.State("CONTROL"):
                m.d.comb += control.ready.eq(1)
                m.d.sync += [
                    self.supervision.idle.eq(~known | (row.chains == 0)),
                    row.enabled.eq(0),
                ]
                with m.If(control.p.kind != ControlKind.STOP):
                    m.d.sync += row.eq(0)
                with m.If(control.p.kind == ControlKind.START):
                    m.d.sync += row.enabled.eq(control.p.pulled)
                m.next = "STORE"

            with m.State("TAKE"):
                m.d.sync += [at.eq(row.taken), first.eq(1)]
                with m.If(operation == TakeOperation.CHAIN):
                    with m.If(active & (row.taken != row.filled)):
                        m.next = "OFFER WORDS"
                    with m.Else():
                        m.next = "EMPTY"
                with m.Elif(operation == TakeOperation.ROLLBACK):
                    m.d.sync += [row.taken.eq(row.committed), row.chains.eq(0)]
                    m.next = "STORE"
                with m.Else():
                    m.d.sync += row.committed.eq(row.taken)
                    m.next = "COMMIT"
            with m.State("COMMIT"):
                m.d.comb += self.commit.valid.eq(1)
                with m.If(self.commit.ready):
                    m.d.sync += row.chains.eq(0)
                    m.next = "STORE"
            with m.State("EMPTY"):
                # No sooner: five cycles after a commit, and the fetcher has told what follows.
                m.d.sync += soon.eq(active & is_coming.data)
                m.next = "NONE"
            with m.State("NONE"):
                m.d.comb += [self.offers.valid.eq(1), self.offers.p.none.eq(1)]
                with m.If(self.offers.ready):
                    m.next = "IDLE"
            with m.State("OFFER WORDS"):
                # A word's address goes out here while the one before comes back.
                m.d.comb += shown.en.eq(1)
                m.d.sync += [part.eq(part + 1), at.eq(following)]
                with m.If(part == 1):
                    m.d.sync += [low.eq(shown.data.word), extra[:4].eq(shown.data.extra)]
                with m.If(part == 2):
                    m.d.sync += [
                        high.eq(shown.data.word),
                        extra[4:].eq(shown.data.extra),
                        part.eq(0),
                    ]
                    m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.offers.valid.eq(1)
                with m.If(self.offers.ready):
                    m.d.sync += first.eq(0)
                    m.next = "OFFER WORDS"
                    with m.If(out.last):
                        m.d.sync += [row.taken.eq(at), row.chains.eq(row.chains + 1)]
                        m.next = "STORE"

            with m.State("JOB"):
                m.d.sync += [
                    at.eq(row.filled),
                    self.release.p.delivered.eq(0),
                    self.release.p.misfit.eq(0),
                ]
                with m.If(job.first):
                    m.d.sync += row.flushing.eq(0)
                m.next = "RELEASE"
                with m.If(active & (job.first | ~row.flushing)):
                    m.next = "COPY"
            with m.State("COPY"), m.If(~self.busy):
                m.next = "COPIED"
            with m.State("COPIED"):
                m.d.comb += fill.en.eq(1)
                m.d.sync += [part.eq(part + 1), at.eq(following)]
                m.next = "COPY"
                with m.If(part[1]):
                    m.d.sync += [count.eq(count + 1), part.eq(0)]
                    with m.If(is_last):
                        m.d.sync += [row.filled.eq(following), self.release.p.delivered.eq(1)]
                        m.next = "RELEASE"
                with m.If(following == row.committed):
                    # No room: what was copied is in nobody's way.
                    m.d.sync += [
                        row.filled.eq(row.filled),
                        row.flushing.eq(1),
                        self.release.p.delivered.eq(0),
                        self.release.p.misfit.eq(1),
                    ]
                    m.d.comb += self.supervision.fault.eq(row.filled == row.committed)
                    m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += self.release.valid.eq(1)
                with m.If(self.release.ready):
                    m.d.sync += job_valid.eq(0)
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += store.en.eq(known)
                m.next = "IDLE"
        return m

    def _place(self, m, q):
        """A queue's place among the rings, and whether it has any."""
        g = self.geometry
        ring = Signal(g.row_bits - 4 + g.pulled_bits)
        known = Signal()
        with m.Switch(q[:4]):
            for place, index in enumerate(g.pulled):
                with m.Case(index):
                    m.d.comb += [
                        ring.eq(Cat(C(place, g.pulled_bits), q[4 : g.row_bits])),
                        known.eq(1),
                    ]
        return ring, known

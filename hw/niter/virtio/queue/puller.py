"""Keeps chains of pulled queues at hand and offers them when a device asks."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram

from .geometry import Commit, Control, ControlKind, Geometry, Job, Release
from .layouts import Offer, Take, TakeOperation
from .pusher import grain
from .walker import SegmentAddress, SegmentWord

__all__ = ["Puller"]


class AddressHalf(data.Struct):
    """Half an address, and four bits of the head that the spare bits of the RAM have room for."""

    word: 32
    head: 4


class Rest(data.Struct):
    """The rest of a segment."""

    length: 32
    writable: 1
    last: 1
    head: 2


class Puller(wiring.Component):
    """A ring of segments for each pulled queue, filled from the slots.

    Segments are taken in order; those taken and not committed stay in the ring, so that a
    roll-back forgets nothing. A chain for which there is no room goes back to be begun anew;
    one that is longer than the ring is a fault. A segment takes six cycles on its way in
    and four on its way out; what the device asks has precedence between chains.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    control : In(stream.Signature(Control))
    idle : Out(1)
        Of the row told last, when ``control`` was accepted: the device has no chain of it
        that is neither committed nor rolled back.
    job : In(stream.Signature(Job))
    address : Out(SegmentAddress), segment : In(SegmentWord)
        Look-up of stored segments, one cycle later.
    busy : In(1)
        The look-up is not possible in this cycle.
    take : In(stream.Signature(Take))
    offers : Out(stream.Signature(Offer))
    commit : Out(stream.Signature(Commit))
    release : Out(stream.Signature(Release))
    stopped : In(8)
        Functions that are faulty.
    fault : Out(1), fault_function : Out(3)
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "control": In(stream.Signature(Control)),
                "idle": Out(1),
                "job": In(stream.Signature(Job)),
                "address": Out(SegmentAddress),
                "segment": In(SegmentWord),
                "busy": In(1),
                "take": In(stream.Signature(Take)),
                "offers": Out(stream.Signature(Offer)),
                "commit": Out(stream.Signature(Commit)),
                "release": Out(stream.Signature(Release)),
                "stopped": In(8),
                "fault": Out(1),
                "fault_function": Out(3),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        place_bits = (g.depth - 1).bit_length()
        pointer = place_bits + 1

        class Row(data.Struct):
            """Of a pulled queue: where its ring is filled, taken and committed up to."""

            enabled: 1
            flushing: 1
            filled: pointer
            taken: pointer
            committed: pointer
            chains: 6

        ring_bits = g.row_bits - 4 + g.pulled_bits
        m.submodules.rows = rows = memory.Memory(shape=Row, depth=1 << ring_bits, init=[])
        store, load = rows.write_port(), rows.read_port(domain="comb")
        segments = g.depth << ring_bits
        m.submodules.halves = halves = Ram(shape=AddressHalf, depth=2 * segments, init=[])
        m.submodules.rests = rests = Ram(shape=Rest, depth=segments, init=[])
        fill_half, offer_half = halves.write_port(), halves.read_port()
        fill_rest, offer_rest = rests.write_port(), rests.read_port()

        q = Signal(7)
        ring = Signal(ring_bits)
        known = Signal()
        with m.Switch(q[:4]):
            for place, index in enumerate(g.pulled):
                with m.Case(index):
                    m.d.comb += [
                        ring.eq(Cat(C(place, g.pulled_bits), q[4 : g.row_bits])),
                        known.eq(1),
                    ]
        row = Signal(Row)
        told = Signal(Control)
        operation = Signal(TakeOperation)
        job = Signal(Job)
        job_valid = Signal()
        count = Signal(7)
        part = Signal(2)
        at = Signal(pointer)
        out = self.offers.p.segment
        first = Signal()
        words = Signal(64)
        length, writable, last = Signal(32), Signal(), Signal()
        head = Signal(10)
        active = row.enabled & ~self.stopped.bit_select(q[4:7], 1) & known
        m.d.comb += [
            load.addr.eq(ring),
            store.addr.eq(ring),
            store.data.eq(row),
            self.job.ready.eq(~job_valid),
            self.address.slot.eq(job.slot),
            self.address.index.eq(count),
            self.address.part.eq(part),
            fill_half.addr.eq(Cat(part[0], at[:place_bits], ring)),
            fill_half.data.word.eq(self.segment.word),
            fill_half.data.head.eq(Mux(part[0], job.head[4:8], job.head[:4])),
            fill_rest.addr.eq(Cat(at[:place_bits], ring)),
            fill_rest.data.length.eq(self.segment.word),
            fill_rest.data.writable.eq(self.segment.writable),
            fill_rest.data.last.eq(count + 1 == job.count),
            fill_rest.data.head.eq(job.head[8:]),
            offer_half.addr.eq(Cat(part[0], at[:place_bits], ring)),
            offer_rest.addr.eq(Cat(at[:place_bits], ring)),
            self.offers.p.segment.queue.eq(q),
            out.head.eq(head),
            out.address.eq(words),
            out.length.eq(length),
            out.writable.eq(writable),
            out.last.eq(last),
            out.first.eq(first),
            self.commit.p.row.eq(q),
            self.commit.p.chains.eq(row.chains),
            self.release.p.slot.eq(job.slot),
            self.release.p.row.eq(job.row),
            self.release.p.grain.eq(grain(job.count)),
            self.fault_function.eq(q >> 4),
        ]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [job.eq(self.job.p), job_valid.eq(1)]

        held = Signal(pointer)
        after = Signal(8)
        delivered, misfit = Signal(), Signal()
        m.d.comb += [
            self.release.p.delivered.eq(delivered),
            self.release.p.misfit.eq(misfit),
        ]
        taking, told_now = Signal(), Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [taking.eq(0), told_now.eq(0), count.eq(0), part.eq(0)]
                with m.If(self.control.valid):
                    m.d.sync += [told.eq(self.control.p), q.eq(self.control.p.row)]
                    m.d.sync += told_now.eq(1)
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
                with m.If(told_now):
                    m.next = "CONTROL"
                with m.Elif(taking):
                    m.next = "TAKE"
            with m.State("CONTROL"):
                m.d.comb += self.control.ready.eq(1)
                m.d.sync += [self.idle.eq(~known | (row.chains == 0)), row.enabled.eq(0)]
                with m.If(told.kind != ControlKind.STOP):
                    m.d.sync += row.eq(0)
                with m.If(told.kind == ControlKind.START):
                    m.d.sync += row.enabled.eq(told.pulled)
                m.next = "STORE"

            with m.State("TAKE"):
                m.d.sync += [at.eq(row.taken), first.eq(1)]
                with m.If(operation == TakeOperation.CHAIN):
                    with m.If(active & (row.taken != row.filled)):
                        m.next = "OFFER WORDS"
                    with m.Else():
                        m.next = "NONE"
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
            with m.State("NONE"):
                m.d.comb += [self.offers.valid.eq(1), self.offers.p.none.eq(1)]
                with m.If(self.offers.ready):
                    m.next = "IDLE"
            with m.State("OFFER WORDS"):
                # A word's address goes out here while the one before comes back.
                m.d.sync += part.eq(part + 1)
                with m.If(part == 1):
                    m.d.sync += [
                        words[:32].eq(offer_half.data.word),
                        head[:4].eq(offer_half.data.head),
                    ]
                with m.If(part == 2):
                    rest = offer_rest.data
                    m.d.sync += [
                        words[32:].eq(offer_half.data.word),
                        head[4:].eq(Cat(offer_half.data.head, rest.head)),
                        length.eq(rest.length),
                        writable.eq(rest.writable),
                        last.eq(rest.last),
                        at.eq(at + 1),
                        part.eq(0),
                    ]
                    m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.offers.valid.eq(1)
                with m.If(self.offers.ready):
                    m.d.sync += first.eq(0)
                    with m.If(last):
                        m.d.sync += [row.taken.eq(at), row.chains.eq(row.chains + 1)]
                        m.next = "STORE"
                    with m.Else():
                        m.next = "OFFER WORDS"

            with m.State("JOB"):
                m.d.sync += [
                    at.eq(row.filled),
                    held.eq(row.filled - row.committed),
                    delivered.eq(0),
                    misfit.eq(0),
                ]
                with m.If(job.first):
                    m.d.sync += row.flushing.eq(0)
                m.next = "ROOM"
            with m.State("ROOM"):
                m.d.sync += after.eq(held + job.count)
                m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~active | row.flushing):
                    m.next = "RELEASE"
                with m.Elif(job.count > g.depth):
                    m.d.comb += self.fault.eq(1)
                    m.next = "RELEASE"
                with m.Elif(after > g.depth):
                    m.d.sync += [row.flushing.eq(1), misfit.eq(1)]
                    m.next = "RELEASE"
                with m.Else():
                    m.next = "COPY"
            with m.State("COPY"), m.If(~self.busy):
                m.next = "COPIED"
            with m.State("COPIED"):
                m.d.comb += [fill_half.en.eq(~part[1]), fill_rest.en.eq(part[1])]
                m.d.sync += part.eq(part + 1)
                m.next = "COPY"
                with m.If(part[1]):
                    m.d.sync += [at.eq(at + 1), count.eq(count + 1), part.eq(0)]
                    with m.If(fill_rest.data.last):
                        m.d.sync += [row.filled.eq(at + 1), delivered.eq(1)]
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

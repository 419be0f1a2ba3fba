"""Doorbells: taken at once, and handed on one for each queue."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS
from niter.virtio.queue.layouts import Notification, QueueId

__all__ = ["Doorbells"]

#: Queues that a function may have.
_QUEUES = 16


class Doorbells(wiring.Component):
    """Remembers by one bit for each queue that it was rung, until the engine takes it.

    So there is always room, and a queue that rings often is handed on once. The bits of all
    functions' queues of one index are a word of LUT-RAM. The words are looked at in turn, one
    a cycle, and a word's bits are served before the next word's: no queue waits for more than
    one doorbell of each other one. When nothing has waited for a whole turn, the next doorbell
    is looked at first. The index is remembered of the doorbell that came last; others are
    handed on without theirs, and the engine reads it.

    A doorbell is accepted in the cycle in which it comes, and stands at ``o`` two cycles later
    if nothing else waits; ``o`` offers one every second cycle at most. After reset the memory is
    cleared first, which takes 16 cycles. Only one of ``i``, ``ring`` and ``cancel`` is served at
    a time, in this order.

    Parameters
    ----------
    functions
        How many there are, from 0 on.

    Members
    -------
    i : In(stream.Signature(Notification))
        Doorbells. Never stalled but after reset.
    ring : In(stream.Signature(QueueId))
        A doorbell without an index, of the transport's own.
    o : Out(stream.Signature(Notification))
        To the engine. Doorbells of one queue may have become one.
    cancel : In(stream.Signature(QueueId))
        The queue's doorbell is forgotten; accepted when ``o`` does not show it any more.
    """

    i: In(stream.Signature(Notification))
    ring: In(stream.Signature(QueueId))
    o: Out(stream.Signature(Notification))
    cancel: In(stream.Signature(QueueId))

    def __init__(self, functions: int = MAX_FUNCTIONS):
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.rung = rung = memory.Memory(shape=self.functions, depth=_QUEUES, init=[])
        read, write = rung.read_port(domain="comb"), rung.write_port()
        place = Signal(4)
        row = Signal(self.functions)
        m.d.comb += [read.addr.eq(place), write.addr.eq(place), row.eq(read.data)]

        # Where the turn stands: an index, and functions of it that have not had theirs.
        cleared = Signal()
        index = Signal(4)
        left = Signal(self.functions, init=-1)
        misses = Signal(5)
        newest = Signal(Notification)

        # The first function that waits here; those above it have their turn next.
        waiting = row & left
        above = Cat(waiting[:number].any() for number in range(self.functions))
        first = waiting & ~above
        function = Signal(3)
        for number in range(self.functions):
            with m.If(first[number]):
                m.d.comb += function.eq(number)
        queue = Signal(QueueId)
        m.d.comb += [queue.index.eq(index), queue.function.eq(function)]

        # Nothing of this depends on whether the engine takes the last one in this cycle.
        free = Signal()
        m.d.comb += free.eq(~self.o.valid)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.If(~cleared):
            m.d.comb += [place.eq(index), write.en.eq(1)]
            m.d.sync += [index.eq(index + 1), cleared.eq(index.all())]
        with m.Elif(self.i.valid | self.ring.valid):
            rings = Signal(QueueId)
            m.d.comb += [
                rings.eq(Mux(self.i.valid, self.i.p.queue, self.ring.p)),
                self.i.ready.eq(1),
                self.ring.ready.eq(~self.i.valid),
                place.eq(rings.index),
                write.en.eq(1),
                write.data.eq(row | (1 << rings.function)),
            ]
            m.d.sync += [
                newest.queue.eq(rings),
                newest.index.eq(self.i.p.index),
                newest.has_index.eq(self.i.p.has_index & self.i.valid),
            ]
            m.d.sync += misses.eq(0)
            with m.If(misses[4]):
                m.d.sync += index.eq(rings.index)
        with m.Elif(self.cancel.valid):
            m.d.comb += [
                place.eq(self.cancel.p.index),
                write.en.eq(1),
                write.data.eq(row & ~(1 << self.cancel.p.function)),
                self.cancel.ready.eq(free),
            ]
        with m.Elif(free):
            m.d.comb += [place.eq(index), write.data.eq(row & ~first)]
            with m.If(waiting.any()):
                m.d.comb += write.en.eq(1)
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.p.queue.eq(queue),
                    self.o.p.index.eq(newest.index),
                    self.o.p.has_index.eq(newest.has_index & (newest.queue == queue)),
                    left.eq(left & above),
                    misses.eq(0),
                ]
            with m.Elif(~misses[4]):
                m.d.sync += [index.eq(index + 1), left.eq(-1), misses.eq(misses + 1)]
        return m

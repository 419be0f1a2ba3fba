"""Doorbells: taken at once, and handed on one for each queue."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram
from niter.virtio.queue.layouts import Notification, QueueId

__all__ = ["Doorbells"]


class _Entry(data.Struct):
    """A queue's entry; its four bytes are written apart.

    ``listed`` says that the queue stands in the list, ``rung`` that it is still to be
    notified, ``next`` which queue stands behind it.
    """

    index: 16
    has_index: 1
    rung: 1
    listed: 1
    _unused: 5
    next: QueueId
    _spare: 1


_INDEX, _FLAGS, _NEXT = 0b0011, 0b0100, 0b1000


class Doorbells(wiring.Component):
    """Keeps rung queues in a list until the engine takes them.

    The list is linked through a memory with an entry for each queue, so a queue stands in
    it once, however often it is rung, with the newest index, and there is always room.
    Queues are served in the order in which they were rung.

    Accepting a doorbell takes two cycles, or three when the list has others. After reset
    the memory is cleared first, one cycle an entry. Only one of ``i``, ``ring`` and
    ``cancel`` is served at a time, in this order.

    Members
    -------
    i : In(stream.Signature(Notification))
        Doorbells. Stalled for a few cycles at most, whatever ``o`` does.
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

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        depth = 1 << QueueId.as_shape().size
        m.submodules.entries = entries = Ram(shape=32, depth=depth, init=[])
        read = entries.read_port()
        write = entries.write_port(granularity=8)
        entry = data.View(_Entry, read.data)
        written = Signal(_Entry)

        head = Signal(QueueId)
        tail = Signal(QueueId)
        occupied = Signal()
        #: The queue in hand, and whether ``i`` has brought it.
        queue = Signal(QueueId)
        drivers = Signal()
        place = Signal(QueueId)
        m.d.comb += [
            read.addr.eq(place),
            write.addr.eq(place),
            write.data.eq(written),
            written.next.eq(queue),
            written.index.eq(self.i.payload.index),
            written.has_index.eq(self.i.payload.has_index & drivers),
        ]
        free = Signal()
        m.d.comb += free.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        def accept():
            m.d.comb += [self.i.ready.eq(drivers), self.ring.ready.eq(~drivers)]

        with m.FSM():
            with m.State("CLEAR"):
                m.d.comb += [place.eq(tail), write.en.eq(_FLAGS)]
                m.d.sync += tail.eq(tail.as_value() + 1)
                with m.If(tail.as_value().all()):
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += place.eq(head)
                m.d.sync += [queue.eq(place), drivers.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.comb += place.eq(self.i.payload.queue)
                    m.next = "RING"
                with m.Elif(self.ring.valid):
                    m.d.comb += place.eq(self.ring.payload)
                    m.next = "RING"
                with m.Elif(self.cancel.valid):
                    m.d.comb += place.eq(self.cancel.payload)
                    m.next = "CANCEL"
                with m.Elif(occupied & free):
                    m.next = "TAKE"
            with m.State("RING"):
                m.d.comb += [
                    place.eq(queue),
                    written.rung.eq(1),
                    written.listed.eq(1),
                    write.en.eq(_INDEX | _FLAGS),
                ]
                with m.If(entry.listed | ~occupied):
                    accept()
                    m.next = "IDLE"
                with m.Else():
                    m.next = "LINK"
                with m.If(~occupied):
                    m.d.sync += [head.eq(queue), tail.eq(queue), occupied.eq(1)]
            with m.State("LINK"):
                m.d.comb += [place.eq(tail), write.en.eq(_NEXT)]
                m.d.sync += tail.eq(queue)
                accept()
                m.next = "IDLE"
            with m.State("TAKE"):
                m.d.comb += [place.eq(queue), write.en.eq(_FLAGS)]
                m.d.sync += [
                    self.o.valid.eq(entry.rung),
                    self.o.payload.queue.eq(queue),
                    self.o.payload.has_index.eq(entry.has_index),
                    self.o.payload.index.eq(entry.index),
                    occupied.eq(head != tail),
                    head.eq(entry.next),
                ]
                m.next = "IDLE"
            with m.State("CANCEL"):
                m.d.comb += [
                    place.eq(queue),
                    written.listed.eq(entry.listed),
                    write.en.eq(_FLAGS),
                ]
                m.next = "DRAIN"
            with m.State("DRAIN"), m.If(free):
                m.d.comb += self.cancel.ready.eq(1)
                m.next = "IDLE"
        return m

"""Takes control commands out of the engine's way: where their bytes are, and where the answer."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram
from niter.virtio.queue.layouts import HEAD_BITS, Segment

from .messages import COMMAND_BYTES

__all__ = ["MAX_SEGMENTS", "Intake", "Part", "Place", "Summary"]

#: Readable segments that are entered of a command.
MAX_SEGMENTS = 15


class Part:
    """Words of a segment: halves of its address, and the bytes of it that may be read.

    Segment 0 is where the answer goes; in the third of its words stands the ``Summary``.
    """

    LOW, HIGH, LENGTH = range(3)
    SUMMARY = LENGTH


class Place(data.Struct):
    """A word of the table."""

    part: 2
    segment: range(MAX_SEGMENTS + 1)
    function: 3


class Summary(data.Struct):
    """A chain in short.

    Members
    -------
    head : 10 bits
        Its name.
    total : 17 bits
        Readable bytes, as ``Segment`` has it.
    segments : 4 bits
        Readable segments that were entered.
    crowded : 1 bit
        There are more.
    answerable : 1 bit
        It has a writable byte.
    """

    head: HEAD_BITS
    total: 17
    segments: range(MAX_SEGMENTS + 1)
    crowded: 1
    answerable: 1


class Intake(wiring.Component):
    """Enters chains in a table with a place for one of each function.

    Whatever memory and the CPU do, a chain is taken at five cycles a segment and one more, so that
    the chains behind it on the same stream need not wait for a command to be carried out. The table
    is one EBR.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains, as the engine pushes them: whole, no segment empty. The chain before of the same
        function must have been given back.
    arrived : Out(1), arrived_of : Out(3)
        A chain is in the table.
    place : In(Place), word : Out(33)
        What stands there, one cycle later.
    """

    i: In(stream.Signature(Segment))
    arrived: Out(1)
    arrived_of: Out(3)
    place: In(Place)
    word: Out(Summary.as_shape().size)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = Ram(
            shape=Summary.as_shape().size, depth=1 << Place.as_shape().size, init=[]
        )
        store, load = table.write_port(), table.read_port()
        m.d.comb += [load.addr.eq(self.place), self.word.eq(load.data)]

        segment = self.i.payload
        summary = Signal(Summary)
        full = summary.segments == MAX_SEGMENTS
        skips = Mux(segment.writable, summary.answerable, full)
        to = Signal(Place)
        m.d.comb += [
            to.function.eq(segment.queue.function),
            to.segment.eq(Mux(segment.writable, 0, summary.segments + 1)),
            store.addr.eq(to),
        ]
        with m.FSM():
            with m.State("LOW"):
                m.d.comb += [
                    to.part.eq(Part.LOW),
                    store.data.eq(segment.address[:32]),
                    store.en.eq(self.i.valid & ~skips),
                ]
                m.d.sync += summary.head.eq(segment.head)
                with m.If(self.i.valid & segment.first):
                    m.d.sync += summary.total.eq(segment.total)
                with m.If(self.i.valid):
                    m.next = "HIGH"
                    with m.If(skips):
                        m.next = "NEXT"
            with m.State("HIGH"):
                m.d.comb += [
                    to.part.eq(Part.HIGH),
                    store.data.eq(segment.address[32:]),
                    store.en.eq(1),
                ]
                m.next = "LENGTH"
            with m.State("LENGTH"):
                long = segment.length[COMMAND_BYTES.bit_length() - 1 :].any()
                m.d.comb += [
                    to.part.eq(Part.LENGTH),
                    store.data.eq(Mux(long, COMMAND_BYTES, segment.length[:6])),
                    store.en.eq(1),
                ]
                m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(segment.writable):
                    m.d.sync += summary.answerable.eq(1)
                with m.Elif(full):
                    m.d.sync += summary.crowded.eq(1)
                with m.Else():
                    m.d.sync += summary.segments.eq(to.segment)
                # The last one stays for the summary to be entered.
                m.d.comb += self.i.ready.eq(~segment.last)
                m.next = "LOW"
                with m.If(segment.last):
                    m.next = "SUMMARY"
            with m.State("SUMMARY"):
                m.d.comb += [
                    to.segment.eq(0),
                    to.part.eq(Part.SUMMARY),
                    store.data.eq(Cat(summary)),
                    store.en.eq(1),
                    self.i.ready.eq(1),
                    self.arrived.eq(1),
                ]
                m.d.sync += [
                    summary.segments.eq(0),
                    summary.crowded.eq(0),
                    summary.answerable.eq(0),
                ]
                m.next = "LOW"
        m.d.comb += self.arrived_of.eq(segment.queue.function)
        return m

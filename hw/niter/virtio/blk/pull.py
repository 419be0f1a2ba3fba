"""Reads what a transport pulls from where the driver has put it."""

from amaranth import C, Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.compare import less
from niter.count import stepped
from niter.interface import BEAT_BYTES, Beat, BlockSpan, HostRead, PacketStream
from niter.stream import Fifo
from niter.virtio.gather import Gather

from .layouts import PlacePort, Ticket
from .pieces import Pieces

__all__ = ["Pull"]

#: Beats of the buffer: 4 KiB, two EBR.
_DEPTH = 512
#: Bytes of the largest read.
_CHUNK = 1024
#: Spans whose packets have not ended, and reads whose answers have not.
_SPANS = _READS = 15


class Pull(wiring.Component):
    """Answers each span with a packet, read from the request's data segments.

    A segment may begin and end at any byte: each read asks for its answer to begin at the lane
    behind the one before, and ``Gather`` joins them. A read is asked for when the buffer has
    room for what it brings, so that an answer never waits. A packet some of which could not be
    read ends in error and is short.

    From a span to its first read it takes 10 cycles, to each further one 10 more, of at most
    1 KiB; and one for each segment before the one that is read.

    Members
    -------
    span : In(stream.Signature(BlockSpan))
        What is asked for.
    o : Out(PacketStream)
        The packets, in the order of the spans.
    place : Out(PlacePort)
        Where the data stands.
    read : Out(HostRead)
        Host memory.
    mark : In(1)
        From the cycle after this on, ``drained`` is about the spans that were accepted before.
    drained : Out(1)
        Their packets have ended.
    """

    span: In(stream.Signature(BlockSpan))
    o: Out(PacketStream)
    place: Out(PlacePort)
    read: Out(HostRead)
    mark: In(1)
    drained: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.gather = gather = Gather()
        m.submodules.buffer = buffer = Fifo(Beat, _DEPTH)
        connect(m, gather.o, buffer.i)
        connect(m, buffer.o, flipped(self.o))
        answer = self.read.answer
        ticket = Ticket(answer.payload.context)
        m.d.comb += [
            gather.i.p.packet.eq(answer.payload.packet),
            gather.i.p.final.eq(ticket.final),
            gather.i.valid.eq(answer.valid),
            answer.ready.eq(gather.i.ready),
        ]

        # Beats that may still be promised: a piece makes those whole that it ends or passes.
        # Of answers that fail some are promised for nothing, until all is quiet.
        pieces = Pieces(m, self.place, _CHUNK)
        free = Signal(range(_DEPTH + 1), init=_DEPTH)
        underway = Signal(range(_READS + 1))
        beats = Signal(range(_CHUNK // BEAT_BYTES + 1))
        room, issued, ended, gone, quiet = Signal(), Signal(), Signal(), Signal(), Signal()
        command = self.read.command
        m.d.comb += [
            command.p.address.eq(pieces.address),
            command.p.length.eq(pieces.length),
            command.p.function.eq(pieces.function),
            command.p.lane.eq(pieces.lane),
            command.p.context.eq(pieces.final),
            beats.eq((pieces.length + pieces.lane) >> 3),
            issued.eq(command.valid & command.ready),
            ended.eq(answer.valid & answer.ready & answer.payload.packet.last),
            gone.eq(self.o.valid & self.o.ready),
            quiet.eq((underway == 0) & ~gather.o.valid & (buffer.level == 0)),
        ]
        m.d.sync += [
            room.eq(~less(free, beats)),
            underway.eq(stepped(underway, [issued], [ended])),
        ]
        # One adder: a beat that goes as a read is issued counts in the cycle behind it.
        owed = Signal()
        step, carry = Signal(signed(len(free))), Signal()
        m.d.sync += owed.eq(issued & gone)
        m.d.comb += [step.eq(owed), carry.eq(gone)]
        with m.If(issued):
            m.d.comb += [step.eq(Cat(~beats, C(1, 1)).as_signed()), carry.eq(1)]
        with m.If(quiet & ~issued):
            m.d.sync += free.eq(_DEPTH)
        with m.Else():
            m.d.sync += free.eq((Cat(1, free) + Cat(carry, step))[1:])

        # Packets that have not ended, and those of them that were there at the mark.
        begun, over = Signal(), Signal()
        open_, marked = Signal(range(_SPANS + 1)), Signal(range(_SPANS + 1))
        m.d.comb += [
            begun.eq(self.span.valid & self.span.ready),
            over.eq(gone & self.o.p.last),
            self.drained.eq(marked == 0),
        ]
        now_open = stepped(open_, [begun], [over])
        m.d.sync += [open_.eq(now_open), marked.eq(stepped(marked, [], [over & (marked != 0)]))]
        with m.If(self.mark):
            m.d.sync += marked.eq(now_open)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.span.ready.eq(open_ != _SPANS)
                with m.If(self.span.valid & self.span.ready):
                    pieces.begin(self.span.payload)
            pieces.states(then="COUNT")
            with m.State("COUNT"):
                m.next = "ROOM"
            with m.State("ROOM"), m.If(room & (underway != _READS)):
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += command.valid.eq(1)
                with m.If(command.ready):
                    pieces.advance(done="IDLE")
        return m

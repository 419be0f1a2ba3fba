"""Writes what the transport has read to where the host wants it, or compares it."""

from amaranth import Cat, Mux, Signal
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import less
from niter.interface import BlockSpan, HostWrite, PacketStream, WriteKind

from .layouts import PAGE_BITS, TAG_BITS, Mark, Outcome, PlacePort

__all__ = ["Push"]

#: Of a piece at most, as a power of two: the payload of a TLP.
_PIECE_BITS = 7
_UNITS = 1 << _PIECE_BITS - 2


class Push(wiring.Component):
    """Cuts each pushed packet at multiples of 128 bytes of the command's data, and writes
    the pieces: the first is on the lane while the last one comes.

    Data passes combinationally, so that whatever was accepted here has been accepted by the
    host memory port; to that end a beat whose halves belong to two beats of the host's is not
    accepted before its second half has gone. A packet that ends in error is passed as such:
    its last piece does not reach the host.

    The data of a command that was cancelled is dropped. That of a Compare goes beside what
    ``expected`` brings from host memory, and leaves a mark if it is not the same.

    Latency from a span to its first beat is 8 cycles; each further page costs 7, and a further
    piece of a page 1. One beat a cycle.

    Members
    -------
    span : In(stream.Signature(BlockSpan))
        What follows on ``i``.
    i : In(PacketStream)
        The data.
    place : Out(PlacePort)
        Where it goes.
    write : Out(HostWrite)
        Host memory.
    compare : Out(stream.Signature(BlockSpan))
        Spans whose data is wanted on ``expected``.
    expected : In(PacketStream)
        That data.
    mark : Out(stream.Signature(Mark))
        What a comparison has shown, once for each span that is not the same.
    busy : Out(1)
        Something of ``tag`` is being pushed.
    tag : Out(TAG_BITS)
        Whose span it is.
    """

    span: In(stream.Signature(BlockSpan))
    i: In(PacketStream)
    place: Out(PlacePort)
    write: Out(HostWrite)
    compare: Out(stream.Signature(BlockSpan))
    expected: In(PacketStream)
    mark: Out(stream.Signature(Mark))
    busy: Out(1)
    tag: Out(TAG_BITS)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i, o = self.i.payload, self.write.data.payload
        expected = self.expected.payload
        span = Signal(BlockSpan)
        position = Signal(18)
        # In units of four bytes: of the span, and of the piece.
        left, length, rest = Signal(12), Signal(range(_UNITS + 1)), Signal(range(_UNITS + 1))
        to_end = Signal(range(_UNITS + 1))
        # What is left of the span goes to another page.
        turns = Signal()
        command = self.write.command.payload
        # Of a comparison: this beat differs, an earlier one did, what it goes beside could not be
        # read, and which packets have ended.
        differs, differed, lacking = Signal(), Signal(), Signal()
        dropped, lost = Signal(), Signal()
        m.d.comb += [
            self.tag.eq(span.tag),
            self.place.request.payload.tag.eq(span.tag),
            self.place.request.payload.byte.eq(position),
            to_end.eq(_UNITS - command.address[2:_PIECE_BITS]),
            length.eq(Mux(less(left, to_end), left, to_end)),
            command.kind.eq(WriteKind.MEMORY),
            command.length.eq(length << 2),
            self.compare.payload.eq(span),
            self.mark.payload.tag.eq(span.tag),
            self.mark.payload.outcome.eq(
                Mux(lacking, Outcome.DATA_TRANSFER, Outcome.COMPARE_FAILURE)
            ),
        ]

        # Once a piece has ended in the middle of a beat, beats are out of step by one half:
        # ``held`` is what was accepted and not yet written. At the end it is still on ``i``.
        odd, tail = Signal(), Signal()
        held = Signal(32)
        single = Signal()
        m.d.comb += [
            single.eq(rest == 1),
            o.data.eq(Mux(tail, i.data[32:], Mux(odd, Cat(held, i.data[:32]), i.data))),
            o.last.eq(rest <= 2),
            o.empty.eq(Mux(single, 4, 0)),
            o.error.eq(i.error & i.last & o.last),
        ]

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.span.ready.eq(1)
                m.d.sync += [
                    span.eq(self.span.payload),
                    position.eq(self.span.payload.first << 9),
                    left.eq(self.span.payload.sectors << 7),
                ]
                with m.If(self.span.valid):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.place.request.valid.eq(1)
                with m.If(self.place.request.ready):
                    m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    command.address.eq(self.place.place.address),
                    command.function.eq(self.place.place.function),
                ]
                with m.If(self.place.done):
                    with m.If(self.place.place.dead):
                        m.next = "DROP"
                    with m.Elif(self.place.place.compare):
                        m.next = "EXPECT"
                    with m.Else():
                        m.next = "COMMAND"
            with m.State("COMMAND"):
                m.d.comb += self.write.command.valid.eq(1)
                m.d.sync += rest.eq(length)
                with m.If(self.write.command.ready):
                    m.d.sync += [
                        position.eq(position + (length << 2)),
                        left.eq(left - length),
                        Cat(command.address[2:PAGE_BITS], turns).eq(
                            command.address[2:PAGE_BITS] + length
                        ),
                    ]
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += self.write.data.valid.eq(self.i.valid)
                with m.If(self.i.valid & self.write.data.ready):
                    with m.If(tail):
                        m.d.comb += self.i.ready.eq(1)
                        m.d.sync += [odd.eq(0), tail.eq(0)]
                    with m.Elif(odd | single):
                        m.d.comb += self.i.ready.eq(~i.last)
                        m.d.sync += [odd.eq(1), tail.eq(i.last), held.eq(i.data[32:])]
                    with m.Else():
                        m.d.comb += self.i.ready.eq(1)
                    m.d.sync += rest.eq(rest - 2)
                    with m.If(o.last):
                        m.next = "COMMAND"
                        with m.If(left == 0):
                            m.next = "IDLE"
                        with m.Elif(turns):
                            m.next = "ASK"

            with m.State("DROP"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [odd.eq(0), tail.eq(0)]
                with m.If(self.i.valid & i.last):
                    m.next = "IDLE"

            with m.State("EXPECT"):
                m.d.comb += self.compare.valid.eq(1)
                m.d.sync += [dropped.eq(0), lost.eq(0), differed.eq(0), lacking.eq(0)]
                with m.If(self.compare.ready):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += differs.eq(expected.data != i.data)
                with m.If(self.i.valid & self.expected.valid):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                # What comes ahead of an error is not to be trusted, so the end has to be seen.
                m.d.sync += [differed.eq(differed | differs), lacking.eq(expected.error)]
                m.next = "LOOK"
                with m.If(expected.error | (i.last & (differed | differs))):
                    m.next = "MARK"
                with m.Else():
                    m.d.comb += [self.i.ready.eq(1), self.expected.ready.eq(1)]
                    with m.If(i.last):
                        m.next = "IDLE"
            with m.State("MARK"):
                m.d.comb += self.mark.valid.eq(1)
                with m.If(self.mark.ready):
                    m.next = "PASS"
            with m.State("PASS"):
                # What is left of both packets; the mark stands before the last beat is accepted.
                m.d.comb += [self.i.ready.eq(~dropped), self.expected.ready.eq(~lost)]
                m.d.sync += [
                    dropped.eq(dropped | (self.i.valid & i.last)),
                    lost.eq(lost | (self.expected.valid & expected.last)),
                ]
                with m.If(dropped & lost):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m

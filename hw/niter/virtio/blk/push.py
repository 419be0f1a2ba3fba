"""Writes what a transport has read to where the driver wants it."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import (
    BEAT_BYTES,
    MAX_TRANSFER_BYTES,
    BlockSpan,
    HostWrite,
    PacketStream,
    WriteKind,
)

from .layouts import PlacePort
from .pieces import Pieces

__all__ = ["Push"]


class Push(wiring.Component):
    """Cuts each pushed packet at the ends of the request's segments, and writes the pieces.

    No byte changes its lane: a piece begins at the lane at which its first byte stands in the
    packet, and a beat in which one piece ends and the next begins is shown to both. Data passes
    combinationally, so that what was accepted here has been accepted by the host memory port. A
    packet that ends in error is passed on as such: its last piece does not reach the host.

    From a span to its first beat it takes 10 cycles, to each further piece 10 more, of at most
    4 KiB; and one for each segment before the one that is written. One beat a cycle.

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
    mark : In(1)
        From the cycle after this on, ``drained`` is about a span that was accepted before.
    drained : Out(1)
        It has been written.
    """

    span: In(stream.Signature(BlockSpan))
    i: In(PacketStream)
    place: Out(PlacePort)
    write: Out(HostWrite)
    mark: In(1)
    drained: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i, o = self.i.payload, self.write.data.payload
        # The largest transfer would be too long at any lane but 0.
        pieces = Pieces(m, self.place, MAX_TRANSFER_BYTES // 2)
        command = self.write.command
        # Lanes still to be shown of the piece, with those before its first byte.
        left = Signal(range(MAX_TRANSFER_BYTES // 2 + BEAT_BYTES))
        at_end, exact = Signal(), Signal()
        marked, idle = Signal(), Signal()
        m.d.comb += [
            command.p.kind.eq(WriteKind.MEMORY),
            command.p.address.eq(pieces.address),
            command.p.length.eq(pieces.length),
            command.p.function.eq(pieces.function),
            command.p.lane.eq(pieces.lane),
            exact.eq(left[:3] == 0),
            at_end.eq(~left[4:].any() & ~(left[3] & ~exact)),
            o.data.eq(i.data),
            o.last.eq(at_end),
            o.empty.eq(Mux(at_end, -left[:3], 0)),
            o.error.eq(i.error & i.last & at_end),
            self.drained.eq(~marked),
        ]
        m.d.sync += marked.eq((marked | self.mark) & ~idle)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.span.ready.eq(1), idle.eq(1)]
                with m.If(self.span.valid):
                    pieces.begin(self.span.payload)
            pieces.states(then="COMMAND")
            with m.State("COMMAND"):
                m.d.comb += command.valid.eq(1)
                m.d.sync += left.eq(pieces.length + pieces.lane)
                with m.If(command.ready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    self.write.data.valid.eq(self.i.valid),
                    self.i.ready.eq(self.write.data.ready & (exact | ~at_end)),
                ]
                with m.If(self.i.valid & self.write.data.ready):
                    m.d.sync += left.eq(left - BEAT_BYTES)
                    with m.If(at_end):
                        pieces.advance(done="IDLE")
        return m

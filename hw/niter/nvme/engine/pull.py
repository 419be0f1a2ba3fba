"""Reads a command's data out of host memory, for the transport that asks for it."""

from amaranth import Mux, Signal
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter.compare import less
from niter.interface import BEAT_BYTES, Beat, BlockSpan, HostRead, PacketStream, ReadBeat
from niter.stream import Fifo

from .layouts import TAG_BITS, PlacePort

__all__ = ["Join", "Pull"]

#: Reads whose answers have not ended.
_READS = 15


class Piece(data.Struct):
    """The context of a read: ``last`` of its span."""

    last: 1


class Join(wiring.Component):
    """Makes one packet of the answers to a span's reads.

    Each answer begins in lane 0, and one may end in the middle of a beat, since the data of
    a command lies at multiples of four. The packet ends early, with ``error``, when an answer
    does; what then still comes of the span is swallowed. Combinational.

    Members
    -------
    i : In(stream.Signature(ReadBeat))
        Answers, with a ``Piece`` as context.
    end : In(1)
        End the packet that has been begun, or is due, with an error; only while no answer is.
    ended : Out(1)
        That has been done.
    o : Out(PacketStream)
        Packets.
    """

    i: In(stream.Signature(ReadBeat))
    end: In(1)
    ended: Out(1)
    o: Out(PacketStream)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i, o = self.i.payload.packet, self.o.payload
        piece = Piece(self.i.payload.context[: Piece.as_shape().size])
        half, failed = Signal(), Signal()
        held = Signal(32)
        # A piece that ends in the middle of a beat leaves its half for the next one.
        leaves = Signal()
        final = Signal()
        m.d.comb += [
            leaves.eq(i.last & (i.empty == BEAT_BYTES // 2) & ~half),
            final.eq(i.last & piece.last),
            o.data.eq(i.data),
            o.last.eq(final | (i.last & i.error)),
            o.error.eq(i.last & i.error),
            self.o.valid.eq(self.i.valid & ~failed & (~leaves | i.error)),
            self.i.ready.eq(self.o.ready | failed | (leaves & ~i.error)),
        ]
        with m.If(half):
            m.d.comb += [o.data[:32].eq(held), o.data[32:].eq(i.data[:32])]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += held.eq(Mux(leaves, i.data[:32], i.data[32:]))
            with m.If(i.last):
                m.d.sync += [
                    half.eq((half ^ (i.empty == BEAT_BYTES // 2)) & ~final & ~i.error & ~failed),
                    failed.eq((failed | i.error) & ~piece.last),
                ]
        with m.If(self.end):
            m.d.comb += [
                self.o.valid.eq(~failed),
                o.last.eq(1),
                o.error.eq(1),
                self.ended.eq(failed | self.o.ready),
            ]
            with m.If(self.ended):
                m.d.sync += [half.eq(0), failed.eq(0)]
        return m


class Pull(wiring.Component):
    """Answers each span with a packet, read from where the command's data lies.

    A span is read in pieces that end at multiples of ``chunk``, and a piece is asked for when
    the buffer has room for it, so that an answer is never kept waiting. Of a command that was
    cancelled nothing is read: its packet ends in error, and may be short.

    Latency from a span to its first read is 7 cycles; a further piece takes 7, too.

    Parameters
    ----------
    depth
        Beats of the buffer, a power of two.
    chunk
        Bytes of the largest piece, a power of two up to 4096; at most ``8 * depth``.

    Members
    -------
    span : In(stream.Signature(BlockSpan))
        What is asked for.
    o : Out(PacketStream)
        The packets, in the order of the spans.
    place : Out(PlacePort)
        Where the data lies.
    read : Out(HostRead)
        Host memory.
    busy : Out(1)
        Something of ``tag`` is being read.
    tag : Out(TAG_BITS)
        Whose span it is.
    """

    def __init__(self, depth: int = 512, chunk: int = 1024):
        if chunk > depth * BEAT_BYTES or chunk & (chunk - 1) or not 8 <= chunk <= 4096:
            raise ValueError(f"No buffer of {depth!r} beats holds pieces of {chunk!r} bytes")
        self.depth = depth
        self.chunk = chunk
        # What proofs are about.
        self._lost = Signal()
        super().__init__(
            {
                "span": In(stream.Signature(BlockSpan)),
                "o": Out(PacketStream),
                "place": Out(PlacePort),
                "read": Out(HostRead),
                "busy": Out(1),
                "tag": Out(TAG_BITS),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.join = join = Join()
        m.submodules.buffer = buffer = Fifo(Beat, self.depth)
        connect(m, flipped(self.read.answer), join.i)
        connect(m, buffer.o, flipped(self.o))
        m.d.comb += [
            # There is room, and so who answers need not be told.
            join.o.ready.eq(1),
            buffer.i.valid.eq(join.o.valid),
            buffer.i.payload.eq(join.o.payload),
            self._lost.eq(buffer.i.valid & ~buffer.i.ready),
        ]

        bits = ceil_log2(self.chunk)
        position = Signal(18)
        # In units of four bytes.
        left = Signal(12)
        to_end = Signal(bits - 1)
        length = Signal(bits - 1)
        command = self.read.command.payload
        m.d.comb += [
            self.place.request.payload.tag.eq(self.tag),
            self.place.request.payload.byte.eq(position),
            to_end.eq((self.chunk - self.place.place.address[:bits]) >> 2),
            command.length.eq(length << 2),
        ]

        # Beats that may still be promised. A piece's odd half counts as a beat, which the next
        # piece completes. Answers that fail leave some promised for nothing, until all is quiet.
        free = Signal(range(self.depth + 1), init=self.depth)
        underway = Signal(range(_READS + 1))
        half = Signal()
        beats = Signal(bits)
        room = Signal()
        quiet = Signal()
        issued, ended, stopped, gone = Signal(), Signal(), Signal(), Signal()
        spent = Signal.like(beats)
        m.d.comb += [
            beats.eq((length + ~half) >> 1),
            issued.eq(self.read.command.valid & self.read.command.ready),
            ended.eq(join.i.valid & join.i.ready & join.i.payload.packet.last),
            stopped.eq(join.end & join.o.valid & join.o.ready),
            quiet.eq((underway == 0) & (buffer.level == 0)),
        ]
        # What was asked for, and what has left, is known too late in a cycle to be counted in it.
        m.d.sync += [
            room.eq(~less(free, beats)),
            underway.eq(underway + issued - ended),
            spent.eq((beats & issued.replicate(len(beats))) | stopped),
            gone.eq(self.o.valid & self.o.ready),
        ]
        with m.If(quiet):
            m.d.sync += free.eq(self.depth)
        with m.Else():
            m.d.sync += free.eq(free - spent + gone)

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.span.ready.eq(1)
                m.d.sync += [
                    self.tag.eq(self.span.payload.tag),
                    position.eq(self.span.payload.first << 9),
                    left.eq(self.span.payload.sectors << 7),
                    half.eq(0),
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
                    length.eq(Mux(less(left, to_end), left, to_end)),
                ]
                with m.If(self.place.done):
                    m.next = "FIT"
                    with m.If(self.place.place.dead):
                        m.next = "END"
            with m.State("FIT"):
                m.d.sync += command.context.eq(left == length)
                m.next = "ROOM"
            with m.State("ROOM"), m.If(room & (underway != _READS)):
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.command.valid.eq(1)
                with m.If(self.read.command.ready):
                    m.d.sync += [
                        position.eq(position + (length << 2)),
                        left.eq(left - length),
                        half.eq(half ^ length[0]),
                    ]
                    m.next = "ASK"
                    with m.If(command.context[0]):
                        m.next = "IDLE"
            with m.State("END"):
                m.d.comb += join.end.eq((underway == 0) & (free != 0))
                with m.If(join.ended):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m

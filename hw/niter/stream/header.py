"""Insertion and removal of bytes in a packet."""

from collections.abc import Iterable
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import BEAT_BYTES, PacketStream

from .layout import beat_of, sideband_of
from .realign import Realigner

__all__ = ["HeaderInsert", "HeaderRemove"]


class HeaderInsert(wiring.Component):
    """Puts a header into each packet, at a fixed byte offset.

    A packet that ends at or before the offset comes out with ``error``. Sidebands pass
    unchanged, also those that tell a length. ``error`` of a packet passes, that of a header
    does not count.

    Latency 1 to 4 cycles beyond the beats of the header, see ``Realigner``. A packet takes the
    beats of its header and its own, and up to two more cycles when these do not fall on beat
    boundaries.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    offset
        Bytes of the packet in front of the header.
    lengths
        Lengths that a header may have; by default any. The realigner grows with the number
        of different remainders modulo eight.

    Members
    -------
    i : In(stream.Signature(shape))
        Packets.
    insert : In(1)
        Whether the packet on ``i`` gets a header; valid with every beat.
    header : In(PacketStream)
        One packet for each packet on ``i`` that gets a header.
    o : Out(stream.Signature(shape))
        Packets with headers.
    """

    def __init__(self, shape: Any, *, offset: int = 0, lengths: Iterable[int] | None = None):
        if offset < 0:
            raise ValueError(f"Offset must not be negative, as {offset!r} is")
        self.shape = shape
        self.offset = offset
        self.lengths = range(1, BEAT_BYTES + 1) if lengths is None else sorted(set(lengths))
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "insert": In(1),
                "header": In(PacketStream),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        cut_beat, cut_lane = divmod(self.offset, BEAT_BYTES)
        m.submodules.realigner = realigner = Realigner(
            self.shape, turns={0, cut_lane, *self.lengths}
        )
        connect(m, realigner.o, flipped(self.o))

        i_beat = beat_of(self.i.payload)
        header = self.header.payload
        piece = realigner.i.payload
        for name, _ in sideband_of(self.shape):
            m.d.comb += piece.sideband[name].eq(self.i.payload[name])

        position = Signal(range(cut_beat + 1))
        ends_early = Signal()
        m.d.comb += [
            ends_early.eq(
                i_beat.last & ((position < cut_beat) | (BEAT_BYTES - i_beat.empty <= cut_lane))
            ),
            piece.packet.data.eq(i_beat.data),
            piece.packet.empty.eq(i_beat.empty),
            piece.packet.last.eq(i_beat.last),
            piece.packet.error.eq(i_beat.error),
        ]
        with m.FSM(init="Before" if self.offset else "Header"):
            if self.offset:
                with m.State("Before"):
                    cutting = Signal()
                    m.d.comb += [
                        cutting.eq(self.insert & ((position == cut_beat) | i_beat.last)),
                        realigner.i.valid.eq(self.i.valid),
                        self.i.ready.eq(realigner.i.ready & ~cutting),
                    ]
                    with m.If(cutting):
                        # The beat stays on the input while its first bytes, and then the
                        # header, are taken.
                        m.d.comb += [piece.packet.last.eq(0), piece.packet.error.eq(0)]
                        with m.If(~ends_early):
                            m.d.comb += piece.packet.empty.eq(BEAT_BYTES - cut_lane)
                            if not cut_lane:
                                m.d.comb += realigner.i.valid.eq(0)
                    with m.If(self.i.valid & realigner.i.ready):
                        with m.If(cutting):
                            m.next = "Header"
                        with m.Elif(i_beat.last):
                            m.d.sync += position.eq(0)
                        with m.Elif(position != cut_beat):
                            m.d.sync += position.eq(position + 1)
            with m.State("Header"):
                m.d.comb += [
                    realigner.i.valid.eq(self.i.valid & self.header.valid),
                    self.header.ready.eq(self.i.valid & realigner.i.ready),
                    piece.packet.data.eq(header.data),
                    piece.packet.empty.eq(header.empty),
                    piece.packet.last.eq(header.last & ends_early),
                    piece.packet.error.eq(header.last & ends_early),
                ]
                with m.If(realigner.i.valid & realigner.i.ready & header.last):
                    m.next = "Rest"
                    if self.offset:
                        with m.If(ends_early):
                            m.d.comb += self.i.ready.eq(1)
                            m.d.sync += position.eq(0)
                            m.next = "Before"
                if not self.offset:
                    with m.If(~self.insert):
                        m.d.comb += [
                            realigner.i.valid.eq(self.i.valid),
                            self.i.ready.eq(realigner.i.ready),
                            self.header.ready.eq(0),
                            piece.packet.eq(i_beat),
                        ]
                        m.next = "Header"
            with m.State("Rest"):
                first = Signal(init=1)
                m.d.comb += [
                    piece.start.eq(cut_lane & first.replicate(3)),
                    realigner.i.valid.eq(self.i.valid),
                    self.i.ready.eq(realigner.i.ready),
                ]
                with m.If(self.i.valid & realigner.i.ready):
                    m.d.sync += first.eq(i_beat.last)
                    with m.If(i_beat.last):
                        m.d.sync += position.eq(0)
                        m.next = "Before" if self.offset else "Header"
        return m


class HeaderRemove(wiring.Component):
    """Takes bytes out of each packet, at a fixed byte offset.

    A packet with nothing behind the removed bytes comes out with ``error``. Sidebands pass
    unchanged, also those that tell a length.

    Latency 1 to 4 cycles beyond the beats removed, see ``Realigner``. A packet takes its own
    beats, and up to two more cycles when the cuts do not fall on beat boundaries.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    offset
        Bytes of the packet in front of those removed.
    lengths
        Numbers of bytes that may have to be removed; by default 0 to 127. The realigner grows
        with the number of different remainders modulo eight.

    Members
    -------
    i : In(stream.Signature(shape))
        Packets.
    length : In(range(max(lengths) + 1))
        Bytes to remove from the packet on ``i``, valid with every beat. 0 lets it pass.
    o : Out(stream.Signature(shape))
        Packets without these bytes.
    """

    def __init__(self, shape: Any, *, offset: int = 0, lengths: Iterable[int] | None = None):
        if offset < 0:
            raise ValueError(f"Offset must not be negative, as {offset!r} is")
        self.shape = shape
        self.offset = offset
        self.lengths = range(128) if lengths is None else sorted(set(lengths))
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "length": In(range(max(self.lengths) + 1)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        cut_beat, cut_lane = divmod(self.offset, BEAT_BYTES)
        m.submodules.realigner = realigner = Realigner(
            self.shape, turns={0, *(-length for length in self.lengths)}
        )
        connect(m, realigner.o, flipped(self.o))

        i_beat = beat_of(self.i.payload)
        piece = realigner.i.payload
        for name, _ in sideband_of(self.shape):
            m.d.comb += piece.sideband[name].eq(self.i.payload[name])

        resume = Signal(range(self.offset + max(self.lengths) + 1))
        beyond_all = (self.offset + max(self.lengths)) // BEAT_BYTES + 1
        position = Signal(range(beyond_all + 1))
        remove = Signal()
        transfer = Signal()
        m.d.comb += [
            resume.eq(self.offset + self.length),
            remove.eq(self.length != 0),
            transfer.eq(self.i.valid & realigner.i.ready),
            self.i.ready.eq(realigner.i.ready),
            realigner.i.valid.eq(self.i.valid),
            piece.packet.eq(i_beat),
        ]
        start = "Before" if self.offset else "Skip"
        with m.If(self.i.valid & self.i.ready):
            with m.If(i_beat.last):
                m.d.sync += position.eq(0)
            with m.Elif(position != beyond_all):
                m.d.sync += position.eq(position + 1)
        with m.FSM(init=start):
            if self.offset:
                with m.State("Before"):
                    with m.If(remove & (position == cut_beat)):
                        # The beat stays on the input: what is removed begins in it.
                        m.d.comb += [
                            self.i.ready.eq(0),
                            piece.packet.empty.eq(BEAT_BYTES - cut_lane),
                            piece.packet.last.eq(0),
                            piece.packet.error.eq(0),
                        ]
                        if not cut_lane:
                            m.d.comb += realigner.i.valid.eq(0)
                        with m.If(transfer):
                            m.next = "Skip"
                    with m.Elif(remove & i_beat.last):
                        m.d.comb += piece.packet.error.eq(1)
            with m.State("Skip"):
                with m.If(remove):
                    reached = Signal()
                    beyond = Signal()
                    m.d.comb += [
                        reached.eq(position == resume[3:]),
                        beyond.eq(BEAT_BYTES - i_beat.empty > resume[:3]),
                    ]
                    with m.If(reached & beyond):
                        m.d.comb += piece.start.eq(resume[:3])
                        with m.If(transfer):
                            m.next = "Rest"
                    with m.Elif(i_beat.last):
                        m.d.comb += piece.packet.error.eq(1)
                    with m.Else():
                        m.d.comb += [realigner.i.valid.eq(0), self.i.ready.eq(1)]
                with m.Elif(transfer):
                    m.next = "Rest"
                with m.If(transfer & i_beat.last):
                    m.next = start
            with m.State("Rest"), m.If(transfer & i_beat.last):
                m.next = start
        return m

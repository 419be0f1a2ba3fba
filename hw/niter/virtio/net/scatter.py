"""Cutting on receive: a header and a frame become pieces of any length."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, PacketStream

from .plan import PIECE_BYTES

__all__ = ["LEAD", "Cut", "Scatter"]

#: Lane at which the header begins, so that it ends with a beat and the frame needs no shift.
LEAD = 4

#: VIRTIO_NET_HDR_F_DATA_VALID, by its bit.
_DATA_VALID = 1


class Cut(data.Struct):
    """The next ``length`` bytes (1 to 4096) become a packet; ``last`` ends the frame.

    ``lane`` is where they begin: ``LEAD`` for the first piece of a frame, and the lane behind
    the piece before for all others.
    """

    length: range(PIECE_BYTES + 1)
    lane: 3
    last: 1


class Scatter(wiring.Component):
    """Puts the 12-byte virtio header in front of a frame and cuts both into packets.

    No byte changes its lane: a piece begins at the lane at which its first byte stands in the
    frame, as ``niter.interface.memory`` permits, and a beat in which one piece ends and the
    next begins is shown to both. Every output beat takes one cycle, each piece one more, and
    the latency is 1.

    The pieces of a frame add up to its length and 12; then all its beats have been taken.
    A frame that ends early is filled up with undefined bytes, one that goes on is read to
    its end. ``done`` then tells, for one cycle, that the frame's last output beat has been
    accepted, and whether the frame ended in error.

    Members
    -------
    i : In(PacketStream)
        The frames.
    cut : In(stream.Signature(Cut))
        The pieces, each taken when the one before is through.
    valid_flag : In(1), buffers : In(16)
        What the header says, from the frame's first piece to its ``done``: flags has
        VIRTIO_NET_HDR_F_DATA_VALID or nothing, and num_buffers. All else is zero (5.1.6.4).
    skip : In(1)
        While high and no frame is under way, the next frame is taken and thrown away.
        ``done`` tells its end.
    o : Out(PacketStream)
        The pieces, in order.
    done, failed : Out(1)
        The frame is through; it ended in error.
    """

    #: The frames.
    i: In(PacketStream)
    #: Where to cut.
    cut: In(stream.Signature(Cut))
    #: Flag of the header.
    valid_flag: In(1)
    #: Its num_buffers.
    buffers: In(16)
    #: Throw the next frame away.
    skip: In(1)
    #: The pieces.
    o: Out(PacketStream)
    #: The frame is through and all its pieces have been accepted.
    done: Out(1)
    #: With ``done``: the frame ended in error.
    failed: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        cut = self.cut.p
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Lanes still to be shown of this piece, with those before its first byte; and which
        # beat of the header comes next, if it is not the frame's turn.
        left = Signal(range(PIECE_BYTES + BEAT_BYTES))
        final = Signal()
        header = Signal(2)
        ended = Signal()
        at_end = Signal()
        uses_up = Signal()
        show = Signal()
        in_header = ~header[1]
        m.d.comb += [
            at_end.eq(~left[4:].any() & ~(left[3] & left[:3].any())),
            # Is nothing left of this beat for the next piece?
            uses_up.eq(~at_end | (left[:3] == 0) | final),
        ]

        # Flags stand in lane 4 of the header's first beat, num_buffers at the end of its second.
        data = self.o.p.data
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(show),
                data.eq(self.i.p.data),
                self.o.p.last.eq(at_end),
                self.o.p.empty.eq(-left[:3] & at_end.replicate(3)),
            ]
        with m.If(advance & in_header):
            m.d.sync += data.eq(0)
            m.d.sync += data[8 * LEAD + _DATA_VALID].eq(self.valid_flag & ~header[0])
            m.d.sync += data[48:].eq(self.buffers & header[0].replicate(16))
        with m.If(self.i.valid & self.i.ready & self.i.p.last):
            m.d.sync += [ended.eq(1), self.failed.eq(self.i.p.error)]

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [ended.eq(0), header.eq(0)]
                m.d.comb += self.cut.ready.eq(1)
                with m.If(self.cut.valid):
                    m.next = "Show"
                with m.Elif(self.skip):
                    m.next = "Drain"
            with m.State("Show"):
                m.d.comb += [
                    show.eq(in_header | ended | self.i.valid),
                    self.i.ready.eq(advance & uses_up & ~in_header & ~ended),
                ]
                with m.If(advance & show):
                    m.d.sync += left.eq(left - BEAT_BYTES)
                    with m.If(in_header & uses_up):
                        m.d.sync += header.eq(Cat(~header[0], header[0]))
                    with m.If(at_end):
                        m.next = "Piece"
                        with m.If(final):
                            m.next = "Drain"
            with m.State("Piece"):
                m.d.comb += self.cut.ready.eq(1)
                with m.If(self.cut.valid):
                    m.next = "Show"
            with m.State("Drain"):
                m.d.comb += self.i.ready.eq(~ended)
                with m.If(ended & advance):
                    m.d.comb += self.done.eq(1)
                    m.next = "Idle"
        with m.If(self.cut.ready):
            m.d.sync += [left.eq(cut.length + cut.lane), final.eq(cut.last)]
        return m

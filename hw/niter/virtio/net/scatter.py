"""Byte realignment on receive: a header and a frame are cut into pieces of any length."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, MAX_TRANSFER_BYTES, PacketStream

__all__ = ["Cut", "Scatter"]


class Cut(data.Struct):
    """The next ``length`` bytes (1 to 4096) become a packet; ``last`` ends the frame.

    ``valid_flag`` and ``buffers`` are the content of the header: flags has
    VIRTIO_NET_HDR_F_DATA_VALID or nothing, and num_buffers; all else is zero (5.1.6.4).
    """

    length: range(MAX_TRANSFER_BYTES + 1)
    last: 1
    valid_flag: 1
    buffers: 16


class Scatter(wiring.Component):
    """Puts the 12-byte virtio header in front of a frame and cuts both into packets.

    The header stands at lane 4 of an imagined beat before the frame's first, so that the
    frame needs no shift of its own: a window over two beats moves along the bytes, and what
    it shows is rotated to lane 0. Every output beat takes one cycle, and a frame three more.

    The pieces of a frame add up to its length and 12; then all its beats have been taken.
    A frame that ends early is filled up with undefined bytes, one that goes on is read to
    its end. ``done`` then tells, for one cycle, that the frame's last output beat has been
    accepted, and whether the frame ended in error.

    Members
    -------
    i : In(PacketStream)
        The frames.
    cut : In(stream.Signature(Cut))
        The pieces, each taken when the one before is through. The header's content stands
        in the first piece of a frame.
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
        cut = self.cut.payload

        # The window: ``held`` from lane ``offset`` on, and behind it ``current``.
        held = Signal(64)
        offset = Signal(3)
        in_header = Signal()
        buffers = Signal(16)
        current = Signal(64)
        m.d.comb += current.eq(Mux(in_header, buffers << 48, self.i.payload.data))

        left = Signal(range(MAX_TRANSFER_BYTES + 1))
        final = Signal()
        ended = Signal()
        failed = Signal()

        at_end = Signal()
        count = Signal(range(1, 9))
        reach = Signal(4)
        m.d.comb += [
            at_end.eq(left <= BEAT_BYTES),
            count.eq(Mux(at_end, left, BEAT_BYTES)),
            reach.eq(offset + count),
        ]
        need = Signal()
        enough = Signal()
        vacant = Signal()
        m.d.comb += [
            need.eq((reach > 8) | ((reach == 8) & ~(final & at_end))),
            enough.eq(~need | in_header | ended | self.i.valid),
            vacant.eq(~self.o.valid | self.o.ready),
        ]

        window = Signal(64)
        for lane in range(BEAT_BYTES):
            bits = slice(8 * lane, 8 * lane + 8)
            m.d.comb += window[bits].eq(Mux(lane >= offset, held[bits], current[bits]))
        shown = window
        for bit in range(3):
            shown = Mux(offset[bit], shown.rotate_right(8 << bit), shown)

        take = Signal()
        m.d.comb += take.eq(self.i.valid & self.i.ready)
        with m.If(take & self.i.payload.last):
            m.d.sync += [ended.eq(1), failed.eq(self.i.payload.error)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [
                    ended.eq(0),
                    failed.eq(0),
                    in_header.eq(1),
                    offset.eq(BEAT_BYTES // 2),
                    held.eq(cut.valid_flag << 33),
                    buffers.eq(cut.buffers),
                    left.eq(cut.length),
                    final.eq(cut.last),
                ]
                m.d.comb += self.cut.ready.eq(1)
                with m.If(self.cut.valid):
                    m.next = "Move"
                with m.Elif(self.skip):
                    m.next = "Drain"
            with m.State("Move"):
                m.d.comb += self.i.ready.eq(vacant & need & ~in_header & ~ended)
                with m.If(vacant & enough):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        self.o.p.data.eq(shown),
                        self.o.p.empty.eq(BEAT_BYTES - count),
                        self.o.p.last.eq(at_end),
                        left.eq(left - BEAT_BYTES),
                        offset.eq(reach),
                    ]
                    with m.If(need):
                        m.d.sync += [held.eq(current), in_header.eq(0)]
                    with m.If(at_end):
                        m.next = "Piece"
                        with m.If(final):
                            m.next = "Drain"
            with m.State("Piece"):
                m.d.comb += self.cut.ready.eq(1)
                m.d.sync += [left.eq(cut.length), final.eq(cut.last)]
                with m.If(self.cut.valid):
                    m.next = "Move"
            with m.State("Drain"):
                m.d.comb += self.i.ready.eq(~ended)
                with m.If(ended & vacant):
                    m.d.comb += [self.done.eq(1), self.failed.eq(failed)]
                    m.next = "Idle"
        return m

"""Byte realignment on receive: a header and a frame are cut into pieces of any length."""

from amaranth import Cat, Const, Module, Mux, Signal
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


class _Turning(data.Struct):
    """An output beat on its way through the rotation: its first byte stands at ``offset``."""

    data: 64
    offset: 3
    valid: 1
    last: 1
    empty: 3


class Scatter(wiring.Component):
    """Puts the 12-byte virtio header in front of a frame and cuts both into packets.

    The header stands at lane 4 of an imagined beat before the frame's first, so that the
    frame needs no shift of its own: a window over two beats moves along the bytes, and what
    it shows is rotated to lane 0, one step of the rotation a cycle. Every output beat takes
    one cycle, each piece one more, and the latency is 5.

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
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        stages = [Signal(_Turning, name=f"stage_{number}") for number in range(4)]
        self._show(m, advance, stages)

        for bit, before, after in zip((2, 1, 0), stages, stages[1:], strict=False):
            with m.If(advance):
                m.d.sync += after.eq(before)
                with m.If(before.offset[bit]):
                    m.d.sync += after.data.eq(before.data.rotate_right(8 << bit))
        m.d.comb += [
            self.o.valid.eq(stages[-1].valid),
            self.o.p.data.eq(stages[-1].data),
            self.o.p.last.eq(stages[-1].last),
            self.o.p.empty.eq(stages[-1].empty),
        ]
        return m

    def _show(self, m, advance, stages):
        """Move the window and put what it shows into the first stage."""
        cut = self.cut.payload

        # The window: the last beat taken from lane ``offset`` on, and behind it the one that
        # comes. In front of the frame's beats there are two of the header: the first, in
        # its upper half, has flags and zeros, the second zeros and num_buffers.
        held = Signal(64)
        offset = Signal(3)
        held_header = Signal()
        next_header = Signal()
        valid_flag = Signal()
        buffers = Signal(16)

        left = Signal(range(MAX_TRANSFER_BYTES + 1))
        final = Signal()
        ended = Signal()
        failed = Signal()

        at_end = Signal()
        count = Signal(range(1, 9))
        reach = Signal(4)
        need = Signal()
        show = Signal()
        m.d.comb += [
            at_end.eq(left <= BEAT_BYTES),
            count.eq(Mux(at_end, left, BEAT_BYTES)),
            reach.eq(offset + count),
            # Does this beat use up what is held, with more of the frame to come?
            need.eq((reach > 8) | ((reach == 8) & ~(final & at_end))),
        ]

        header = Signal(64)
        second = Cat(Const(0, 48), buffers)
        first = Cat(Const(0, 33), valid_flag, Const(0, 30))
        window = Signal(64)
        for lane in range(BEAT_BYTES):
            bits = slice(8 * lane, 8 * lane + 8)
            from_held = lane >= offset
            from_header = Mux(from_held, held_header, next_header)
            m.d.comb += [
                header[bits].eq(Mux(from_held & next_header, first[bits], second[bits])),
                window[bits].eq(
                    Mux(
                        from_header,
                        header[bits],
                        Mux(from_held, held[bits], self.i.p.data[bits]),
                    )
                ),
            ]
        with m.If(advance):
            m.d.sync += [
                stages[0].valid.eq(show),
                stages[0].data.eq(window),
                stages[0].offset.eq(offset),
                stages[0].empty.eq(BEAT_BYTES - count),
                stages[0].last.eq(at_end),
            ]

        with m.If(self.i.valid & self.i.ready):
            m.d.sync += held.eq(self.i.p.data)
            with m.If(self.i.p.last):
                m.d.sync += [ended.eq(1), failed.eq(self.i.p.error)]

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [
                    ended.eq(0),
                    failed.eq(0),
                    held_header.eq(1),
                    next_header.eq(1),
                    offset.eq(BEAT_BYTES // 2),
                    valid_flag.eq(cut.valid_flag),
                    buffers.eq(cut.buffers),
                    left.eq(cut.length),
                    final.eq(cut.last),
                ]
                m.d.comb += self.cut.ready.eq(1)
                with m.If(self.cut.valid):
                    m.next = "Show"
                with m.Elif(self.skip):
                    m.next = "Drain"
            with m.State("Show"):
                m.d.comb += [
                    self.i.ready.eq(advance & need & ~next_header & ~ended),
                    show.eq(~need | next_header | ended | self.i.valid),
                ]
                with m.If(advance & show):
                    m.d.sync += [left.eq(left - BEAT_BYTES), offset.eq(reach)]
                    with m.If(need):
                        m.d.sync += [held_header.eq(next_header), next_header.eq(0)]
                    with m.If(at_end):
                        m.next = "Piece"
                        with m.If(final):
                            m.next = "Drain"
            with m.State("Piece"):
                m.d.comb += self.cut.ready.eq(1)
                m.d.sync += [left.eq(cut.length), final.eq(cut.last)]
                with m.If(self.cut.valid):
                    m.next = "Show"
            with m.State("Drain"):
                m.d.comb += self.i.ready.eq(~ended)
                with m.If(ended & advance & ~Cat(stage.valid for stage in stages[:-1]).any()):
                    m.d.comb += [self.done.eq(1), self.failed.eq(failed)]
                    m.next = "Idle"

"""A frame buffer that can give out its oldest frame more than once."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.interface import Beat, FrameMeta, FrameStream, PacketStream
from niter.stream import Ram

__all__ = ["Replay"]


class Replay(wiring.Component):
    """Queues the bytes of frames until it is known what is to become of each.

    Bytes come by ``beats``, as soon as they are there; in the same order ``i`` says of each
    frame that it may leave, and with which meta. A frame goes through without waiting for its
    end, in 3 cycles behind its meta and one more between two frames, two before a copy, however
    long it is. A frame for which ``keep`` is high stays in storage until its last copy has gone; it
    must fit in whole.

    Parameters
    ----------
    depth
        Beats of storage, a power of two; a frame of one less can be kept.

    Members
    -------
    beats : In(PacketStream)
        Frames' bytes.
    i : In(FrameStream)
        Their meta, a beat for each frame whose bytes are not looked at.
    o : Out(FrameStream)
        Frames.
    keep : In(1)
        The frame on ``o`` must be kept; valid with every beat.
    again : In(1)
        Behind the last beat on ``o`` comes the same frame once more.
    """

    beats: In(PacketStream)
    i: In(FrameStream)
    o: Out(FrameStream)
    keep: In(1)
    again: In(1)

    def __init__(self, depth: int):
        self.depth = depth
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = storage = Ram(shape=Beat, depth=self.depth, init=[])
        write = storage.write_port()
        read = storage.read_port()
        bits = ceil_log2(self.depth)

        # Beats from `base` to `tail` are occupied, `head` is the next to be fetched.
        base = Signal(bits + 1)
        head = Signal(bits + 1)
        tail = Signal(bits + 1)
        leaving = Signal(FrameMeta)
        occupied = Signal()
        fetched = Signal()
        room = Signal(init=1)
        done = Signal()
        # A copy begins a cycle later: to here it is a long way from the output's `ready`.
        back = Signal()
        m.d.comb += [
            self.beats.ready.eq(room),
            self.i.ready.eq(~occupied),
            write.addr.eq(tail),
            write.data.eq(self.beats.payload),
            write.en.eq(self.beats.valid & room),
            self.o.payload.packet.eq(read.data),
            self.o.payload.meta.eq(leaving),
            self.o.valid.eq(fetched & occupied),
            done.eq(self.o.valid & self.o.ready & read.data.last),
            read.addr.eq(head),
            read.en.eq((~fetched | (self.o.valid & self.o.ready)) & ~done & ~back),
        ]
        # Registered, and so one beat behind: it looks at the level before this cycle's beat.
        full = [(end ^ base)[: bits + 1] == self.depth for end in (tail, tail + 1)]
        m.d.sync += room.eq(~(full[0] | full[1]))
        with m.If(write.en):
            m.d.sync += tail.eq(tail + 1)
        with m.If(~occupied):
            m.d.sync += [leaving.eq(self.i.payload.meta), occupied.eq(self.i.valid)]

        with m.If(read.en):
            m.d.sync += fetched.eq(head != tail)
            with m.If(head != tail):
                m.d.sync += head.eq(head + 1)
        with m.If(occupied & ~self.keep & ~back):
            # Its beats are free as soon as they are fetched, all but the one on `o`.
            m.d.sync += base.eq(head)
        with m.If(done):
            m.d.sync += fetched.eq(0)
            with m.If(~(self.keep & self.again)):
                m.d.sync += [occupied.eq(0), base.eq(head)]
        m.d.sync += back.eq(done & self.keep & self.again)
        with m.If(back):
            m.d.sync += head.eq(base)
        return m

"""The first half of the transmit mover: segments become reads."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.interface import Beat, ReadCommand
from niter.virtio.queue.layouts import HEAD_BITS, QueueId, Segment

from .layouts import HEADER_BYTES, MAX_FRAME_BYTES, MIN_FRAME_BYTES

__all__ = ["BUFFER_BEATS", "LEAD", "Chain", "Fetch", "Tag"]

#: Lane of the header's first byte, which brings the frame's to lane 0.
LEAD = 4

#: Bytes that one read asks for at most: 1 KiB.
_CHUNK_BITS = 10
_CHUNK_BEATS = 1 << _CHUNK_BITS - 3

#: Beats in the answers' buffer: 4 KiB, two EBR.
BUFFER_BEATS = 512

#: Reads that may be under way.
_READS = 63


class Chain(data.Struct):
    """What the answering side must know of a chain. A ``bad`` one is not read."""

    queue: QueueId
    head: HEAD_BITS
    length: 14
    bad: 1


class Tag(data.Struct):
    """The context of a read: whether it is the last of its chain."""

    final: 1
    unused: 15


class Fetch(wiring.Component):
    """Turns segments into reads of at most 1 KiB, as long as the buffer has room for them.

    Each answer begins at the lane behind the one before it, and a chain's first at ``LEAD``.

    Up to 4 KiB and 63 reads are under way. From a segment to its read command it takes 3
    cycles. Device-writable segments are not read, nor any of a chain that cannot be a frame.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains, whole and one after another; no segment is empty.
    command : Out(stream.Signature(ReadCommand))
        The reads; their context is a ``Tag``.
    chains : Out(stream.Signature(Chain))
        Each chain, ahead of its reads.
    freed : In(Beat), freed_valid : In(1)
        A beat of an answer has left the buffer.
    """

    i: In(stream.Signature(Segment))
    command: Out(stream.Signature(ReadCommand))
    chains: Out(stream.Signature(Chain))
    freed: In(Beat)
    freed_valid: In(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        segment = self.i.payload
        command, chains = self.command, self.chains

        # Where the segment begins, the chunk that is read next, and how much is left of the
        # segment and behind it.
        base = Signal(64)
        lane = Signal(3)
        chunk = Signal(4)
        address = Signal(64)
        left = Signal(14)
        behind = Signal(14)
        function = Signal(3)
        refused = Signal()

        whole = Signal()
        ends_segment = Signal()
        size = Signal(_CHUNK_BITS + 1)
        m.d.comb += [
            whole.eq(left[_CHUNK_BITS:].any()),
            ends_segment.eq(~whole | (left == 1 << _CHUNK_BITS)),
            size.eq(Mux(whole, 1 << _CHUNK_BITS, left[:_CHUNK_BITS])),
        ]

        # Room in beats. An answer that fails may be shorter than asked for, and what it did
        # not use is lost count of: reading then pauses until nothing is under way.
        room = Signal(range(BUFFER_BEATS + 1), init=BUFFER_BEATS)
        roomy = Signal()
        spent = Signal(range(_CHUNK_BEATS + 2))
        #: Beats that lanes below a multiple of eight take.
        odd = Signal(2)
        spend = Signal()
        reads = Signal(range(_READS + 1))
        recount = Signal()
        freed, returned, failed = Signal(), Signal(), Signal()
        may_read = Signal()
        #: A command that was not taken at once: it is not withdrawn, whatever has failed since.
        offered = Signal()
        m.d.comb += [
            may_read.eq(roomy & (reads != _READS) & ~recount),
            odd.eq((lane + size[:3] + 7) >> 3),
        ]
        # A chunk may begin and end within a beat. Between two reads there is a cycle for this.
        # When a beat leaves is known too late in a cycle to be counted in it.
        m.d.sync += [
            freed.eq(self.freed_valid),
            returned.eq(self.freed_valid & self.freed.last),
            failed.eq(self.freed_valid & self.freed.error),
            roomy.eq(room > _CHUNK_BEATS),
            room.eq(room + freed - Mux(spend, spent, 0)),
            reads.eq(reads + spend - returned),
        ]
        with m.If(failed):
            m.d.sync += recount.eq(1)
        with m.Elif(recount & (reads == 0) & ~spend):
            m.d.sync += [recount.eq(0), room.eq(BUFFER_BEATS)]

        m.d.comb += [
            chains.p.queue.eq(segment.queue),
            chains.p.head.eq(segment.head),
            chains.p.length.eq(segment.total - HEADER_BYTES),
            chains.p.bad.eq(
                below(segment.total, HEADER_BYTES + MIN_FRAME_BYTES)
                | ~below(segment.total, HEADER_BYTES + MAX_FRAME_BYTES + 1)
            ),
            command.p.address.eq(address),
            command.p.length.eq(size),
            command.p.lane.eq(lane),
            command.p.function.eq(function),
            command.p.context.eq(Cat(ends_segment & (behind == 0))),
        ]
        with m.FSM():
            with m.State("Segment"):
                enter = self.i.valid & segment.first
                m.d.comb += [
                    self.i.ready.eq(~segment.first | chains.ready),
                    chains.valid.eq(enter),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [
                        base.eq(segment.address),
                        chunk.eq(0),
                        left.eq(segment.length),
                        behind.eq(Mux(segment.first, segment.total, behind) - segment.length),
                    ]
                    with m.If(segment.first):
                        m.d.sync += [
                            lane.eq(LEAD),
                            function.eq(segment.queue.function),
                            refused.eq(chains.p.bad),
                        ]
                    with m.If(~segment.writable & ~Mux(segment.first, chains.p.bad, refused)):
                        m.next = "Locate"
            with m.State("Locate"):
                m.d.sync += [
                    address.eq(base + (chunk << _CHUNK_BITS)),
                    chunk.eq(chunk + 1),
                ]
                m.next = "Read"
            with m.State("Read"):
                m.d.comb += command.valid.eq(may_read | offered)
                m.d.sync += offered.eq(command.valid & ~command.ready)
                with m.If(command.valid & command.ready):
                    m.d.sync += [
                        left[_CHUNK_BITS:].eq(left[_CHUNK_BITS:] - 1),
                        spent.eq(size[3:] + odd),
                        lane.eq(lane + size[:3]),
                    ]
                    m.next = "Account"
                    with m.If(ends_segment):
                        m.next = "Account last"
            with m.State("Account"):
                m.d.comb += spend.eq(1)
                m.next = "Locate"
            with m.State("Account last"):
                m.d.comb += spend.eq(1)
                m.next = "Segment"
        return m

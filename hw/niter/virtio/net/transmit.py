"""The transmit mover: chains of the driver's become frames."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from niter.interface import MAX_FUNCTIONS, FrameStream, HostRead
from niter.stream import Fifo, PipeRegister
from niter.virtio.queue.layouts import QueueId, Segment, Used

from .gather import Gather, Piece
from .layouts import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MIN_FRAME_BYTES,
    Event,
    Negotiated,
    Record,
)

__all__ = ["Transmit"]

#: Bytes that one read asks for at most: 1 KiB.
_CHUNK_BITS = 10
_CHUNK_BEATS = 1 << _CHUNK_BITS - 3

#: Beats in the answers' buffer: 4 KiB, two EBR.
_BUFFER_BEATS = 512

#: Chains, and reads, that may be under way.
_CHAINS = 16
_READS = 63

#: Lanes in front of the header that bring the frame to lane 0.
_LEAD = -HEADER_BYTES % 8

#: VIRTIO_NET_HDR_F_NEEDS_CSUM, by its bit.
_NEEDS_CSUM = 0


class _Chain(data.Struct):
    """What the answering side must know of a chain."""

    queue: QueueId
    head: 16
    length: 14
    bad: 1


class _Tag(data.Struct):
    """The context of a read: whether it is the last of its chain."""

    final: 1
    unused: 15


class Transmit(wiring.Component):
    """Reads the chains of transmit queues from host memory and sends them as frames.

    The first half turns segments into reads of at most 1 KiB as long as the buffer has room
    for their answers, up to 4 KiB and 16 chains ahead. The second half joins the answers,
    whatever the descriptors' lengths and alignments, takes ``struct virtio_net_hdr`` off
    (12 bytes, in one descriptor or spread over several) and sends what follows. A chain goes
    back with length 0 when all its bytes have been read and its frame has been sent.

    A frame is not sent, its chain goes back and it is counted as ``DROPPED`` when

    - it is shorter than an Ethernet header or longer than 9600 bytes;
    - ``gso_type`` is not NONE: no segmentation offload is offered;
    - VIRTIO_NET_HDR_F_NEEDS_CSUM is set, CSUM was negotiated, and the checksum's place
      (``csum_start`` + ``csum_offset``) does not lie within the frame.

    Without CSUM the flag is ignored. Device-writable segments of a chain are not touched.
    These are mistakes in a frame, not in the ring: the device needs no reset. When memory
    cannot be read, a frame that has begun ends with ``error``, one that has not is left out,
    and it is counted as ``FAILED``.

    From a segment to its read command it takes 3 cycles, from the header's answer to the
    frame's first beat 10. A chain of n bytes in one segment takes n / 8 + 11 cycles: the
    smallest frames pass at one in 22.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains, whole and one after another; no segment is empty.
    host : Out(HostRead)
        Where the payload is read.
    o : Out(FrameStream)
        ``tx`` frames: ``meta`` has ``length``, ``function`` and ``inner_checksum``.
    used : Out(stream.Signature(Used))
        Chains on their way back.
    record : Out(stream.Signature(Record))
        One for each chain.
    negotiated : In(Negotiated), an array over functions
        Only ``csum`` counts here.
    """

    #: Chains, whole and one after another.
    i: In(stream.Signature(Segment))
    #: Where the payload is read.
    host: Out(HostRead)
    #: The frames.
    o: Out(FrameStream)
    #: Chains on their way back.
    used: Out(stream.Signature(Used))
    #: One entry in the books for each chain.
    record: Out(stream.Signature(Record))
    #: By function.
    negotiated: In(data.ArrayLayout(Negotiated, MAX_FUNCTIONS))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.chains = chains = Fifo(_Chain, _CHAINS)
        m.submodules.buffer = buffer = Fifo(Piece, _BUFFER_BEATS)
        m.submodules.slice = register = PipeRegister(Piece)
        m.submodules.gather = gather = Gather(lead=_LEAD)
        connect(m, buffer.o, register.i)
        connect(m, register.o, gather.i)

        answer = self.host.answer
        m.d.comb += [
            buffer.i.p.packet.eq(answer.p.packet),
            buffer.i.p.final.eq(data.View(_Tag, answer.p.context).final),
            buffer.i.valid.eq(answer.valid),
            answer.ready.eq(buffer.i.ready),
        ]
        self._read(m, chains.i, buffer.o)
        self._send(m, chains.o, gather.o)
        return m

    def _read(self, m, chains, answers):
        """First half: segments to reads, within the room for their answers."""
        segment = self.i.payload
        command = self.host.command

        # Where the segment begins, the chunk that is read next, and how much is left of the
        # segment and behind it.
        base = Signal(64)
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
        room = Signal(range(_BUFFER_BEATS + 1), init=_BUFFER_BEATS)
        spent = Signal(range(_CHUNK_BEATS + 1))
        spend = Signal()
        reads = Signal(range(_READS + 1))
        recount = Signal()
        freed = Signal()
        returned = Signal()
        may_read = Signal()
        m.d.comb += [
            freed.eq(answers.valid & answers.ready),
            returned.eq(freed & answers.p.packet.last),
            may_read.eq((room >= _CHUNK_BEATS) & (reads != _READS) & ~recount),
        ]
        m.d.sync += [
            room.eq(room + freed - Mux(spend, spent, 0)),
            reads.eq(reads + spend - returned),
        ]
        with m.If(freed & answers.p.packet.error):
            m.d.sync += recount.eq(1)
        with m.Elif(recount & (reads == 0) & ~spend):
            m.d.sync += [recount.eq(0), room.eq(_BUFFER_BEATS)]

        m.d.comb += [
            chains.p.queue.eq(segment.queue),
            chains.p.head.eq(segment.head),
            chains.p.length.eq(segment.total - HEADER_BYTES),
            chains.p.bad.eq(
                (segment.total < HEADER_BYTES + MIN_FRAME_BYTES)
                | (segment.total > HEADER_BYTES + MAX_FRAME_BYTES)
            ),
            command.p.address.eq(address),
            command.p.length.eq(size),
            command.p.function.eq(function),
            command.p.context.eq(Cat(ends_segment & (behind == 0))),
        ]
        with m.FSM(name="read"):
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
                m.d.comb += command.valid.eq(may_read)
                with m.If(command.valid & command.ready):
                    m.d.sync += [
                        left[_CHUNK_BITS:].eq(left[_CHUNK_BITS:] - 1),
                        spent.eq(size[3:] + size[:3].any()),
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

    def _send(self, m, chains, packets):
        """Second half: packets to frames, and the return of their chains."""
        chain = chains.payload
        beat = packets.payload

        second = Signal()
        needs_csum = Signal()
        gso = Signal()
        start = Signal(16)
        offset = Signal(16)
        position = Signal(17)
        beyond = Signal()
        event = Signal(Event)

        m.d.comb += [
            self.o.p.packet.eq(beat),
            self.o.p.meta.length.eq(chain.length),
            self.o.p.meta.function.eq(chain.queue.function),
            self.o.p.meta.inner_checksum.enable.eq(needs_csum),
            self.o.p.meta.inner_checksum.start.eq(start),
            self.o.p.meta.inner_checksum.position.eq(position),
            self.used.p.queue.eq(chain.queue),
            self.used.p.head.eq(chain.head),
            self.record.p.function.eq(chain.queue.function),
            self.record.p.event.eq(event),
            self.record.p.bytes.eq(chain.length),
        ]
        with m.FSM(name="send"):
            with m.State("Idle"):
                m.d.sync += [event.eq(Event.DROPPED), second.eq(0)]
                with m.If(chains.valid):
                    m.next = "Header"
                    with m.If(chain.bad):
                        m.next = "Return"
            with m.State("Header"):
                # With the lead, the header fills the rest of the first beat and all of the
                # second, and the frame begins at lane 0 of the third.
                m.d.comb += packets.ready.eq(1)
                with m.If(packets.valid):
                    m.d.sync += second.eq(1)
                    with m.If(~second):
                        m.d.sync += [
                            needs_csum.eq(
                                beat.data.bit_select(32 + _NEEDS_CSUM, 1)
                                & self.negotiated[chain.queue.function].csum
                            ),
                            gso.eq(beat.data[40:48].any()),
                        ]
                    with m.Else():
                        m.d.sync += [start.eq(beat.data[16:32]), offset.eq(beat.data[32:48])]
                        m.next = "Locate"
                    with m.If(beat.last):
                        m.d.sync += event.eq(Event.FAILED)
                        m.next = "Return"
            with m.State("Locate"):
                m.d.sync += position.eq(start + offset)
                m.next = "Compare"
            with m.State("Compare"):
                # Checksums of every protocol stand at even offsets and start at such, so that
                # a slot lies within the frame when its second byte does.
                m.d.sync += beyond.eq(((position | 1) >= chain.length) | start[0] | offset[0])
                m.next = "Judge"
            with m.State("Judge"):
                m.next = "Send"
                with m.If(gso | (needs_csum & beyond)):
                    m.next = "Refuse"
            with m.State("Send"):
                m.d.comb += [self.o.valid.eq(packets.valid), packets.ready.eq(self.o.ready)]
                with m.If(packets.valid & packets.ready & beat.last):
                    m.d.sync += event.eq(Mux(beat.error, Event.FAILED, Event.FRAME))
                    m.next = "Return"
            with m.State("Refuse"):
                m.d.comb += packets.ready.eq(1)
                with m.If(packets.valid & beat.last):
                    with m.If(beat.error):
                        m.d.sync += event.eq(Event.FAILED)
                    m.next = "Return"
            with m.State("Return"):
                m.d.comb += self.used.valid.eq(1)
                with m.If(self.used.ready):
                    m.next = "Record"
            with m.State("Record"):
                m.d.comb += [self.record.valid.eq(1), chains.ready.eq(self.record.ready)]
                with m.If(self.record.ready):
                    m.next = "Idle"

"""The transmit mover: chains of the driver's become frames."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, FrameStream, HostRead
from niter.stream import Fifo
from niter.virtio.gather import Gather, Piece
from niter.virtio.queue.layouts import Segment, Used

from .fetch import BUFFER_BEATS, LEAD, Chain, Fetch, Tag
from .layouts import Negotiated, Record
from .send import Send

__all__ = ["Transmit"]

#: Chains that may be under way.
_CHAINS = 16


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
    frame's first beat 6, or 3 when it wants no checksum. A chain of n bytes in one segment
    takes n / 8 + 8 cycles: the smallest frames pass at one in 19.

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
        m.submodules.fetch = fetch = Fetch()
        m.submodules.chains = chains = Fifo(Chain, _CHAINS)
        m.submodules.buffer = buffer = Fifo(Piece, BUFFER_BEATS)
        m.submodules.gather = gather = Gather(lead=LEAD)
        m.submodules.send = send = Send()
        connect(m, flipped(self.i), fetch.i)
        connect(m, fetch.command, flipped(self.host.command))
        connect(m, fetch.chains, chains.i)
        connect(m, buffer.o, gather.i)
        connect(m, chains.o, send.chains)
        connect(m, gather.o, send.packets)
        connect(m, send.o, flipped(self.o))
        connect(m, send.used, flipped(self.used))
        connect(m, send.record, flipped(self.record))

        answer = self.host.answer
        m.d.comb += [
            send.negotiated.eq(self.negotiated),
            buffer.i.p.packet.eq(answer.p.packet),
            buffer.i.p.final.eq(data.View(Tag, answer.p.context).final),
            buffer.i.valid.eq(answer.valid),
            answer.ready.eq(buffer.i.ready),
            fetch.freed.eq(buffer.o.p.packet),
            fetch.freed_valid.eq(buffer.o.valid & buffer.o.ready),
        ]
        return m

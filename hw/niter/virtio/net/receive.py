"""The receive mover: frames go into the driver's buffers."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, Beat, FrameStream, HostWrite, WriteKind
from niter.stream import Fifo
from niter.virtio.queue.layouts import Fault, Offer, Take, Used

from .layouts import Event, Negotiated, Record
from .plan import Arrival, FrameWord, SegmentWord
from .planner import Planner
from .scatter import LEAD, Scatter

__all__ = ["Receive"]

#: Beats of frames whose buffers are still to be found: 4 KiB, two EBR.
_BUFFER_BEATS = 512

#: Frames that wait likewise.
_ARRIVALS = 16


class Receive(wiring.Component):
    """Writes frames with their ``struct virtio_net_hdr`` into buffers of the receive queues.

    A ``Planner`` runs ahead and finds the buffers of each frame; while frames wait for it,
    they stand in a buffer of 4 KiB. For each frame with buffers the header and the frame are
    then cut to the buffers' segments and written, and once the last byte was accepted by the
    write port the chains go back as used, all but the last with ``more``. What is written
    through another port from then on, and the used ring is, comes behind the payload.

    The header is all zero but for num_buffers (1 without MRG_RXBUF) and, when GUEST_CSUM was
    negotiated and the card has verified the checksum, VIRTIO_NET_HDR_F_DATA_VALID.

    A frame without buffers is dropped and counted as ``DROPPED``, and the next one goes on:
    no function's empty queue holds up the others. While the queue knows of more, the frame waits
    for them, within the bounds that ``Planner`` tells of. A frame that ends in error has already
    used buffers up; they go back with length 0, which drivers refuse as too short, and it is
    counted as ``FAILED``.

    A frame of n bytes in one segment takes n / 8 + 14 cycles, and each further segment 5;
    so 64-byte frames pass at one in 22.

    Members
    -------
    i : In(FrameStream)
        ``rx`` frames: ``meta.length``, ``function``, ``hash`` and ``checksum_good`` count.
    host : Out(HostWrite)
        Where the payload goes.
    take : Out(stream.Signature(Take)), offer : In(stream.Signature(Offer))
        The receive queues.
    used : Out(stream.Signature(Used))
        Chains on their way back.
    faults : Out(stream.Signature(Fault))
        Functions whose driver put a device-readable segment on a receive queue.
    record : Out(stream.Signature(Record))
        One for each frame.
    negotiated : In(Negotiated), an array over functions
        What was negotiated.
    """

    #: The frames.
    i: In(FrameStream)
    #: Where the payload goes.
    host: Out(HostWrite)
    #: Requests to the receive queues.
    take: Out(stream.Signature(Take))
    #: Their answers.
    offer: In(stream.Signature(Offer))
    #: Chains on their way back.
    used: Out(stream.Signature(Used))
    #: Functions whose driver broke the rules.
    faults: Out(stream.Signature(Fault))
    #: One entry in the books for each frame.
    record: Out(stream.Signature(Record))
    #: By function.
    negotiated: In(data.ArrayLayout(Negotiated, MAX_FUNCTIONS))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.beats = beats = Fifo(Beat, _BUFFER_BEATS)
        m.submodules.arrivals = arrivals = Fifo(Arrival, _ARRIVALS)
        m.submodules.planner = planner = Planner()
        m.submodules.scatter = scatter = Scatter()
        connect(m, arrivals.o, planner.i)
        connect(m, flipped(self.take), planner.take)
        connect(m, flipped(self.offer), planner.offer)
        connect(m, flipped(self.faults), planner.faults)
        connect(m, beats.o, scatter.i)
        connect(m, scatter.o, flipped(self.host.data))
        m.d.comb += planner.negotiated.eq(self.negotiated)

        # A frame's meta goes one way, with its first beat, and its beats another.
        inside = Signal()
        open_ = inside | arrivals.i.ready
        meta = self.i.p.meta
        m.d.comb += [
            self.i.ready.eq(beats.i.ready & open_),
            beats.i.valid.eq(self.i.valid & open_),
            beats.i.payload.eq(self.i.p.packet),
            arrivals.i.valid.eq(self.i.valid & beats.i.ready & ~inside),
            arrivals.i.p.length.eq(meta.length),
            arrivals.i.p.function.eq(meta.function),
            arrivals.i.p.flow.eq(meta.hash),
            arrivals.i.p.checksum_good.eq(meta.checksum_good),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += inside.eq(~self.i.p.packet.last)

        self._write(m, planner, scatter)
        return m

    def _write(self, m, planner, scatter):
        """Follow the plans: write each frame, and then give its chains back."""
        command = self.host.command
        cut = scatter.cut.payload
        here = Signal.like(planner.address)
        m.d.comb += planner.address.eq(here)
        as_frame = data.View(FrameWord, planner.word[: FrameWord.as_shape().size])
        as_segment = data.View(SegmentWord, planner.word[: SegmentWord.as_shape().size])

        frame = Signal(FrameWord)
        segment = Signal(SegmentWord)
        address = Signal(64)
        lane = Signal(3)
        written = Signal(14)
        event = Signal(Event)
        phase = Signal(2)

        m.d.comb += [
            command.p.kind.eq(WriteKind.MEMORY),
            command.p.address.eq(address),
            command.p.length.eq(segment.length),
            command.p.function.eq(frame.queue.function),
            command.p.lane.eq(lane),
            cut.length.eq(segment.length),
            cut.lane.eq(lane),
            cut.last.eq(segment.frame_last),
            scatter.valid_flag.eq(frame.valid_flag),
            scatter.buffers.eq(frame.buffers),
            self.used.p.queue.eq(frame.queue),
            self.used.p.head.eq(segment.head),
            self.used.p.length.eq(Mux(event == Event.FAILED, 0, written)),
            self.used.p.more.eq(~segment.frame_last),
            self.record.p.function.eq(frame.queue.function),
            self.record.p.event.eq(event),
            self.record.p.bytes.eq(frame.bytes),
        ]
        # In every state the ring is asked for the word at ``here``, which shows in the next.
        forward = Signal()
        with m.If(forward):
            m.d.sync += here.eq(here + 1)

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += event.eq(Event.FRAME)
                with m.If(here != planner.published):
                    m.d.comb += forward.eq(1)
                    m.next = "Frame"
            with m.State("Frame"):
                m.d.comb += forward.eq(1)
                m.d.sync += [frame.eq(as_frame), lane.eq(LEAD)]
                m.next = "Low"
            with m.State("Low"):
                m.d.comb += forward.eq(1)
                m.d.sync += address[:32].eq(planner.word)
                m.next = "High"
                with m.If(frame.dropped):
                    # Nothing of it stands behind its first word.
                    m.d.sync += [event.eq(Event.DROPPED), here.eq(planner.kept)]
                    m.next = "Drop"
            with m.State("High"):
                m.d.comb += forward.eq(1)
                m.d.sync += address[32:].eq(planner.word)
                m.next = "Info"
            with m.State("Info"):
                m.d.sync += segment.eq(as_segment)
                m.next = "Command"
            with m.State("Command"):
                # Ahead of its data: the write is accepted with the last beat.
                m.d.comb += command.valid.eq(1)
                with m.If(command.ready):
                    m.next = "Cut"
            with m.State("Cut"):
                m.d.comb += scatter.cut.valid.eq(1)
                with m.If(scatter.cut.ready):
                    m.d.sync += lane.eq(lane + segment.length[:3])
                    m.next = "Written"
                    with m.If(~segment.frame_last):
                        m.d.comb += forward.eq(1)
                        m.next = "Low"
            with m.State("Written"):
                m.d.sync += [written.eq(0), phase.eq(0)]
                with m.If(scatter.done):
                    with m.If(scatter.failed):
                        m.d.sync += event.eq(Event.FAILED)
                    m.d.sync += here.eq(planner.kept)
                    m.next = "Rewind"
            with m.State("Rewind"):
                m.d.comb += forward.eq(1)
                m.next = "Walk"
            with m.State("Walk"):
                # Three words on, the segment's own word shows.
                m.d.comb += forward.eq(phase != 3)
                m.d.sync += phase.eq(phase + 1)
                with m.If(phase == 3):
                    m.d.sync += [
                        segment.eq(as_segment),
                        written.eq(written + as_segment.length),
                    ]
                    with m.If(as_segment.chain_last):
                        m.next = "Used"
            with m.State("Used"):
                m.d.comb += self.used.valid.eq(1)
                with m.If(self.used.ready):
                    m.d.sync += written.eq(0)
                    m.next = "Walk"
                    with m.If(segment.frame_last):
                        m.next = "Record"
            with m.State("Drop"):
                m.d.comb += scatter.skip.eq(1)
                with m.If(scatter.done):
                    m.d.comb += forward.eq(1)
                    m.next = "Record"
            with m.State("Record"):
                m.d.comb += self.record.valid.eq(1)
                with m.If(self.record.ready):
                    m.d.sync += planner.kept.eq(here)
                    m.next = "Idle"

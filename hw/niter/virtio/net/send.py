"""The second half of the transmit mover: packets become frames."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, FrameStream, PacketStream
from niter.virtio.queue.layouts import Used

from .fetch import LEAD, Chain
from .layouts import Event, Negotiated, Record

__all__ = ["Send"]

#: VIRTIO_NET_HDR_F_NEEDS_CSUM, by its bit.
_NEEDS_CSUM = 0


class Send(wiring.Component):
    """Takes ``struct virtio_net_hdr`` off and gives the chain back.

    From the header to the frame's first beat it takes 5 cycles, or 2 when it wants no checksum.
    What is refused, and how it is counted, says ``Transmit``.

    Members
    -------
    chains : In(stream.Signature(Chain))
        Taken when it has been given back.
    packets : In(PacketStream)
        Header and frame of each chain that is not bad, with ``LEAD`` bytes in front.
    o : Out(FrameStream)
        ``tx`` frames: ``meta`` has ``length``, ``function`` and ``inner_checksum``.
    used : Out(stream.Signature(Used)), record : Out(stream.Signature(Record))
        One each for each chain.
    negotiated : In(Negotiated), an array over functions
        Only ``csum`` counts here.
    """

    chains: In(stream.Signature(Chain))
    packets: In(PacketStream)
    o: Out(FrameStream)
    used: Out(stream.Signature(Used))
    record: Out(stream.Signature(Record))
    negotiated: In(data.ArrayLayout(Negotiated, MAX_FUNCTIONS))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        chains, packets = self.chains, self.packets
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
        with m.FSM():
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
                                beat.data.bit_select(8 * LEAD + _NEEDS_CSUM, 1)
                                & self.negotiated[chain.queue.function].csum
                            ),
                            gso.eq(beat.data[8 * LEAD + 8 : 8 * LEAD + 16].any()),
                        ]
                    with m.Else():
                        m.d.sync += [start.eq(beat.data[16:32]), offset.eq(beat.data[32:48])]
                        m.next = "Send"
                        with m.If(gso):
                            m.next = "Refuse"
                        with m.Elif(needs_csum):
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
                with m.If(beyond):
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
        return m

"""Where frames on receive are to go: the buffers of each, taken ahead of the writing."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS
from niter.stream import Ram
from niter.virtio.queue.layouts import Fault, Offer, Take, TakeOperation

from .layouts import HEADER_BYTES, Negotiated
from .plan import DEPTH, PIECE_BYTES, WORD_BITS, Arrival, FrameWord, SegmentWord

__all__ = ["Planner"]

_SPAN_BITS = PIECE_BYTES.bit_length() - 1

#: How often a function's frames may ask again while nothing is being written.
_PATIENCE_BITS = 7
_PATIENCE = (1 << _PATIENCE_BITS) - 1


class Planner(wiring.Component):
    """Takes buffers from the receive queues until they cover a frame, and writes down a plan.

    A plan is a ``FrameWord`` and, for each piece of at most 2048 bytes in one segment, three
    words: the address' low and high half and a ``SegmentWord``. Plans wait in a ring of 512
    words, so that frames behind the one that is being written already have their buffers;
    up to 170 pieces fit.

    A frame goes to pair ``flow * pairs // 16`` of its function, ``flow`` being the low four
    bits of its hash: frames of one flow stay together, and all pairs are used about evenly.

    With MRG_RXBUF a frame takes as many chains as it needs, without it one. It is dropped
    when the queue has no more of them, when its one chain is too short, and when a plan is
    larger than the ring; what was taken for it goes back to the queue. A device-readable
    segment on a receive queue breaks the rules of the device (5.1.6.3), and as the chain
    stands in the way of all others it is a fault: the device needs a reset.

    A queue that has none at hand, but says that some come ``soon``, is asked again every 13 cycles
    or so. As long as the writing of frames before goes on, that holds nobody up. From then on it
    costs *patience*, one for each time, of which a function has 127: a frame is dropped when
    nothing is left of it, and each that gets its buffers brings one back. So a function whose
    chains come slowly holds up the others by some 1,650 cycles once, and by 13 for each of its
    frames that arrive.

    A frame in one segment takes 8 cycles and the queue's time to answer, a further piece 4.

    Members
    -------
    i : In(stream.Signature(Arrival))
        Frames in order.
    take : Out(stream.Signature(Take)), offer : In(stream.Signature(Offer))
        The pulled queues; no segment is empty.
    faults : Out(stream.Signature(Fault))
        Functions whose driver broke the rules.
    negotiated : In(Negotiated), an array over functions
        What was negotiated.
    address : In(9), word : Out(36)
        The reader's port: ``word`` shows what stood at ``address`` a cycle ago.
    published : Out(9)
        Words before this position may be read.
    kept : In(9)
        Words from this position on are still needed.
    """

    #: Frames in order.
    i: In(stream.Signature(Arrival))
    #: Requests to the queues.
    take: Out(stream.Signature(Take))
    #: Their answers.
    offer: In(stream.Signature(Offer))
    #: Functions whose driver broke the rules.
    faults: Out(stream.Signature(Fault))
    #: By function.
    negotiated: In(data.ArrayLayout(Negotiated, MAX_FUNCTIONS))
    #: Position to be read.
    address: In(range(DEPTH))
    #: What stands there, one cycle later.
    word: Out(WORD_BITS)
    #: Words before this position may be read.
    published: Out(range(DEPTH))
    #: Words from this position on are still needed.
    kept: In(range(DEPTH))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.ring = ring = Ram(shape=WORD_BITS, depth=DEPTH, init=[])
        read = ring.read_port()
        write = ring.write_port()
        m.d.comb += [read.addr.eq(self.address), self.word.eq(read.data)]

        arrival = self.i.payload
        m.submodules.patience = patience = memory.Memory(
            shape=_PATIENCE_BITS, depth=MAX_FUNCTIONS, init=[_PATIENCE] * MAX_FUNCTIONS
        )
        left, spend = patience.read_port(domain="comb"), patience.write_port()
        gains = Signal()
        m.d.comb += [
            left.addr.eq(arrival.function),
            spend.addr.eq(arrival.function),
            spend.data.eq(left.data + Mux(gains, 1, -1)),
        ]
        negotiated = Signal(Negotiated)
        segment = self.offer.p.segment
        pair = Signal(2)
        valid_flag = Signal()
        mergeable = Signal()
        m.d.comb += [
            negotiated.eq(self.negotiated[arrival.function]),
            self.take.p.queue.function.eq(arrival.function),
            self.take.p.queue.index.eq(Cat(Const(0, 1), pair)),
            self.faults.p.function.eq(arrival.function),
        ]

        # A product of four bits and three is too small for a multiplier block.
        scaled = Signal(6)
        m.d.comb += scaled.eq(
            sum(Mux(negotiated.pairs[bit], arrival.flow << bit, 0) for bit in range(3))
        )

        tail = Signal(range(DEPTH))
        full = Signal()
        alone = Signal()
        following = Signal.like(tail)
        m.d.comb += [
            following.eq(tail + 1),
            full.eq(following == self.kept),
        ]
        # Both are known a cycle late: nobody asks in the one behind a plan's end, and until the
        # next end the first can only become true.
        patient = Signal()
        m.d.sync += [alone.eq(self.published == self.kept), patient.eq(left.data.any())]

        # What is still to be covered, and what this segment contributes from ``step`` on.
        behind = Signal(14)
        span = Signal(14)
        covers = Signal()
        step = Signal(3)
        buffers = Signal(9)
        broken = Signal()
        dropped = Signal()
        rest = Signal(15)
        ends_segment = Signal()
        m.d.comb += [
            rest.eq(behind - segment.length[:14]),
            ends_segment.eq(~span[_SPAN_BITS:].any() | (span == PIECE_BYTES)),
        ]

        # The address goes through one adder, its low half first.
        high = Signal()
        carry = Signal()
        half = Signal(33)
        m.d.comb += half.eq(
            segment.address.word_select(high, 32) + Mux(high, carry, step << _SPAN_BITS)
        )
        info = Signal(SegmentWord)
        frame = Signal(FrameWord)
        m.d.comb += [
            info.length.eq(Mux(ends_segment, span, PIECE_BYTES)),
            info.head.eq(segment.head),
            info.chain_last.eq(ends_segment & (covers | segment.last)),
            info.frame_last.eq(ends_segment & covers),
            frame.dropped.eq(dropped),
            frame.valid_flag.eq(valid_flag),
            frame.queue.eq(self.take.p.queue),
            frame.buffers.eq(buffers),
            frame.bytes.eq(arrival.length),
            write.addr.eq(tail),
            write.data.eq(half[:32]),
        ]
        put = Signal()
        m.d.comb += write.en.eq(put & ~full)
        with m.If(put & ~full):
            m.d.sync += tail.eq(following)

        with m.If(self.offer.valid & self.offer.ready & segment.last & ~self.offer.p.none):
            m.d.sync += buffers.eq(buffers + 1)

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [
                    behind.eq(arrival.length + HEADER_BYTES),
                    pair.eq(scaled >> 4),
                    mergeable.eq(negotiated.mrg_rxbuf),
                    valid_flag.eq(negotiated.guest_csum & arrival.checksum_good),
                    buffers.eq(0),
                    broken.eq(0),
                    dropped.eq(0),
                ]
                with m.If(self.i.valid & ~full):
                    m.d.sync += tail.eq(following)
                    m.next = "Take"
            with m.State("Take"):
                m.d.comb += [
                    self.take.valid.eq(1),
                    self.take.p.operation.eq(TakeOperation.CHAIN),
                ]
                with m.If(self.take.ready):
                    m.next = "Offer"
            with m.State("Offer"):
                m.d.sync += step.eq(0)
                with m.If(self.offer.valid):
                    with m.If(self.offer.p.none):
                        m.d.comb += self.offer.ready.eq(1)
                        m.next = "Roll back"
                        with m.If(self.offer.p.soon & (~alone | patient)):
                            m.d.comb += spend.en.eq(alone)
                            m.next = "Wait"
                    with m.Elif(~segment.writable):
                        m.d.sync += broken.eq(1)
                        m.next = "Skip"
                    with m.Elif(behind == 0):
                        m.d.comb += self.offer.ready.eq(1)
                        with m.If(segment.last):
                            m.next = "Commit"
                    with m.Else():
                        m.d.sync += [
                            covers.eq(0),
                            span.eq(segment.length),
                            behind.eq(rest),
                        ]
                        with m.If(segment.length[14:].any() | rest[14] | (rest == 0)):
                            m.d.sync += [covers.eq(1), span.eq(behind), behind.eq(0)]
                        m.next = "Low"
            with m.State("Wait"):
                # The queue deals with what has arrived between two questions only.
                m.d.sync += step.eq(step + 1)
                with m.If(step.all()):
                    m.next = "Take"
            with m.State("Low"):
                m.d.comb += put.eq(1)
                m.d.sync += carry.eq(half[32])
                with m.If(~full):
                    m.next = "High"
                with m.Elif(alone):
                    m.next = "Skip"
            with m.State("High"):
                m.d.comb += [put.eq(1), high.eq(1)]
                with m.If(~full):
                    m.next = "Info"
                with m.Elif(alone):
                    m.next = "Skip"
            with m.State("Info"):
                m.d.comb += [put.eq(1), write.data.eq(info)]
                with m.If(~full):
                    m.d.sync += [
                        span[_SPAN_BITS:].eq(span[_SPAN_BITS:] - 1),
                        step.eq(step + 1),
                    ]
                    m.next = "Low"
                    with m.If(ends_segment):
                        m.d.comb += self.offer.ready.eq(1)
                        m.next = "Offer"
                        with m.If(segment.last):
                            m.next = "Roll back"
                            with m.If(covers):
                                m.next = "Commit"
                            with m.Elif(mergeable):
                                m.next = "Take"
                with m.Elif(alone):
                    m.next = "Skip"
            with m.State("Skip"):
                m.d.comb += self.offer.ready.eq(1)
                with m.If(self.offer.valid & segment.last):
                    m.next = "Roll back"
            with m.State("Commit"):
                m.d.comb += [
                    self.take.valid.eq(1),
                    self.take.p.operation.eq(TakeOperation.COMMIT),
                ]
                with m.If(self.take.ready):
                    m.next = "Publish"
            with m.State("Roll back"):
                m.d.comb += [
                    self.take.valid.eq(1),
                    self.take.p.operation.eq(TakeOperation.ROLLBACK),
                ]
                m.d.sync += [dropped.eq(1), tail.eq(self.published)]
                with m.If(self.take.ready):
                    m.next = "Shrink"
                    with m.If(broken):
                        m.next = "Fault"
            with m.State("Fault"):
                m.d.comb += self.faults.valid.eq(1)
                with m.If(self.faults.ready):
                    m.next = "Shrink"
            with m.State("Shrink"):
                # Of a dropped plan only its first word stays.
                m.d.sync += tail.eq(following)
                m.next = "Publish"
            with m.State("Publish"):
                m.d.comb += [
                    write.addr.eq(self.published),
                    write.data.eq(frame),
                    write.en.eq(1),
                    self.i.ready.eq(1),
                    gains.eq(1),
                    spend.en.eq(~dropped & ~left.data.all()),
                ]
                m.d.sync += self.published.eq(tail)
                m.next = "Idle"
        return m

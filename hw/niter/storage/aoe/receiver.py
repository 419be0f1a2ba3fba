"""Takes frames from the wire apart, and pushes what they carry."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import (
    SECTOR_BYTES,
    BlockCompletion,
    BlockSpan,
    BlockStatus,
    FrameStream,
    PacketStream,
)

from .codec import (
    BAD_STATUS,
    COMMAND_ATA,
    GENERATION_BITS,
    QUERY,
    SLOT_BITS,
    Answer,
    AoeError,
    Ending,
    Verdict,
)
from .intake import Intake

__all__ = ["Receiver"]


class Receiver(wiring.Component):
    """Holds frames until their turn, asks what is to become of each, and does it.

    While there is no room for a frame, steering discards it, and the target's answer is asked for
    again. What is no response of version 1 with a whole
    header is dropped here and counted; so are answers to control's question, which go there.

    A frame takes 8 cycles, those until its verdict, and one for each beat of its data.

    Parameters
    ----------
    depth
        Beats of the receive buffer, a power of two.

    Members
    -------
    i : In(FrameStream)
        Frames from the wire. Meta: ``length``.
    answer : Out(stream.Signature(Answer))
        Of the frame at hand.
    verdict : In(stream.Signature(Verdict))
        What is to become of it; one for each answer, taken at any time after it.
    ending : In(stream.Signature(Ending))
        What it is for its request; one for each verdict that counts, taken when the data has moved.
    push, push_data : Out(stream.Signature(BlockSpan)), Out(PacketStream)
        To the front end.
    completion : Out(stream.Signature(BlockCompletion))
        Of the requests that end with an answer, when its data is taken.
    fault : Out(stream.Signature(8))
        Data of this request was bad, though the frame's beginning was not.
    idle : Out(1)
        No verdict is being carried out.
    malformed : Out(1)
        A frame is dropped for what it is, high for a cycle.
    listening, question : In(1), In(24)
        Control waits for the answer with this tag.
    word, word_valid, restart, answered : Out
        The answer's words, see ``Query``.
    """

    def __init__(self, depth: int = 1024):
        self.depth = depth
        super().__init__(
            {
                "i": In(FrameStream),
                "answer": Out(stream.Signature(Answer)),
                "verdict": In(stream.Signature(Verdict)),
                "ending": In(stream.Signature(Ending)),
                "push": Out(stream.Signature(BlockSpan)),
                "push_data": Out(PacketStream),
                "completion": Out(stream.Signature(BlockCompletion)),
                "fault": Out(stream.Signature(8)),
                "idle": Out(1),
                "malformed": Out(1),
                "listening": In(1),
                "question": In(GENERATION_BITS),
                "word": Out(32),
                "word_valid": Out(1),
                "restart": Out(1),
                "answered": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.intake = buffer = Intake(self.depth)
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        word = buffer.o.payload
        lanes = [word.data.word_select(n, 8) for n in range(8)]

        verdict, ending = Verdict(Signal(Verdict)), self.ending.payload
        answer = self.answer.payload
        good, asked, ours, late = Signal(), Signal(), Signal(), Signal()
        code = Signal(8)
        refused = Signal()
        held = Signal(32)
        # Beats of a sector, which are whole whenever none moves, and sectors that are left.
        beats, left = Signal(range(SECTOR_BYTES // 8)), Signal(5)
        pop = Signal()
        m.d.comb += buffer.o.ready.eq(pop)

        # The beats of a header take two cycles while control listens, one for each word.
        half = Signal()
        both = ~self.listening | half
        reading = Signal()
        # A beat of a header is taken. What it leads to does not wait for who takes bodies.
        taken = buffer.o.valid & both
        m.d.comb += [
            self.word.eq(Mux(half, word.data[32:], word.data[:32])),
            self.word_valid.eq(buffer.o.valid & reading),
        ]
        with m.If(buffer.o.valid & reading):
            m.d.sync += half.eq(self.listening & ~half)

        status = Signal(BlockStatus)
        with m.If(refused):
            m.d.comb += status.eq(BlockStatus.INTERNAL)
            with m.Switch(code):
                with m.Case(AoeError.UNKNOWN_COMMAND, AoeError.UNSUPPORTED_VERSION):
                    m.d.comb += status.eq(BlockStatus.UNSUPPORTED)
                with m.Case(AoeError.UNAVAILABLE):
                    m.d.comb += status.eq(BlockStatus.PATH)
                with m.Case(AoeError.RESERVED):
                    m.d.comb += status.eq(BlockStatus.RESERVED)
        with m.Elif((lanes[3] & BAD_STATUS).any()):
            m.d.comb += status.eq(BlockStatus.MEDIUM)

        body = self.push_data.payload
        m.d.comb += [
            self.push.payload.tag.eq(verdict.tag),
            self.push.payload.first.eq(verdict.first),
            self.push.payload.sectors.eq(verdict.sectors),
            self.completion.payload.tag.eq(verdict.tag),
            self.completion.payload.status.eq(Mux(late, BlockStatus.INTERNAL, ending.status)),
            self.fault.payload.eq(verdict.tag),
            body.data.eq(Cat(held, word.data[:32])),
            body.last.eq(beats.all() & (left == 1)),
        ]
        # A frame may end before its length says so; the packet must not.
        short = Signal()
        m.d.comb += body.error.eq(body.last & (short | (word.last & word.error) | ~word.last))

        with m.FSM():
            with m.State("ADDRESSES"):
                m.d.comb += [reading.eq(1), pop.eq(both), self.idle.eq(1)]
                m.d.sync += [late.eq(0), short.eq(0)]
                with m.If(taken & ~word.last):
                    m.next = "KIND"
            with m.State("KIND"):
                m.d.comb += [reading.eq(1), pop.eq(both), self.idle.eq(1)]
                # Version 1, a response.
                m.d.sync += [
                    good.eq((lanes[6] & 0xF8) == 0x18),
                    refused.eq(lanes[6][2]),
                    code.eq(lanes[7]),
                ]
                with m.If(taken):
                    m.next = "TAG"
                    with m.If(word.last):
                        m.next = "MALFORMED"
            with m.State("TAG"):
                tag = Cat(*reversed(lanes[4:]))
                m.d.comb += [reading.eq(1), pop.eq(both), self.idle.eq(1)]
                m.d.sync += [
                    asked.eq(tag[:8] == QUERY),
                    ours.eq(self.listening & (tag[8:] == self.question)),
                    answer.slot.eq(tag),
                    answer.generation.eq(tag[8:]),
                ]
                # Control's, a slot's, or nobody's.
                other = (lanes[3] != COMMAND_ATA) | tag[SLOT_BITS:8].any()
                m.d.sync += good.eq(good & ((tag[:8] == QUERY) | ~other))
                with m.If(taken):
                    m.next = "STATUS"
                    with m.If(word.last):
                        m.next = "MALFORMED"
            with m.State("STATUS"):
                m.d.comb += [reading.eq(1), pop.eq(both), self.idle.eq(1)]
                m.d.sync += [answer.status.eq(status), answer.sectors.eq(word.sectors)]
                with m.If(taken):
                    with m.If(good & asked):
                        m.next = "KEEP"
                        with m.If(word.last):
                            m.d.comb += [self.answered.eq(ours), self.restart.eq(~ours)]
                            m.next = "ADDRESSES"
                    with m.Elif(word.last):
                        m.next = "MALFORMED"
                    with m.Elif(good):
                        m.next = "ASK"
                    with m.Else():
                        m.next = "REFUSE"
            with m.State("KEEP"):
                m.d.comb += [reading.eq(1), pop.eq(both), self.idle.eq(1)]
                with m.If(taken & word.last):
                    m.d.comb += [self.answered.eq(ours), self.restart.eq(~ours)]
                    m.next = "ADDRESSES"
            with m.State("REFUSE"):
                m.d.comb += [pop.eq(1), self.idle.eq(1)]
                with m.If(buffer.o.valid & word.last):
                    m.next = "MALFORMED"
            with m.State("MALFORMED"):
                m.d.comb += [self.malformed.eq(1), self.idle.eq(1), self.restart.eq(1)]
                m.next = "ADDRESSES"
            with m.State("ASK"):
                m.d.comb += [self.answer.valid.eq(1), self.idle.eq(1)]
                with m.If(self.answer.ready):
                    m.next = "VERDICT"
            with m.State("VERDICT"):
                m.d.comb += self.verdict.ready.eq(1)
                m.d.sync += [
                    verdict.eq(self.verdict.payload),
                    left.eq(self.verdict.payload.sectors),
                ]
                with m.If(self.verdict.valid):
                    m.next = "REST"
                    with m.If(self.verdict.payload.push):
                        m.next = "PUSH"
            with m.State("REST"):
                m.d.comb += pop.eq(1)
                with m.If(buffer.o.valid & word.last):
                    m.d.sync += late.eq(word.error)
                    m.next = "END"
            with m.State("PUSH"):
                m.d.comb += self.push.valid.eq(1)
                with m.If(self.push.ready):
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += pop.eq(1)
                m.d.sync += held.eq(word.data[32:])
                with m.If(buffer.o.valid):
                    m.d.sync += short.eq(word.last)
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [
                    self.push_data.valid.eq(buffer.o.valid | short),
                    pop.eq(self.push_data.ready & ~short),
                ]
                with m.If(self.push_data.valid & self.push_data.ready):
                    m.d.sync += [
                        held.eq(word.data[32:]),
                        beats.eq(beats + 1),
                        left.eq(left - beats.all()),
                        short.eq(short | word.last),
                    ]
                    with m.If(body.last):
                        m.d.sync += late.eq(body.error)
                        m.next = "REST"
                        with m.If(short | word.last):
                            m.next = "END"
            with m.State("END"):
                known = self.ending.valid
                m.d.comb += [
                    self.completion.valid.eq(known & ending.complete),
                    self.fault.valid.eq(known & ~ending.complete & late & verdict.push),
                    self.restart.eq(1),
                ]
                said = Mux(ending.complete, self.completion.ready, self.fault.ready)
                m.d.comb += self.ending.ready.eq(
                    said | (known & ~self.completion.valid & ~self.fault.valid)
                )
                with m.If(~verdict.counts | (known & self.ending.ready)):
                    m.next = "ADDRESSES"
        return m

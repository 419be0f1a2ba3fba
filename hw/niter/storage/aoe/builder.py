"""Makes frames out of the words of their headers, and of the data that was pulled for them."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import (
    SECTOR_BYTES,
    Beat,
    FrameStream,
    PacketStream,
)

from .codec import HEADER_BYTES, SLOT_BITS, TargetRecord
from .heads import HEAD_BITS, PLACES, HeadAddress, HeadKind
from .query import Question

__all__ = ["Builder"]

_SECTOR_BEATS = SECTOR_BYTES // 8

#: What a header is made of, in the order in which the words are read: two that say what frame it
#: is, then, each with its half of a beat, those of the header.
_TAG, _ATA, _LBA_LOW, _LBA_HIGH = range(4)
_RECORD, _ORDER, _SOURCE, _CONSTANT = "record", "order", "source", "constant"
_WALK = (
    (_ORDER, _TAG),
    (_ORDER, _ATA),
    # Our own address depends on the port, which stands here.
    (_RECORD, TargetRecord.MAC_LOW),
    (_RECORD, TargetRecord.MAC_HIGH),
    (_SOURCE, 0),
    (_SOURCE, 1),
    (_CONSTANT, 0),
    (_RECORD, TargetRecord.PLACE),
    (_ORDER, _TAG),
    (_ORDER, _ATA),
    (_ORDER, _LBA_LOW),
    (_ORDER, _LBA_HIGH),
)
#: Where in the walk something is to be done.
_WHO, _WHAT, _REST, _OWN, _PLACE = 0, 1, 2, 4, 7


class Builder(wiring.Component):
    """Sends a frame for each order, in their order; control's question when there is none.

    A WRITE takes the next packet of ``pull_data``. When that ends in ``error``, so does the
    frame, and the MAC does not send it; its slot is told by ``failure``. A frame takes 15 cycles,
    and one for each beat of its data, when its beats are taken at once.

    Members
    -------
    issued : In(5)
        Orders given so far, modulo 32: the words of the last ``ORDERS`` stand in the memory.
    built : Out(5)
        Orders that are done: data taken, and failure told.
    at, word
        A word of the memory, see ``Heads``.
    question : In(stream.Signature(Question))
        What control asks.
    pull_data : In(PacketStream)
        Data of the WRITEs, in the order of their orders.
    o : Out(FrameStream)
        Frames. Meta: ``length``, ``port``.
    failure : Out(stream.Signature(6))
        Slot of a frame that will not be sent.
    """

    issued: In(5)
    built: Out(5)
    at: Out(HeadAddress)
    word: In(HEAD_BITS)
    question: In(stream.Signature(Question))
    pull_data: In(PacketStream)
    o: Out(FrameStream)
    failure: Out(stream.Signature(SLOT_BITS))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        question = self.question.payload
        asking = Signal()
        at = Signal(range(len(_WALK)))
        target, port = Signal(4), Signal(2)
        slot = Signal(SLOT_BITS)
        writes, zeroes, failed = Signal(), Signal(), Signal()
        # A word that ends no beat, or finds no beat on offer, waits for nobody, and the next one is
        # read at once.
        follows = Signal()
        self._address(m, (at + follows)[: len(at)], asking, target, port)

        # What stands beside a word's bytes, or between them: zero in the memory.
        beside = Signal(32)
        rest = Signal(16)
        with m.If(at == _OWN):
            m.d.comb += beside[:16].eq(rest)
        with m.If(at == _PLACE):
            m.d.comb += beside[24:28].eq(question.command & asking.replicate(4))
        word = self.word[:32] | beside

        # A frame's beats stand one behind the other; the data is half a beat behind the header.
        beat = Signal(Beat)
        held = Signal(32)
        # Beats of a sector, and sectors that are left.
        beats, left = Signal(range(_SECTOR_BEATS)), Signal(5)
        valid, advance = Signal(), Signal()
        o = self.o.payload
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), o.packet.eq(beat)]
        data = self.pull_data.payload.data & (~zeroes).replicate(64)
        m.d.comb += [beat.data.eq(Cat(held, data[:32])), self.failure.payload.eq(slot)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [failed.eq(0), beats.eq(0)]
                with m.If(self.issued != self.built):
                    # Its first word is being read.
                    m.next = "WORD"
                with m.Elif(self.question.valid):
                    m.d.sync += asking.eq(1)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "WORD"
            with m.State("WORD"):
                # Words with even numbers end a beat, those with odd ones begin it.
                ends = ~at[0] & (at >= _OWN)
                m.d.comb += [beat.data.eq(Cat(held, word)), valid.eq(ends)]
                with m.If(advance | ~ends):
                    m.d.sync += at.eq(at + 1)
                    m.next = "FETCH"
                    with m.If(~ends | ~self.o.valid):
                        m.d.comb += follows.eq(1)
                        m.next = "WORD"
                    with m.If(at != _REST):
                        m.d.sync += held.eq(word)
                    with m.Switch(at):
                        with m.Case(_WHO):
                            m.d.sync += [
                                target.eq(Mux(asking, question.target, self.word[32:])),
                                slot.eq(self.word[24:]),
                            ]
                        with m.Case(_WHAT):
                            m.d.sync += [
                                left.eq(self.word[16:]),
                                writes.eq(self.word[32]),
                                zeroes.eq(self.word[33]),
                            ]
                        with m.Case(_REST):
                            m.d.sync += [rest.eq(self.word), port.eq(self.word[24:])]
                        with m.Case(_OWN):
                            # Whole sectors, in which a header has no part.
                            sectors = left & writes.replicate(5)
                            m.d.sync += [
                                o.meta.length.eq(Cat(Const(HEADER_BYTES, 9), sectors)),
                                o.meta.port.eq(port),
                            ]
                        with m.Case(len(_WALK) - 1):
                            m.next = "LAST"
                            with m.If(writes):
                                m.next = "DATA"
            with m.State("DATA"):
                ends = Mux(zeroes, beats.all() & (left == 1), self.pull_data.payload.last)
                broken = ~zeroes & self.pull_data.payload.last & self.pull_data.payload.error
                m.d.comb += [
                    valid.eq(zeroes | self.pull_data.valid),
                    self.pull_data.ready.eq(advance & ~zeroes),
                ]
                with m.If(valid & advance):
                    m.d.sync += [
                        held.eq(data[32:]),
                        beats.eq(beats + 1),
                        left.eq(left - beats.all()),
                        failed.eq(broken),
                    ]
                    with m.If(ends):
                        m.next = "LAST"
            with m.State("LAST"):
                m.d.comb += [
                    valid.eq(1),
                    beat.last.eq(1),
                    beat.empty.eq(4),
                    beat.error.eq(failed),
                ]
                with m.If(advance):
                    m.next = "DONE"
                    with m.If(failed):
                        m.next = "FAILED"
            with m.State("FAILED"):
                m.d.comb += self.failure.valid.eq(1)
                with m.If(self.failure.ready):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.question.ready.eq(asking)
                m.d.sync += [self.built.eq(self.built + ~asking), at.eq(0), asking.eq(0)]
                m.next = "IDLE"
        return m

    def _address(self, m, number, asking, target, port):
        """Where word ``number`` of the walk stands."""
        at = self.at
        m.d.comb += at.index.eq(target)
        with m.Switch(number):
            for n, (kind, word) in enumerate(_WALK):
                with m.Case(n):
                    m.d.comb += at.word.eq(word)
                    match kind:
                        case "order":
                            m.d.comb += [
                                at.kind.eq(Mux(asking, HeadKind.OWN, HeadKind.ORDER)),
                                at.index.eq(
                                    Mux(asking, Const(PLACES["question"], 4), self.built[:4])
                                ),
                            ]
                        case "source":
                            m.d.comb += [
                                at.kind.eq(HeadKind.OWN),
                                at.index.eq(PLACES["sources"] + port[1]),
                                at.word.eq(Cat(Const(word, 1), port[0])),
                            ]
                        case "constant":
                            m.d.comb += [
                                at.kind.eq(HeadKind.OWN),
                                at.index.eq(PLACES["ethertype"]),
                            ]

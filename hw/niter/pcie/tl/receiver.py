"""Takes received TLPs apart: completions go on, requests are checked and queued."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream

from .classify import Stage, TlpClassifier, TlpKind
from .enqueue import RequestWriter
from .header import TlpCommon, swap_dwords
from .layouts import Refused
from .length import LengthFollower
from .requests import Entry, Target

__all__ = ["Receiver"]


class Receiver(wiring.Component):
    """The receiving end of the transaction layer (2.3, and the checks of 2.2).

    Four stages, each a beat: the third knows the header, the address' hit and whether the
    next beat is whole; a completion leaves from there, a request is written to its queue from
    there and the fourth. Bubbles within a TLP are squeezed out before the second. One beat a
    cycle; latency 3 cycles. Only ``o`` can stall it.

    A TLP is malformed, and leaves no trace but the report, when format, type or length are
    none that exists, when it is longer or shorter than its header says, or when its payload
    is beyond Max_Payload_Size. A digest is not checked and is removed.

    Members
    -------
    i : In(PacketStream)
        Received TLPs.
    o : Out(PacketStream)
        Completions.
    large_payload : In(1)
        Max_Payload_Size is 256 bytes, not 128.
    address : Out(64), step : Out(1)
        Address of the request whose second beat is in the second stage; the pipeline moves.
    target : In(Target)
        What ``address`` hit at the last step.
    entry, entry_write, entry_nonposted, entry_commit, entry_discard : Out
        To ``RequestQueues``.
    malformed, unexpected : Out(1)
        Strobes: a malformed TLP, a locked completion was dropped.
    refuse : Out(1), refused : Out(Refused)
        Strobe: a TLP was malformed or poisoned, or is a request that nothing here supports.
    """

    i: In(PacketStream)
    o: Out(PacketStream)
    large_payload: In(1)
    address: Out(64)
    step: Out(1)
    target: In(Target)
    entry: Out(Entry)
    entry_write: Out(1)
    entry_nonposted: Out(1)
    entry_commit: Out(1)
    entry_discard: Out(1)
    malformed: Out(1)
    unexpected: Out(1)
    refuse: Out(1)
    refused: Out(Refused)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.classifier = classifier = TlpClassifier()
        m.submodules.length = length = LengthFollower()
        m.submodules.writer = writer = RequestWriter()
        beat_1, beat_2, beat_3, beat_4 = (
            Signal(self.i.payload.shape(), name=f"beat_{n}") for n in range(1, 5)
        )
        stage_1, stage_2, stage_3, stage_4 = (Signal(Stage, name=f"stage_{n}") for n in range(1, 5))

        # Within a TLP the second and third stage wait for the beat that follows.
        whole, go = Signal(), Signal()
        m.d.comb += [
            whole.eq(stage_1.valid | ~stage_2.valid | stage_2.last),
            go.eq(whole & (~self.o.valid | self.o.ready)),
            self.i.ready.eq(~stage_1.valid | go),
            self.step.eq(go),
        ]
        position = Signal(2)  # of the beat to come in its TLP: 0, 1, then 2
        with m.If(self.i.ready):
            m.d.sync += [
                beat_1.eq(self.i.payload),
                stage_1.valid.eq(self.i.valid),
                stage_1.first.eq(position == 0),
                stage_1.second.eq(position == 1),
                stage_1.last.eq(self.i.payload.last),
            ]
            with m.If(self.i.valid):
                m.d.sync += position.eq(
                    Mux(self.i.payload.last, 0, Mux(position == 2, 2, position + 1))
                )
        with m.If(go):
            m.d.sync += [
                beat_2.eq(beat_1),
                beat_3.eq(beat_2),
                beat_4.eq(beat_3),
                stage_2.eq(stage_1),
                stage_3.eq(stage_2),
                stage_4.eq(stage_3),
            ]
            with m.If(stage_1.first):
                m.d.sync += stage_2.kind.eq(classifier.kind)
            with m.Else():
                m.d.sync += stage_2.kind.eq(stage_2.kind)

        m.d.comb += [
            classifier.data.eq(beat_1.data),
            classifier.large_payload.eq(self.large_payload),
            length.go.eq(go),
            length.beat_1.eq(beat_1),
            length.stage_1.eq(stage_1),
            length.beat_2.eq(beat_2),
            length.stage_2.eq(stage_2),
        ]

        # A beat of a completion leaves from the third stage.
        m.d.comb += [
            self.o.valid.eq(
                whole & stage_3.valid & (stage_3.kind == TlpKind.COMPLETION) & ~length.swallow
            ),
            self.o.payload.data.eq(beat_3.data),
            self.o.payload.last.eq(length.content_last),
            self.o.payload.empty[2].eq(length.content_last & length.empty),
            self.o.payload.error.eq(length.content_last & length.damaged),
        ]

        # The address stands in a request's second beat.
        four = TlpCommon(swap_dwords(beat_3.data[:32])).fmt[0]
        tail = swap_dwords(beat_2.data)
        m.d.comb += self.address.eq(Mux(four, Cat(tail[32:], tail[:32]), tail[:32]))
        with m.If(go):
            m.d.sync += [writer.damaged.eq(length.damaged), writer.address.eq(self.address)]
        m.d.comb += [
            writer.go.eq(go),
            writer.beat_3.eq(beat_3),
            writer.stage_3.eq(stage_3),
            writer.beat_4.eq(beat_4),
            writer.stage_4.eq(stage_4),
            writer.target.eq(self.target),
            self.entry.eq(writer.entry),
            self.entry_write.eq(writer.write),
            self.entry_nonposted.eq(writer.nonposted),
            self.entry_commit.eq(writer.commit),
            self.entry_discard.eq(writer.discard),
            self.malformed.eq(writer.malformed),
            self.unexpected.eq(writer.unexpected),
            self.refuse.eq(writer.refuse),
            self.refused.eq(writer.refused),
        ]
        return m

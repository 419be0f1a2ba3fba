"""Takes received TLPs apart: completions go on, requests are checked and queued."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream

from .header import MessageCode, MessageHead, RequestHead, TlpCommon, TlpType, swap_dwords
from .requests import Entry, PostedEntry, Target

__all__ = ["Receiver"]


class _Kind(enum.Enum, shape=3):
    """What the first doubleword makes of a TLP."""

    MALFORMED = 0
    WRITE = 1
    MESSAGE = 2
    NONPOSTED = 3
    COMPLETION = 4
    #: We send no locked request, so its completion is unexpected.
    LOCKED_COMPLETION = 5


class _Stage(data.Struct):
    """What is known of the beat in a stage of the pipeline, beside its data."""

    valid: 1
    first: 1
    second: 1
    last: 1
    kind: _Kind


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

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        beat_1, beat_2, beat_3, beat_4 = (
            Signal(self.i.payload.shape(), name=f"beat_{n}") for n in range(1, 5)
        )
        stage_1, stage_2, stage_3, stage_4 = (
            Signal(_Stage, name=f"stage_{n}") for n in range(1, 5)
        )

        self._swallow, self._damaged_4 = Signal(), Signal()
        self._address_3 = Signal(32)

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
                m.d.sync += stage_2.kind.eq(self._classify(m, beat_1))
            with m.Else():
                m.d.sync += stage_2.kind.eq(stage_2.kind)

        damaged, content_last, empty = self._follow_length(
            m, go, (beat_1, beat_2), (stage_1, stage_2)
        )
        self._forward_completions(m, whole, go, stage_3, beat_3, content_last, empty, damaged)
        m.d.comb += self.address.eq(self._address(beat_2, beat_3))
        with m.If(go):
            m.d.sync += [self._damaged_4.eq(damaged), self._address_3.eq(self.address)]
        self._queue_requests(m, go, (beat_3, beat_4), (stage_3, stage_4))
        return m

    def _classify(self, m, beat) -> Value:
        """The kind of a TLP by its first beat (table 2-3)."""
        common = TlpCommon(swap_dwords(beat.data[:32]))
        four, has_data = common.fmt[0], common.fmt[1]
        exists = ~common.fmt[2]
        beyond = Signal()
        single = Signal()
        length = common.length
        # Zero is 1024: both ends of the range are beyond.
        wraps = (length - 1)[:10]
        m.d.comb += [
            beyond.eq(has_data & (wraps[6:].any() | (wraps[5] & ~self.large_payload))),
            single.eq(common.length == 1),
        ]
        kind = Signal(_Kind)
        with m.If(exists & ~beyond), m.Switch(common.type):
            with m.Case(TlpType.MEMORY):
                m.d.comb += kind.eq(Mux(has_data, _Kind.WRITE, _Kind.NONPOSTED))
            with m.Case(TlpType.MEMORY_LOCKED):
                m.d.comb += kind.eq(Mux(has_data, _Kind.MALFORMED, _Kind.NONPOSTED))
            with m.Case(TlpType.IO, TlpType.CONFIGURATION_0, TlpType.CONFIGURATION_1):
                m.d.comb += kind.eq(Mux(single & ~four, _Kind.NONPOSTED, _Kind.MALFORMED))
            with m.Case(TlpType.FETCH_ADD, TlpType.SWAP, TlpType.COMPARE_SWAP):
                m.d.comb += kind.eq(Mux(has_data, _Kind.NONPOSTED, _Kind.MALFORMED))
            with m.Case(TlpType.COMPLETION):
                m.d.comb += kind.eq(Mux(four, _Kind.MALFORMED, _Kind.COMPLETION))
            with m.Case(TlpType.COMPLETION_LOCKED):
                m.d.comb += kind.eq(Mux(four, _Kind.MALFORMED, _Kind.LOCKED_COMPLETION))
            with m.Case("10---"):
                m.d.comb += kind.eq(Mux(four, _Kind.MESSAGE, _Kind.MALFORMED))
        return kind

    def _follow_length(self, m, go, beats, stages) -> tuple[Value, Value, Value]:
        """Compare the TLP's length with its header's. All results belong to the third stage.

        Returns
        -------
        damaged
            In the last beat of content or of the TLP: it is not as long as it should be, or
            was nullified.
        content_last, empty
            The last beat without the digest, and its unused bytes divided by four.
        """
        beat_1, beat_2 = beats
        stage_1, stage_2 = stages
        common = TlpCommon(swap_dwords(beat_1.data[:32]))
        has_data = common.fmt[1]
        #: Doublewords from the beat in the second stage on, digest included.
        left = Signal(12)
        digest, over = Signal(), Signal()
        with m.If(go & stage_1.valid):
            with m.If(stage_1.first):
                payload = Mux(has_data, common.length, 0)
                four, beside = common.fmt[0], Signal(3)
                with m.Switch(Cat(four, common.digest)):
                    with m.Case(0b00):
                        m.d.comb += beside.eq(3)
                    with m.Case(0b11):
                        m.d.comb += beside.eq(5)
                    with m.Default():
                        m.d.comb += beside.eq(4)
                m.d.sync += [
                    left.eq(payload + beside),
                    digest.eq(common.digest),
                ]
            with m.Elif(~over):
                m.d.sync += left.eq(left - 2)
            with m.Else():
                # Longer than it should be: nothing is left, and nothing fits that.
                m.d.sync += left.eq(0)
        ends = (left == 2) & (beat_2.empty == 0) | (left == 1) & (beat_2.empty == 4)
        wrong = Signal()
        m.d.comb += [
            over.eq((left[2:] == 0) & (left[:2] != 3)),
            wrong.eq(Mux(stage_2.last, ~ends | beat_2.error, over)),
        ]
        # With one doubleword of digest in a beat of its own, the content ends a beat earlier.
        early = Signal()
        m.d.comb += early.eq(digest & (left == 3) & ~stage_2.last)
        digest_wrong = ~beat_1.last | (beat_1.empty != 4) | beat_1.error
        damaged, content_last, empty = Signal(), Signal(), Signal()
        was_bad, done = Signal(), Signal()
        with m.If(go):
            bad = wrong | (was_bad & ~stage_2.first)
            finished = done & ~stage_2.first
            m.d.sync += [
                was_bad.eq(bad),
                done.eq(finished | over | early | stage_2.last),
                damaged.eq(bad | (early & digest_wrong)),
                content_last.eq(~finished & (over | early | stage_2.last)),
                empty.eq((left == 1) | (digest & (left == 2))),
                self._swallow.eq(finished),
            ]
        return damaged, content_last, empty

    def _forward_completions(self, m, whole, go, stage, beat, content_last, empty, damaged) -> None:
        """A beat of a completion leaves from the third stage."""
        m.d.comb += [
            self.o.valid.eq(
                whole & stage.valid & (stage.kind == _Kind.COMPLETION) & ~self._swallow
            ),
            self.o.payload.data.eq(beat.data),
            self.o.payload.last.eq(content_last),
            self.o.payload.empty[2].eq(content_last & empty),
            self.o.payload.error.eq(content_last & damaged),
        ]

    @staticmethod
    def _address(beat, head_beat) -> Value:
        """The address in a request's second beat."""
        four = TlpCommon(swap_dwords(head_beat.data[:32])).fmt[0]
        low, high = swap_dwords(beat.data)[:32], swap_dwords(beat.data)[32:]
        return Mux(four, Cat(high, low), low)

    def _queue_requests(self, m, go, beats, stages) -> None:
        """Write entries: the header's when its second beat is in the third stage, words later."""
        beat_3, beat_4 = beats
        stage_3, stage_4 = stages
        head = RequestHead(swap_dwords(beat_4.data))
        message = MessageHead(swap_dwords(beat_4.data))
        four = head.common.fmt[0]
        address = self._address_3
        second = Signal()
        m.d.comb += second.eq(stage_3.valid & stage_3.second)
        write_hit = (stage_4.kind == _Kind.WRITE) & self.target.hit
        is_message = stage_4.kind == _Kind.MESSAGE
        harmless = Signal()
        with (
            m.Switch(message.code),
            m.Case(
                MessageCode.UNLOCK,
                MessageCode.PME_TURN_OFF,
                MessageCode.PM_ACTIVE_STATE_NAK,
                MessageCode.SET_SLOT_POWER_LIMIT,
                MessageCode.VENDOR_1,
                "0100----",  # those that base 1.1 withdrew: to be ignored (2.2.8.7)
            ),
        ):
            m.d.comb += harmless.eq(1)
        posted = Signal(PostedEntry)
        m.d.comb += [
            posted.address.eq(address[2:32]),
            posted.length.eq(Mux(head.common.fmt[1], head.common.length, 0)),
            posted.target.eq(self.target),
            posted.execute.eq(write_hit & ~head.common.poisoned),
            posted.poisoned.eq(head.common.poisoned & head.common.fmt[1]),
            posted.unsupported.eq(Mux(is_message, ~harmless, ~write_hit)),
            posted.turn_off.eq(is_message & (message.code == MessageCode.PME_TURN_OFF)),
        ]

        # Payload: ``shift`` says that an aligned word lies across two beats.
        shift, late, odd = Signal(), Signal(), Signal()
        first_enables, last_enables = Signal(4), Signal(4)
        left = Signal(8)  # doublewords from this word on, counting the hole before the first
        first_word = Signal()
        word = Signal()
        m.d.comb += word.eq(stage_4.valid & ~stage_4.first & ~late & (left != 0))
        with m.If(go):
            with m.If(second):
                m.d.sync += [
                    shift.eq(address[2] == four),
                    late.eq(four & ~address[2]),
                    odd.eq(address[2]),
                    first_enables.eq(head.first_enables),
                    last_enables.eq(head.last_enables),
                    left.eq(
                        Mux(
                            posted.execute & (stage_4.kind == _Kind.WRITE),
                            head.common.length[:7] + address[2],
                            0,
                        )
                    ),
                    first_word.eq(1),
                ]
            with m.Elif(late):
                m.d.sync += late.eq(0)
            with m.Elif(word):
                m.d.sync += [
                    first_word.eq(0),
                    left.eq(Mux(left[2:].any() | left[:2].all(), left - 2, 0)),
                ]
        lower = Mux(first_word, Mux(odd, 0, first_enables), Mux(left == 1, last_enables, 0b1111))
        upper = Mux(first_word & odd, first_enables, Mux(left == 2, last_enables, 0b1111))
        posted_kind = is_message | (stage_4.kind == _Kind.WRITE)
        nonposted_kind = stage_4.kind == _Kind.NONPOSTED
        number = Signal(6)  # posted requests so far
        with m.If(second & posted_kind):
            m.d.comb += self.entry.data.eq(posted.as_value())
        with m.Elif(shift & posted_kind):
            m.d.comb += self.entry.data.eq(Cat(beat_4.data[32:], beat_3.data[:32]))
        with m.Else():
            m.d.comb += self.entry.data.eq(beat_4.data)
        with m.If(posted_kind):
            m.d.comb += self.entry.note.eq(Cat(lower, Mux(left == 1, 0, upper)))
        with m.Elif(stage_4.first):
            m.d.comb += self.entry.note.eq(self.target.as_value())
        with m.Else():
            m.d.comb += self.entry.note.eq(number)
        nonposted_beat = stage_4.valid & nonposted_kind & (stage_4.first | stage_4.second)
        end = go & stage_4.valid & stage_4.last
        good = Signal()
        m.d.comb += [
            good.eq(~self._damaged_4 & (stage_4.kind != _Kind.MALFORMED)),
            self.entry_write.eq(go & (posted_kind & (second | word) | nonposted_beat)),
            self.entry_nonposted.eq(nonposted_kind),
            self.entry_commit.eq(end & good & (posted_kind | nonposted_kind)),
            self.entry_discard.eq(end & ~good & (posted_kind | nonposted_kind)),
            self.malformed.eq(end & ~good & ~beat_4.error),
            self.unexpected.eq(end & good & (stage_4.kind == _Kind.LOCKED_COMPLETION)),
        ]
        with m.If(self.entry_commit & posted_kind):
            m.d.sync += number.eq(number + 1)

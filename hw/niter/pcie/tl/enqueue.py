"""Received requests become entries of their queues."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat

from .choice import register_one_of
from .classify import Stage, TlpKind
from .count import increment
from .header import MessageCode, MessageHead, RequestHead, TlpType, swap_dwords
from .layouts import Refused
from .requests import Entry, PostedEntry, Target

__all__ = ["RequestWriter"]


class RequestWriter(wiring.Component):
    """Writes the header's entry when its second beat is in the third stage, words later.

    All outputs come one cycle after what they belong to is in its stage.

    Members
    -------
    go : In(1)
        The receiver's pipeline moves.
    beat_3, beat_4 : In(Beat), stage_3, stage_4 : In(Stage)
        Its third and fourth stage.
    damaged : In(1)
        The TLP that ends in the fourth stage is not whole.
    address : In(32)
        Address, below 4 GiB, of the request whose second beat is in the third stage.
    target : In(Target)
        What that address hit.
    entry, write, nonposted, commit, discard : Out
        To ``RequestQueues``.
    malformed, unexpected : Out(1)
        Strobes: a malformed TLP, a locked completion was dropped.
    refuse : Out(1), refused : Out(Refused)
        Strobe: a TLP was malformed or poisoned, or is a request that nothing here supports.
    """

    go: In(1)
    beat_3: In(Beat)
    stage_3: In(Stage)
    beat_4: In(Beat)
    stage_4: In(Stage)
    damaged: In(1)
    address: In(32)
    target: In(Target)
    entry: Out(Entry)
    write: Out(1)
    nonposted: Out(1)
    commit: Out(1)
    discard: Out(1)
    malformed: Out(1)
    unexpected: Out(1)
    refuse: Out(1)
    refused: Out(Refused)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        head = RequestHead(swap_dwords(self.beat_4.data))
        message = MessageHead(swap_dwords(self.beat_4.data))
        four = head.common.fmt[0]
        address = self.address
        self._address_4 = Signal(32)
        with m.If(self.go):
            m.d.sync += self._address_4.eq(address)
        second = Signal()
        m.d.comb += second.eq(self.stage_3.valid & self.stage_3.second)
        write_hit = (self.stage_4.kind == TlpKind.WRITE) & self.target.hit
        is_message = self.stage_4.kind == TlpKind.MESSAGE
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
        m.d.comb += word.eq(self.stage_4.valid & ~self.stage_4.first & ~late & (left != 0))
        with m.If(self.go):
            with m.If(second):
                m.d.sync += [
                    shift.eq(address[2] == four),
                    late.eq(four & ~address[2]),
                    odd.eq(address[2]),
                    first_enables.eq(head.first_enables),
                    last_enables.eq(head.last_enables),
                    left.eq(
                        Mux(
                            posted.execute & (self.stage_4.kind == TlpKind.WRITE),
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
        posted_kind = is_message | (self.stage_4.kind == TlpKind.WRITE)
        nonposted_kind = self.stage_4.kind == TlpKind.NONPOSTED
        number = Signal(6)  # posted requests so far
        # A non-posted request's second entry has its third doubleword, or its low address, below
        # the doubleword that may be its data.
        later = ~second & posted_kind
        m.d.comb += self.entry.data.eq(
            register_one_of(
                m,
                "data",
                1,
                (
                    (second & posted_kind, posted),
                    (later & shift, Cat(self.beat_4.data[32:], self.beat_3.data[:32])),
                    ((later & ~shift) | (nonposted_kind & self.stage_4.first), self.beat_4.data),
                    (
                        nonposted_kind & ~self.stage_4.first,
                        Cat(self._address_4, self.beat_4.data[32:]),
                    ),
                ),
            )
        )
        with m.If(posted_kind):
            m.d.sync += self.entry.note.eq(Cat(lower, Mux(left == 1, 0, upper)))
        with m.Elif(self.stage_4.first):
            m.d.sync += self.entry.note.eq(self.target.as_value())
        with m.Else():
            m.d.sync += self.entry.note.eq(number)
        header = self.stage_4.first | self.stage_4.second
        nonposted_beat = self.stage_4.valid & nonposted_kind & header
        end = self.go & self.stage_4.valid & self.stage_4.last
        good, commit = Signal(), Signal()
        queued = posted_kind | nonposted_kind
        m.d.comb += [
            good.eq(~self.damaged & (self.stage_4.kind != TlpKind.MALFORMED)),
            commit.eq(end & good & queued),
        ]
        m.d.sync += [
            self.write.eq(self.go & (posted_kind & (second | word) | nonposted_beat)),
            self.nonposted.eq(nonposted_kind),
            self.commit.eq(commit),
            self.discard.eq(end & ~good & queued),
            self.malformed.eq(end & ~good & ~self.beat_4.error),
            self.unexpected.eq(end & good & (self.stage_4.kind == TlpKind.LOCKED_COMPLETION)),
        ]
        with m.If(commit & posted_kind):
            m.d.sync += number.eq(increment(number))
        self._keep_header(m, head, second, end, good, posted, posted_kind)
        return m

    def _keep_header(self, m, head, second, end, good, posted, posted_kind) -> None:
        """Keep the header at hand until it is known whether the TLP is refused."""
        unsupported, poisoned = Signal(), Signal()
        here = (head.common.type == TlpType.MEMORY) & self.target.hit
        with m.If(self.go & second):
            m.d.sync += [
                unsupported.eq(
                    Mux(
                        posted_kind,
                        posted.unsupported,
                        (self.stage_4.kind == TlpKind.NONPOSTED)
                        & ~here
                        & (head.common.type != TlpType.CONFIGURATION_0),
                    )
                ),
                poisoned.eq(head.common.poisoned & head.common.fmt[1]),
            ]
        with m.If(self.go & self.stage_4.first):
            m.d.sync += self.refused.first.eq(self.beat_4.data)
        with m.If(self.go & self.stage_4.second):
            m.d.sync += self.refused.second.eq(self.beat_4.data)
        # The strobes of a TLP that ends come in the cycle in which its header is all here.
        refused = Signal()
        m.d.sync += [
            refused.eq(end & good & (unsupported | poisoned)),
            self.refused.poisoned.eq(poisoned),
        ]
        m.d.comb += [
            self.refuse.eq(self.malformed | self.unexpected | refused),
            self.refused.malformed.eq(self.malformed),
        ]

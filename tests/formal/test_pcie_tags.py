"""Proof: no tag is used again while its request is outstanding."""

from amaranth import Cat, Module, Signal
from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cover, Elaboratable
from amaranth.lib.data import View
from amaranth.lib.wiring import connect

from niter.pcie.tl.header import (
    CompletionHead,
    CompletionStatus,
    CompletionTail,
    RequestHead,
    TlpType,
    swap_dwords,
)
from niter.pcie.tl.read_answer import AnswerMover
from niter.pcie.tl.read_request import ReadRequester
from niter.pcie.tl.read_track import CompletionTracker
from niter.pcie.tl.slots import SlotMap

from .harness import prove

SLOTS, TIMEOUT = 8, 8


class _Tags(Elaboratable):
    """A read path with two slots, so that the only tag that is in use comes again soon.

    The host answers what is outstanding when it likes, in whole or with Unsupported Request,
    sends completions that nobody has asked for, and lets requests time out. The buffer is left
    out: no data is looked at.

    Parameters
    ----------
    cover
        Look for the third use of a tag instead.
    """

    def __init__(self, cover: bool = False):
        self.cover = cover

    def elaborate(self, platform):
        m = Module()
        slots = SlotMap([1], slots=SLOTS)
        m.submodules.requester = requester = ReadRequester(slots)
        m.submodules.tracker = tracker = CompletionTracker(
            timeout=TIMEOUT, functions=1, slots=SLOTS
        )
        m.submodules.mover = mover = AnswerMover(slots)
        connect(m, requester.open, tracker.open)
        info = Signal(requester.info.shape())
        with m.If(requester.open.valid & requester.open.ready):
            m.d.sync += info.eq(requester.info)
        command, answer = requester.command[0], mover.answer[0]
        m.d.comb += [
            requester.freed[0].eq(mover.freed[0]),
            tracker.done_tag.eq(mover.done_tag),
            mover.done.eq(tracker.done),
            mover.info.eq(info),
            # One doubleword, always the same one.
            command.valid.eq(AnySeq(1)),
            command.payload.address.eq(0x1000),
            command.payload.length.eq(4),
            answer.ready.eq(AnySeq(1)),
            requester.o.ready.eq(AnySeq(1)),
            requester.states[0].master.eq(1),
            tracker.states[0].master.eq(1),
        ]

        # A request is outstanding from its first beat on.
        outstanding = Signal(SLOTS)
        uses = Signal(2)
        second = Signal()
        head = View(RequestHead, swap_dwords(requester.o.payload.data))
        asks = requester.o.valid & ~second
        with m.If(requester.o.valid & requester.o.ready):
            m.d.sync += second.eq(~requester.o.payload.last)
        used_again = outstanding.bit_select(head.tag[:3], 1)

        # Two beats of a completion. What ends a request is judged by what is sent here.
        tail_next, refused = Signal(), AnySeq(1)
        tag = Signal(8)
        completion = Signal(CompletionHead)
        third = Signal(CompletionTail)
        m.d.comb += [
            completion.common.type.eq(TlpType.COMPLETION),
            completion.common.fmt.eq(0b010),
            completion.common.length.eq(1),
            completion.byte_count.eq(4),
            completion.status.eq(CompletionStatus.SUCCESSFUL),
            third.tag.eq(tag),
            tracker.i.valid.eq(AnySeq(1)),
            tracker.i.payload.last.eq(tail_next),
            tracker.i.payload.error.eq(tail_next & AnySeq(1)),
            tracker.i.payload.data.eq(swap_dwords(completion)),
            Assume(tag[3:] == 0),
        ]
        with m.If(refused):
            m.d.comb += completion.status.eq(CompletionStatus.UNSUPPORTED_REQUEST)
        with m.If(tail_next):
            m.d.comb += tracker.i.payload.data.eq(Cat(swap_dwords(third)))
        m.d.comb += tag.eq(AnySeq(8))
        with m.If(tracker.i.valid):
            m.d.sync += tail_next.eq(~tail_next)
        ends = tracker.i.valid & tail_next & ~tracker.i.payload.error
        answered = Signal(SLOTS)
        m.d.comb += answered.eq(ends << tag[:3])

        # A time-out shows as the report of one; which tag it is, the row says.
        expired = Signal(SLOTS)
        m.d.comb += expired.eq(tracker.error.errors.completion_timeout.replicate(SLOTS))
        opened = Signal(SLOTS)
        m.d.comb += opened.eq((asks & requester.o.ready) << head.tag[:3])
        m.d.sync += outstanding.eq((outstanding & ~answered & ~expired) | opened)
        with m.If(opened.any()):
            m.d.sync += uses.eq(uses + ~uses.all())
        if self.cover:
            m.d.comb += Cover((uses == 2) & asks)
        else:
            m.d.comb += Assert(~(asks & used_again))
        return m


def test_no_tag_is_used_while_it_is_outstanding():
    prove(_Tags(), depth=34)


def test_a_tag_is_used_again():
    prove(_Tags(cover=True), depth=45, mode="cover")

"""What an answer means: for its slot, for its request, and for what is known of the target."""

from amaranth import Cat, Mux, Signal, signed

from niter.compare import less_of_few
from niter.interface import BlockOpcode, BlockStatus

from .copies import answered, is_fresh, may_linger
from .desk import Desk
from .layouts import SAMPLE_BITS, SlotKind, SlotState
from .tasks import Event, Task, changes

__all__ = ["Answering"]


class Answering:
    """The states from an answer, with its slot in hand, to the end of slot and request.

    ``SETTLE`` is also where a slot ends whose target was silent, with its request in hand and
    ``outcome`` set.

    Parameters
    ----------
    desk
        What is in hand.
    """

    def __init__(self, desk: Desk):
        self._desk = desk
        #: The answer comes from the card itself: a frame that could not be sent.
        self.failing = Signal()
        #: Copies that were sent after the one that was answered; more than a slot counts are one.
        self.age = Signal(SlotKind.as_shape()["copies"].width + 1)
        #: How the frame ended.
        self.outcome = Signal(BlockStatus)
        #: The slot's last order is not built yet.
        self.pending = Signal()

    def weigh(self, answer, seed) -> None:
        """Outside of the states: how old the copy is that was answered, and what that says, while
        its slot is taken up; ``seed`` was mixed into its tag. The last cycle counts."""
        m, desk, failing = self._desk.m, self._desk, self.failing
        age, counted = desk.generation, len(self.age) - 1
        m.d.comb += desk.answered.eq(answer.payload.generation ^ seed)
        with m.If(desk.loading):
            m.d.sync += [
                self.age.eq(Cat(age[:counted], age[counted:].any())),
                self.outcome.eq(
                    Mux(failing, BlockStatus.DATA_TRANSFER.value, answer.payload.status)
                ),
            ]
            # A frame is given up here only while it is its slot's last.
            with m.If(failing):
                m.d.sync += self.age.eq(0)

    def states(self, answer, failure, verdict, ending) -> None:
        """The states; ``verdict`` and ``ending`` are free whenever they begin."""
        desk, m = self._desk, self._desk.m
        kind, span, time, copies = desk.kind, desk.span, desk.time, desk.copies
        known, limits = desk.known, desk.limits
        failing, outcome = self.failing, self.outcome
        reads = (kind.opcode == BlockOpcode.READ) | (kind.opcode == BlockOpcode.VERIFY)
        age = self.age
        # What is looked at when a frame ends is known before: all of it stands for some cycles.
        done, partial, left, ends = Signal(5), Signal(), Signal(), Signal()
        m.d.sync += [
            done.eq(span.done + time.part),
            partial.eq((outcome == BlockStatus.OK) & (done != kind.sectors)),
            left.eq(may_linger(kind, copies)),
            ends.eq((desk.state.active == 1) & ~desk.state.queued),
        ]

        def judge(counts):
            # Data needs no more than that: it moves while the request is looked at.
            with m.If(~failing):
                m.d.sync += [
                    verdict.valid.eq(1),
                    verdict.payload.tag.eq(span.tag),
                    verdict.payload.first.eq(desk.next),
                    verdict.payload.sectors.eq(time.part),
                    verdict.payload.push.eq(
                        (outcome == BlockStatus.OK) & (kind.opcode == BlockOpcode.READ) & counts
                    ),
                    verdict.payload.counts.eq(counts),
                ]

        with m.State("JUDGE"):
            fresh = (kind.state != SlotState.FREE) & is_fresh(kind, age)
            active = kind.state == SlotState.ACTIVE
            unfit = (outcome == BlockStatus.OK) & reads & (answer.payload.sectors != time.part)
            taken = Signal()
            m.d.comb += [answer.ready.eq(taken & ~failing), failure.ready.eq(taken & failing)]
            # The host's memory is the request's until its last pull is through.
            with m.If(fresh & active & changes(kind.opcode) & self.pending & ~failing):
                m.next = "IDLE"
            with m.Elif(~fresh | ~active):
                m.d.comb += taken.eq(1)
                judge(counts=0)
                desk.count(Event.LATE)
                m.next = "IDLE"
                with m.If(fresh):
                    m.d.sync += answered(m, copies, age)
                    m.next = "RELEASE"
            with m.Elif(unfit & ~failing):
                m.d.comb += taken.eq(1)
                judge(counts=0)
                desk.count(Event.UNFIT)
                m.next = "IDLE"
            with m.Else():
                m.d.comb += taken.eq(1)
                judge(counts=1)
                m.d.sync += answered(m, copies, age)
                desk.count(Event.ANSWERED)
                with m.If(outcome != BlockStatus.OK):
                    desk.count(Event.ERRORS)
                desk.find_request(span.tag)
        with m.State("RELEASE"):
            with m.If(~may_linger(kind, copies)):
                desk.free_slot()
            desk.store(slot=1)

        # What the time from the last copy to its answer tells of the way (RFC 6298, section 2).
        # One register, one difference and one sum are of the mean, and then of the deviation.
        change = Signal(signed(SAMPLE_BITS + 2))
        minuend, subtrahend = Signal(SAMPLE_BITS + 2), Signal(SAMPLE_BITS)
        second, spreads = Signal(), Signal()
        flips = Mux(second, change[-1], desk.elapsed[SAMPLE_BITS:].any()).replicate(len(minuend))
        total = Mux(spreads, known.deviation, known.mean) + change
        m.d.comb += [
            # An absolute value, one less where it is negative; or a sample, as far as it is known.
            minuend.eq(Mux(second, change ^ flips, (desk.elapsed | flips)[:SAMPLE_BITS])),
            subtrahend.eq(Mux(second, known.deviation[2:], known.mean[3:])),
        ]
        timed = (desk.task == Task.ANSWER) & (outcome == BlockStatus.OK)
        # Both begin with zero: the first sample is added to the mean, which is in eighths, eight
        # times, and twice to the deviation, which is half of it, four times.
        repeats, again = Signal(3), Signal()
        with m.State("SETTLE"):
            m.d.sync += [
                change.eq(minuend - subtrahend),
                repeats.eq((~known.sampled).replicate(3)),
                again.eq(~known.sampled),
            ]
            with m.If(timed):
                m.d.comb += desk.learns.eq(1)
                m.d.sync += [
                    known.credit.eq(known.credit + 1),
                    known.proven.eq(known.proven | (time.part > 2)),
                    known.silent.eq(0),
                ]
                with m.If(~less_of_few(known.credit, known.window)):
                    m.d.sync += [known.credit.eq(0), known.settled.eq(1)]
                    with m.If(less_of_few(known.window, limits.buffers)):
                        m.d.sync += known.window.eq(known.window + 1)
            with m.If(desk.task == Task.TIMER):
                m.d.comb += desk.learns.eq(1)
                m.d.sync += known.silent.eq(1)
            m.next = "FINISH"
            with m.If(timed & (age == 0)):
                m.next = "MEAN"
        with m.State("MEAN"):
            m.d.comb += [desk.learns.eq(1), second.eq(1)]
            m.d.sync += [known.sampled.eq(1), known.mean.eq(total), repeats.eq(repeats - 1)]
            with m.If(repeats == 0):
                # Less a quarter of the deviation so far.
                m.d.sync += change.eq(minuend - subtrahend)
                m.next = "DEVIATION"
        with m.State("DEVIATION"):
            m.d.comb += [desk.learns.eq(1), spreads.eq(1)]
            m.d.sync += [known.deviation.eq(total), again.eq(0)]
            with m.If(~again):
                m.next = "FINISH"

        with m.State("FINISH"):
            before = desk.state.status
            final = Signal(BlockStatus)
            m.d.comb += final.eq(Mux(before == BlockStatus.OK, outcome, before))
            answers = (desk.task == Task.ANSWER) & ~failing
            with m.If(answers):
                m.d.sync += [
                    ending.valid.eq(1),
                    ending.payload.complete.eq(0),
                    ending.payload.status.eq(final),
                ]
            with m.If(partial):
                # The rest of a frame that was too large; the timer's next look sends it.
                m.d.comb += desk.restarts.eq(1)
                m.d.sync += [
                    span.done.eq(done),
                    kind.lost.eq(kind.lost | (changes(kind.opcode) & left)),
                ]
                desk.store(slot=1)
            with m.Else():
                m.d.comb += desk.settles.eq(1)
                m.d.sync += desk.state.status.eq(final)
                desk.leave_target()
                with m.If(left & (changes(kind.opcode) | (desk.task == Task.TIMER))):
                    desk.hold_slot()
                with m.Else():
                    desk.free_slot()
                desk.store(slot=1, request=1)
                with m.If(ends):
                    with m.If(
                        (final == BlockStatus.OK)
                        & desk.state.fua
                        & (desk.state.opcode == BlockOpcode.WRITE)
                    ):
                        m.d.comb += [desk.uncuts.eq(1), desk.empties.eq(1)]
                        m.d.sync += [
                            desk.state.opcode.eq(BlockOpcode.FLUSH),
                            desk.new_request.eq(1),
                        ]
                        m.next = "APPEND"
                    with m.Else():
                        desk.end_request(final)
                        # Behind the data, where the answer has any.
                        with m.If(answers):
                            m.d.sync += [desk.completes.eq(0), ending.payload.complete.eq(1)]

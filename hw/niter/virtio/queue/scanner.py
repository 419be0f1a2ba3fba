"""The chains that are being put together, and whose turn it is."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .geometry import SLOTS, Geometry, ring_mask
from .messages import Access, AccessKind, Area, Begin, Job, Release, SlotContext
from .slots import Outcome, Progress, Slots

__all__ = ["Scanner"]


class Scanner(wiring.Component):
    """Looks at one slot after the other, reads on for its chain or hands it over.

    Chains of one queue are handed over in the order in which they were begun, those of several
    queues in any order. A chain of a queue that is being closed, or of a faulty function, is
    given back instead. Nothing moves while no slot can go on.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    begin : In(stream.Signature(Begin))
        Chains to put together. Ready when there is a slot for that kind of queue.
    slot : Out(3)
        The slot that ``begin`` gets.
    look : In(3), look_valid : In(1)
        The walker's slot; it has precedence.
    begun : Out(Begin), progress : Out(Progress)
        What stands in the slot looked at, in the same cycle.
    answered : In(Progress), answered_slot : In(3), answered_valid : In(1)
        The walker is done with an answer.
    overflow : Out(3), overflow_taken : Out(1)
        The slot that may use the overflow area.
    access : Out(stream.Signature(Access))
    push, pull : Out(stream.Signature(Job))
        Complete chains. Either is ready until it gets one.
    release : Out(stream.Signature(Release))
        Slots that were given back.
    freed : In(3), freed_valid : In(1)
        A slot's release was taken note of.
    stopped : In(8)
        Functions that are faulty.
    closing : In(1), closing_row : In(7)
        A row that is being closed.
    fault : Out(1), fault_function : Out(3)
        A chain was bad.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "begin": In(stream.Signature(Begin)),
                "slot": Out(3),
                "look": In(3),
                "look_valid": In(1),
                "begun": Out(Begin),
                "progress": Out(Progress),
                "answered": In(Progress),
                "answered_slot": In(3),
                "answered_valid": In(1),
                "overflow": Out(3),
                "overflow_taken": Out(1),
                "access": Out(stream.Signature(Access)),
                "push": Out(stream.Signature(Job)),
                "pull": Out(stream.Signature(Job)),
                "release": Out(stream.Signature(Release)),
                "freed": In(3),
                "freed_valid": In(1),
                "stopped": In(8),
                "closing": In(1),
                "closing_row": In(7),
                "fault": Out(1),
                "fault_function": Out(3),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.slots = slots = Slots(self.geometry)
        connect(m, flipped(self.begin), slots.begin)
        overflow_taken = self.overflow_taken

        here = Signal(3)
        row, head, state = Signal(7), Signal(10), Signal(Progress)
        chain = Signal(Begin)
        is_fresh = Signal()
        done = Signal()  # the scanner has dealt with this slot
        pass_on = Signal()  # and goes on to the next
        m.d.comb += [
            slots.here.eq(here),
            slots.look.eq(self.look),
            slots.look_valid.eq(self.look_valid),
            slots.done.eq(done),
            slots.answered.eq(self.answered),
            slots.answered_slot.eq(self.answered_slot),
            slots.answered_valid.eq(self.answered_valid),
            slots.freed.eq(self.freed),
            slots.freed_valid.eq(self.freed_valid),
            self.slot.eq(slots.slot),
            self.begun.eq(slots.begun),
            self.progress.eq(slots.progress),
            row.eq(chain.row),
            head.eq(chain.head),
        ]
        function = (row >> 4)[:3]
        dropped = Signal()
        m.d.comb += dropped.eq(
            self.stopped.bit_select(function, 1) | (self.closing & (self.closing_row == row))
        )

        index = Signal(10)
        rest = Signal(10)
        ask = Signal(3)
        cap = Signal(3)
        mask = ring_mask(m, chain.size_log2)

        # Slots passed in vain since anything changed for one of them; after all of them it rests.
        in_vain = Signal(range(SLOTS + 1))
        rests = in_vain[-1]
        begins = self.begin.valid & self.begin.ready
        ready = Cat(self.push.ready, self.pull.ready)
        was_ready = Signal.like(ready)
        m.d.sync += was_ready.eq(ready)
        changes = (self.answered_valid, begins, self.freed_valid, done, (ready & ~was_ready).any())
        with m.If(Cat(*changes, self.closing, self.stopped).any()):
            m.d.sync += in_vain.eq(0)
        with m.Elif(pass_on):
            m.d.sync += in_vain.eq(in_vain + 1)

        with m.FSM():
            with m.State("SCAN"):
                m.d.sync += [
                    chain.eq(slots.begun),
                    state.eq(slots.progress),
                    is_fresh.eq(slots.fresh),
                ]
                with m.If(~slots.due | rests):
                    m.d.comb += pass_on.eq(~rests | self.answered_valid | begins)
                with m.Elif(~self.look_valid):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.sync += [
                    index.eq(Mux(is_fresh, head, state.index)),
                    rest.eq(Mux(is_fresh, mask & ~head, state.limit - state.index)),
                    cap.eq(Mux(state.table, 7, 3)),
                ]
                with m.If(is_fresh):
                    m.d.sync += [cap.eq((1 << chain.guess) - 1), state.table.eq(0)]
                with m.If(dropped):
                    m.next = "RELEASE"
                with m.Elif(is_fresh | (state.outcome == Outcome.MORE)):
                    m.next = "LENGTH"
                with m.Elif(state.outcome == Outcome.BAD):
                    m.d.comb += self.fault.eq(1)
                    m.next = "RELEASE"
                with m.Elif(slots.behind):
                    m.d.comb += pass_on.eq(1)
                    m.next = "SCAN"
                with m.Elif(state.outcome == Outcome.COMPLETE):
                    with m.If(Mux(chain.pulled, self.pull.ready, self.push.ready)):
                        m.next = "HAND"
                    with m.Else():
                        m.d.comb += pass_on.eq(1)
                        m.next = "SCAN"
                with m.Elif(overflow_taken):
                    m.d.comb += pass_on.eq(1)
                    m.next = "SCAN"
                with m.Else():
                    m.d.sync += [overflow_taken.eq(1), self.overflow.eq(here)]
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.sync += ask.eq(Mux(rest < cap, rest, cap))
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.access.valid.eq(1)
                with m.If(self.access.ready):
                    m.d.comb += [done.eq(1), pass_on.eq(1)]
                    m.next = "SCAN"
            with m.State("HAND"):
                m.d.comb += [
                    self.pull.valid.eq(chain.pulled),
                    self.push.valid.eq(~chain.pulled),
                    done.eq(1),
                    pass_on.eq(1),
                ]
                m.next = "SCAN"
            with m.State("RELEASE"):
                m.d.comb += self.release.valid.eq(1)
                with m.If(self.release.ready):
                    m.d.comb += [done.eq(1), pass_on.eq(1)]
                    m.next = "SCAN"
        with m.If(pass_on):
            m.d.sync += here.eq(here + 1)
            # Straight to what has just come, since nothing else may be due.
            with m.If(self.answered_valid):
                m.d.sync += here.eq(self.answered_slot)
            with m.Elif(begins):
                m.d.sync += here.eq(self.slot)

        with m.If(overflow_taken & self.freed_valid & (self.freed == self.overflow)):
            m.d.sync += overflow_taken.eq(0)

        context = Signal(SlotContext)
        m.d.comb += [
            context.slot.eq(here),
            context.first.eq(is_fresh),
            self.access.p.kind.eq(AccessKind.READ_DESCRIPTORS),
            self.access.p.of.index.eq(Mux(state.table, here, row[:4])),
            self.access.p.of.function.eq(function),
            self.access.p.of.area.eq(Mux(state.table, Area.TABLE, Area.DESCRIPTOR)),
            self.access.p.offset.eq(index << 4),
            self.access.p.length.eq(Cat(0, 0, 0, 0, ask + 1)),
            self.access.p.value.eq(context),
            self.release.p.slot.eq(here),
            self.release.p.row.eq(row),
            self.fault_function.eq(function),
        ]
        for job in (self.push, self.pull):
            m.d.comb += [
                job.p.slot.eq(here),
                job.p.row.eq(row),
                job.p.head.eq(head),
                job.p.count.eq(state.count),
                job.p.total.eq(state.total | state.huge.replicate(17)),
                job.p.first.eq(chain.first),
            ]
        return m

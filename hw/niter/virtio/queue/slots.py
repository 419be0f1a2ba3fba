"""The chains that are being put together, and whose turn it is."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .geometry import (
    SLOTS,
    Access,
    AccessKind,
    Area,
    Begin,
    Geometry,
    Job,
    Release,
    SlotContext,
    ring_mask,
)

__all__ = ["Outcome", "Progress", "Scanner"]

#: Slots 0 to 3 are for pulled queues, 2 to 7 for pushed ones,
#: so that neither kind can take all: a device may stop taking pushed chains, and pulled
#: queues refill all at once.
PULLED_SLOTS = 4
SHARED_SLOTS = 2


class Outcome(enum.Enum, shape=2):
    """How a read of descriptors ended."""

    MORE = 0
    COMPLETE = 1
    #: There is more, and the slot is full: it goes on in the overflow area.
    FULL = 2
    BAD = 3


class Progress(data.Struct):
    """What is known of a chain after a read.

    Members
    -------
    outcome : Outcome
    index : 10 bits
        The descriptor to read next.
    limit : 10 bits
        Index of the last descriptor in the ring, or in the indirect table.
    table : 1 bit
        It is in the indirect table.
    written : 1 bit
        A device-writable segment was seen.
    count : 7 bits
        Segments so far.
    total : 17 bits
        Bytes in its device-readable segments, unless ``huge``.
    huge : 1 bit
        There are more than ``total`` can tell.
    """

    outcome: Outcome
    index: 10
    limit: 10
    table: 1
    written: 1
    count: 7
    total: 17
    huge: 1


class Scanner(wiring.Component):
    """Looks at one slot after the other, reads on for its chain or hands it over.

    A slot is *due* when it needs something: at first, and after each answer. Chains of one
    queue are handed over in the order in which they were begun, those of several queues
    in any order. A chain of a queue that is being closed, or of a faulty function, is given
    back instead.

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
        m.submodules.begun = begun = memory.Memory(shape=Begin, depth=SLOTS, init=[])
        m.submodules.progress = progress = memory.Memory(shape=Progress, depth=SLOTS, init=[])
        begun_store, begun_load = begun.write_port(), begun.read_port(domain="comb")
        progress_store, progress_load = progress.write_port(), progress.read_port(domain="comb")

        busy = Signal(SLOTS)
        due = Signal(SLOTS)
        fresh = Signal(SLOTS)
        #: The chain before it, of the same queue, is still in its slot.
        behind = Signal(SLOTS)
        after = [Signal(3, name=f"after_{n}") for n in range(SLOTS)]
        overflow_taken = self.overflow_taken

        for pulled, slots in (
            (1, range(PULLED_SLOTS - 1, -1, -1)),
            (0, range(PULLED_SLOTS - SHARED_SLOTS, SLOTS)),
        ):
            for n in slots:
                with m.If((self.begin.p.pulled == pulled) & ~busy[n]):
                    m.d.comb += [self.slot.eq(n), self.begin.ready.eq(1)]
        taken = self.begin.valid & self.begin.ready
        m.d.comb += [
            begun_store.addr.eq(self.slot),
            begun_store.data.eq(self.begin.p),
            begun_store.en.eq(taken),
            progress_store.addr.eq(self.answered_slot),
            progress_store.data.eq(self.answered),
            progress_store.en.eq(self.answered_valid),
        ]

        here = Signal(3)
        row, head, state = Signal(7), Signal(10), Signal(Progress)
        chain = Signal(Begin)
        is_fresh = Signal()
        is_behind = behind.bit_select(here, 1)
        m.d.comb += [
            begun_load.addr.eq(Mux(self.look_valid, self.look, here)),
            progress_load.addr.eq(begun_load.addr),
            self.begun.eq(begun_load.data),
            self.progress.eq(progress_load.data),
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

        done = Signal()  # the scanner has dealt with this slot
        pass_on = Signal()  # and goes on to the next
        with m.FSM():
            with m.State("SCAN"):
                m.d.sync += [
                    chain.eq(begun_load.data),
                    state.eq(progress_load.data),
                    is_fresh.eq(fresh.bit_select(here, 1)),
                ]
                with m.If(~due.bit_select(here, 1)):
                    m.d.comb += pass_on.eq(1)
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
                with m.Elif(is_behind):
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
            with m.Elif(taken):
                m.d.sync += here.eq(self.slot)

        with m.Switch(self.freed):
            for n in range(SLOTS):
                with m.Case(n), m.If(self.freed_valid):
                    m.d.sync += busy[n].eq(0)
        with m.If(overflow_taken & self.freed_valid & (self.freed == self.overflow)):
            m.d.sync += overflow_taken.eq(0)
        for n in range(SLOTS):
            with m.If(self.freed_valid & (self.freed == after[n])):
                m.d.sync += behind[n].eq(0)
            with m.If(done & (here == n)):
                m.d.sync += [due[n].eq(0), fresh[n].eq(0)]
            with m.If(self.answered_valid & (self.answered_slot == n)):
                m.d.sync += due[n].eq(1)
            with m.If(taken & (self.slot == n)):
                m.d.sync += [
                    busy[n].eq(1),
                    due[n].eq(1),
                    fresh[n].eq(1),
                    behind[n].eq(~self.begin.p.first),
                    after[n].eq(self.begin.p.after),
                ]

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

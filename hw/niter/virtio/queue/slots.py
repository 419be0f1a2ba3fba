"""The slots of the chains that are being put together."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .geometry import SLOTS, Geometry
from .messages import Begin

__all__ = ["Outcome", "Progress", "Slots"]

#: Slots 0 to 3 are for pulled queues, 2 to 7 for pushed ones,
#: so that neither kind can take all: a device may stop taking pushed chains, and pulled
#: queues refill all at once. Where no queue is pulled, the others use all.
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


class Slots(wiring.Component):
    """Keeps what is known of each slot.

    A slot is *due* when it needs something: at first, and after each answer. Until its chain
    was looked at it is *fresh*; it is *behind* while the chain before it, of the same queue, is
    still in its slot.

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
    here : In(3), look : In(3), look_valid : In(1)
        The scanner's slot, and the walker's, which has precedence.
    begun : Out(Begin), progress : Out(Progress)
        What stands in the slot looked at, in the same cycle.
    due, fresh, behind : Out(1)
        Of the scanner's slot.
    done : In(1)
        The scanner has dealt with its slot.
    answered : In(Progress), answered_slot : In(3), answered_valid : In(1)
        The walker is done with an answer.
    freed : In(3), freed_valid : In(1)
        A slot's release was taken note of.
    """

    begin: In(stream.Signature(Begin))
    slot: Out(3)
    here: In(3)
    look: In(3)
    look_valid: In(1)
    begun: Out(Begin)
    progress: Out(Progress)
    due: Out(1)
    fresh: Out(1)
    behind: Out(1)
    done: In(1)
    answered: In(Progress)
    answered_slot: In(3)
    answered_valid: In(1)
    freed: In(3)
    freed_valid: In(1)

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.begun = begun = memory.Memory(shape=Begin, depth=SLOTS, init=[])
        m.submodules.progress = progress = memory.Memory(shape=Progress, depth=SLOTS, init=[])
        begun_store, begun_load = begun.write_port(), begun.read_port(domain="comb")
        progress_store, progress_load = progress.write_port(), progress.read_port(domain="comb")

        busy, due, fresh, behind = (
            Signal(SLOTS, name=name) for name in ("busy", "due", "fresh", "behind")
        )
        after = [Signal(3, name=f"after_{n}") for n in range(SLOTS)]
        pushed = range(PULLED_SLOTS - SHARED_SLOTS if self.geometry.pulled else 0, SLOTS)
        for pulled, slots in ((1, range(PULLED_SLOTS - 1, -1, -1)), (0, pushed)):
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
            begun_load.addr.eq(Mux(self.look_valid, self.look, self.here)),
            progress_load.addr.eq(begun_load.addr),
            self.begun.eq(begun_load.data),
            self.progress.eq(progress_load.data),
            self.due.eq(due.bit_select(self.here, 1)),
            self.fresh.eq(fresh.bit_select(self.here, 1)),
            self.behind.eq(behind.bit_select(self.here, 1)),
        ]
        for n in range(SLOTS):
            with m.If(self.freed_valid & (self.freed == n)):
                m.d.sync += busy[n].eq(0)
            with m.If(self.freed_valid & (self.freed == after[n])):
                m.d.sync += behind[n].eq(0)
            with m.If(self.done & (self.here == n)):
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
        return m

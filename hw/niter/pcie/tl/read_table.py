"""What is outstanding under each tag, and for how long."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .count import increment
from .layouts import FunctionStates
from .slots import SLOTS, Done, Opening

__all__ = ["Outstanding", "OutstandingReads", "Progress"]


class Outstanding(data.Struct):
    """A request: the doublewords still to come, and where they begin.

    Members
    -------
    valid : 1 bit
        The tag is in use.
    phase, function, dwords, spare, lower
        As in ``Opening``; ``dwords`` and ``lower`` move on with each completion.
    epoch : 2 bits
        The period in which it was opened.
    bad : 1 bit
        A completion of it was poisoned.
    """

    valid: 1
    phase: 1
    function: 3
    dwords: 6
    spare: 2
    lower: 7
    epoch: 2
    bad: 1


class Progress(data.Struct):
    """What a completion has changed: the entry, and the slot if that is over."""

    entry: Outstanding
    done: 1
    error: 1


class OutstandingReads(wiring.Component):
    """A row for each tag in RAM, and the clock.

    One row is read in a cycle and one written. A completion comes first, then a request that
    has waited for too long, then a new one. In the gaps between completions all tags are
    inspected in turn: a request outstanding for more than one and at most two periods of
    ``timeout`` cycles fails and its tag is free, unless its function has Completion Timeout
    Disable set. The clock stands still while requests wait for the link.

    Parameters
    ----------
    timeout
        Length of a period in cycles.
    functions
        Number of functions.

    Members
    -------
    find : In(1), tag : In(5)
        A completion begins; its row is read.
    entry : Out(Outstanding)
        The row, one cycle later and until ``end``.
    end : In(1), progress : In(Progress)
        The completion is over, and what becomes of its row; with ``keep`` nothing.
    keep : In(1)
        See there.
    open : In(stream of Opening)
        Requests about to be sent.
    stalled : In(1)
        A request waits for the link.
    done_tag : In(5), done : Out(Done)
        Looks up a slot; combinational.
    finished : Out(1), finished_tag : Out(5)
        A slot is being answered: its ``done`` changes in the next cycle.
    expired : Out(1), expired_function : Out(3)
        Strobe: a request has waited for too long.
    busy : Out(MAX_FUNCTIONS)
        Function has requests outstanding; falls a few hundred cycles late, never early.
    states : In(FunctionStates)
        See there.
    """

    def __init__(self, *, timeout: int, functions: int = MAX_FUNCTIONS):
        self._timeout = timeout
        self._functions = functions
        super().__init__(
            {
                "find": In(1),
                "tag": In(5),
                "entry": Out(Outstanding),
                "end": In(1),
                "keep": In(1),
                "progress": In(Progress),
                "open": In(stream.Signature(Opening)),
                "stalled": In(1),
                "done_tag": In(5),
                "done": Out(Done),
                "finished": Out(1),
                "finished_tag": Out(5),
                "expired": Out(1),
                "expired_function": Out(3),
                "busy": Out(MAX_FUNCTIONS),
                "states": In(FunctionStates),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # In LUT-RAM: a word comes out of an EBR too late in its cycle for what is made of it.
        m.submodules.rows = rows = memory.Memory(
            shape=Outstanding, depth=SLOTS, init=[], attrs={"ram_style": "distributed"}
        )
        m.submodules.finished = finished = memory.Memory(shape=Done, depth=SLOTS, init=[])
        lookup, update = rows.read_port(), rows.write_port()
        poll, finish = finished.read_port(domain="comb"), finished.write_port()
        cleared = Signal()
        m.d.comb += [
            poll.addr.eq(self.done_tag),
            self.done.phase.eq(poll.data.phase & cleared),
            self.done.error.eq(poll.data.error),
            self.entry.eq(lookup.data),
        ]

        # Time stands still while nobody waits for it.
        waiting = self.busy.any()
        timer = Signal(range(self._timeout))
        epoch = Signal(2)
        with m.If(waiting & ~self.stalled):
            m.d.sync += timer.eq(timer + 1)
            with m.If(timer == self._timeout - 1):
                m.d.sync += [timer.eq(0), epoch.eq(epoch + 1)]

        # The round through all tags: a row is read between completions, and looked at in the next
        # cycle. No row is read while it is written. The link's framing leaves the time for it.
        under_way, current = Signal(), Signal(5)
        round_tag = Signal(range(SLOTS))
        inspect, inspecting = Signal(), Signal()
        with m.If(self.find):
            m.d.sync += [under_way.eq(1), current.eq(self.tag)]
        with m.Elif(self.end):
            m.d.sync += under_way.eq(0)
        m.d.comb += [
            inspect.eq(
                cleared
                & waiting
                & ~self.find
                & ~inspecting
                & ~under_way
                & ~(self.open.valid & (self.open.payload.tag == round_tag))
            ),
            lookup.addr.eq(round_tag),
            lookup.en.eq(self.find | inspect),
        ]
        with m.If(self.find):
            m.d.comb += lookup.addr.eq(self.tag)
        m.d.sync += inspecting.eq(inspect)
        seen_row = self.entry
        patient = self.states[seen_row.function].no_timeout
        m.d.comb += [
            self.expired.eq(
                inspecting
                & seen_row.valid
                & (epoch - seen_row.epoch)[1]
                & ~patient
                & ~(self.find & (self.tag == round_tag))
            ),
            self.expired_function.eq(seen_row.function),
        ]

        seen = Signal(self._functions)
        found, opened = Signal(self._functions), Signal(self._functions)
        opening = self.open.payload
        m.d.comb += [
            found.eq((inspecting & seen_row.valid) << seen_row.function),
            opened.eq((self.open.valid & self.open.ready & ~opening.void) << opening.function),
        ]
        with m.If(inspecting & (round_tag == SLOTS - 1)):
            m.d.sync += [self.busy.eq(seen | found | opened), seen.eq(opened)]
        with m.Else():
            m.d.sync += [self.busy.eq(self.busy | opened), seen.eq(seen | found | opened)]

        m.d.comb += [self.finished.eq(finish.en), self.finished_tag.eq(finish.addr)]

        # Memories outlive a reset and are cleared after it.
        with m.If(inspecting | ~cleared):
            m.d.sync += round_tag.eq(increment(round_tag))
        with m.If(~cleared):
            m.d.comb += [
                update.en.eq(1),
                update.addr.eq(round_tag),
                finish.en.eq(1),
                finish.addr.eq(round_tag),
            ]
            m.d.sync += cleared.eq(round_tag == SLOTS - 1)
        with m.Elif(self.end):
            progress = self.progress
            m.d.comb += [
                update.addr.eq(current),
                update.en.eq(~self.keep),
                update.data.eq(progress.entry),
                finish.addr.eq(current),
                finish.en.eq(~self.keep & progress.done),
                finish.data.phase.eq(progress.entry.phase),
                finish.data.error.eq(progress.error),
            ]
        with m.Elif(self.expired):
            m.d.comb += [
                update.addr.eq(round_tag),
                update.en.eq(1),
                finish.addr.eq(round_tag),
                finish.en.eq(1),
                finish.data.phase.eq(seen_row.phase),
                finish.data.error.eq(1),
            ]
        # Whether what is looked at has expired would be known too late in the cycle. A completion
        # that begins in this one does not belong to what is opened: it finds what was there.
        with m.Elif(~inspecting):
            m.d.comb += [
                self.open.ready.eq(1),
                update.addr.eq(opening.tag),
                update.en.eq(self.open.valid),
                update.data.valid.eq(~opening.void),
                update.data.phase.eq(opening.phase),
                update.data.epoch.eq(epoch),
                update.data.function.eq(opening.function),
                update.data.dwords.eq(opening.dwords),
                update.data.spare.eq(opening.spare),
                update.data.lower.eq(opening.lower),
                finish.addr.eq(opening.tag),
                finish.en.eq(self.open.valid & opening.void),
                finish.data.phase.eq(opening.phase),
                finish.data.error.eq(1),
            ]
        return m

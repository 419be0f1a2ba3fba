"""Outstanding reads: what each tag waits for, and what the completions bring."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Beat, PacketStream

from .header import CompletionHead, CompletionStatus, CompletionTail, swap_dwords
from .layouts import FunctionStates, LinkState, TlpError
from .slots import SLOTS, Opening

__all__ = ["CompletionTracker", "Done"]


class Done(data.Struct):
    """A slot is answered when ``phase`` is that of its present use."""

    phase: 1
    error: 1


class _Entry(data.Struct):
    """What is outstanding under a tag: the doublewords still to come, and where they begin."""

    valid: 1
    phase: 1
    #: The period in which it was opened.
    epoch: 2
    #: A completion of it was poisoned.
    bad: 1
    function: 3
    dwords: 6
    spare: 2
    lower: 7


class CompletionTracker(wiring.Component):
    """Matches completions with requests, stores their payload, and watches the clock.

    A completion counts with its last beat; one that ends with ``error`` is ignored. It must
    come with the Requester ID, traffic class and attributes of the request, the Byte Count
    and Lower Address that are due, and no more than what is left; anything else is an
    unexpected completion and changes nothing (2.3.2). An unsuccessful one ends the request.
    Poisoned payload counts, but the slot fails. An answer to a function that may no longer
    send fails likewise.

    Between completions all tags are inspected in turn: a request outstanding for more than
    one and at most two periods of ``timeout`` cycles fails and its tag is free. The clock
    stands still while requests wait for the link.

    ``i`` is never stalled: one beat a cycle. A slot is marked done in the cycle after its
    last beat was taken; its data can be read one cycle later.

    Parameters
    ----------
    timeout
        Length of a period in cycles.
    functions
        Number of functions.

    Members
    -------
    i : In(PacketStream)
        Completions.
    open : In(stream of Opening)
        Requests about to be sent.
    stalled : In(1)
        A request waits for the link.
    store : array of 2 In(memory.WritePort.Signature)
        Write ports of the two halves of the buffer: ``addr``, ``data``, ``en``.
    done_tag : In(5), done : Out(Done)
        Looks up a slot; combinational.
    error : Out(stream of TlpError)
        What is to be reported; an error found while another waits is not reported.
    busy : Out(MAX_FUNCTIONS)
        Function has requests outstanding; falls a few hundred cycles late, never early.
    states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    def __init__(self, *, timeout: int, functions: int = MAX_FUNCTIONS):
        self._timeout = timeout
        self._functions = functions
        super().__init__(
            {
                "i": In(PacketStream),
                "open": In(stream.Signature(Opening)),
                "stalled": In(1),
                "store": In(memory.WritePort.Signature(addr_width=9, shape=32)).array(2),
                "done_tag": In(5),
                "done": Out(Done),
                "error": Out(stream.Signature(TlpError)),
                "busy": Out(MAX_FUNCTIONS),
                "states": In(FunctionStates),
                "link": In(LinkState),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.entries = entries = memory.Memory(shape=_Entry, depth=SLOTS, init=[])
        m.submodules.finished = finished = memory.Memory(shape=Done, depth=SLOTS, init=[])
        lookup = entries.read_port(domain="comb")
        update = entries.write_port()
        poll = finished.read_port(domain="comb")
        finish = finished.write_port()
        cleared = Signal()
        m.d.comb += [
            poll.addr.eq(self.done_tag),
            self.done.phase.eq(poll.data.phase & cleared),
            self.done.error.eq(poll.data.error),
        ]

        # Beats, delayed by one and two cycles; the header is taken apart on the way.
        m.d.comb += self.i.ready.eq(1)
        position = Signal(2)
        head = Signal(CompletionHead)
        tail = Signal(CompletionTail)
        entry = Signal(_Entry)
        at_tail = Signal()
        under_way = Signal()
        late = Signal(Beat)
        late_valid = Signal()
        late_tail = Signal()
        with m.If(self.i.valid):
            m.d.sync += position.eq(
                Mux(self.i.payload.last, 0, Mux(position == 2, 2, position + 1))
            )
        with m.If(self.i.valid & (position == 0)):
            m.d.sync += head.eq(swap_dwords(self.i.payload.data))
        m.d.comb += at_tail.eq(self.i.valid & (position == 1))
        early_tail = CompletionTail(swap_dwords(self.i.payload.data[:32]))
        with m.If(at_tail):
            m.d.sync += [tail.eq(early_tail), entry.eq(lookup.data), under_way.eq(1)]
        m.d.sync += [
            late.eq(self.i.payload),
            late_valid.eq(self.i.valid & (position != 0)),
            late_tail.eq(at_tail),
        ]

        # The verdict, from registers that stand from the cycle after the third doubleword.
        ours = Signal()
        failed = Signal()
        fits = Signal()
        final = Signal()
        ended = Signal()
        due = Signal(8)
        length = head.common.length
        m.d.comb += [
            ours.eq(
                entry.valid
                & (tail.tag[5:] == 0)
                & (tail.requester.bus == self.link.bus)
                & (tail.requester.device == self.link.device)
                & (tail.requester.function == entry.function)
                & (head.common.traffic_class == 0)
                & (head.common.attributes == 0)
            ),
            failed.eq(head.status != CompletionStatus.SUCCESSFUL),
            due.eq((entry.dwords << 2) - entry.lower[:2] - entry.spare),
            final.eq(length == entry.dwords),
            fits.eq(
                ours
                & ~failed
                & head.common.fmt[1]
                & (length != 0)
                & (length <= entry.dwords)
                & (head.byte_count == due)
                & (tail.lower_address == entry.lower)
            ),
            ended.eq(late_valid & late.last),
        ]
        with m.If(ended):
            m.d.sync += under_way.eq(0)

        # Payload: the upper lane of the first beat holds doubleword ``lower``, and the two
        # halves of the buffer hold even and odd doublewords.
        later = Signal(Beat)
        stored = Signal()
        storing = Signal()
        begins = Signal()
        even = Signal(9)
        odd = Signal(9)
        swapped = Signal()
        m.d.sync += [
            later.eq(late),
            begins.eq(late_tail),
            storing.eq(late_valid & Mux(late_tail, fits, stored)),
        ]
        with m.If(late_tail):
            m.d.sync += [
                stored.eq(fits),
                swapped.eq(~tail.lower_address[2]),
                even.eq(Cat(tail.lower_address[3:], tail.tag[:5])),
                odd.eq(
                    Cat(
                        (tail.lower_address[3:] - ~tail.lower_address[2])[:4],
                        tail.tag[:5],
                    )
                ),
            ]
        with m.Else(), m.If(storing):
            m.d.sync += [even[:4].eq(even[:4] + 1), odd[:4].eq(odd[:4] + 1)]
        lower, upper = later.data[:32], later.data[32:]
        has_lower = storing & ~begins
        has_upper = storing & ~(later.last & later.empty[2])
        m.d.comb += [
            self.store[0].addr.eq(even),
            self.store[0].data.eq(Mux(swapped, upper, lower)),
            self.store[0].en.eq(Mux(swapped, has_upper, has_lower)),
            self.store[1].addr.eq(odd),
            self.store[1].data.eq(Mux(swapped, lower, upper)),
            self.store[1].en.eq(Mux(swapped, has_lower, has_upper)),
        ]

        # The clock, and the round through all tags.
        timer = Signal(range(self._timeout))
        epoch = Signal(2)
        with m.If(~self.stalled):
            m.d.sync += timer.eq(timer + 1)
            with m.If(timer == self._timeout - 1):
                m.d.sync += [timer.eq(0), epoch.eq(epoch + 1)]
        tag = Signal(5)
        inspected = Signal(_Entry)
        inspecting = Signal()
        expired = Signal()
        m.d.comb += expired.eq(
            inspecting
            & inspected.valid
            & (epoch - inspected.epoch)[1]
            & ~at_tail
            & ~(under_way & (tail.tag[:5] == tag))
        )
        report = Signal(TlpError)
        reporting = Signal()
        with m.If(inspecting):
            m.d.sync += [inspecting.eq(0), tag.eq(tag + 1)]
        with m.Elif(~at_tail):
            m.d.sync += [inspecting.eq(1), inspected.eq(lookup.data)]
        m.d.comb += lookup.addr.eq(Mux(at_tail, early_tail.tag[:5], tag))

        seen = Signal(self._functions)
        found = Signal(self._functions)
        opened = Signal(self._functions)
        m.d.comb += [
            found.eq((inspecting & inspected.valid) << inspected.function),
            opened.eq(
                (self.open.valid & self.open.ready & ~self.open.payload.void)
                << self.open.payload.function
            ),
        ]
        with m.If(inspecting & (tag == SLOTS - 1)):
            m.d.sync += [self.busy.eq(seen | found | opened), seen.eq(opened)]
        with m.Else():
            m.d.sync += [self.busy.eq(self.busy | opened), seen.eq(seen | found | opened)]

        # Memories outlive a reset and are cleared after it. Then there is one writer a cycle:
        # a completion, else a time-out, else a request to come.
        master = Signal()
        m.d.comb += master.eq(self.states[entry.function].master)
        with m.If(~cleared):
            m.d.comb += [update.en.eq(1), update.addr.eq(tag), finish.en.eq(1), finish.addr.eq(tag)]
            m.d.sync += [tag.eq(tag + 1), inspecting.eq(0), cleared.eq(tag == SLOTS - 1)]
        with m.Elif(ended):
            m.d.comb += [
                update.addr.eq(tail.tag),
                update.data.eq(entry),
                update.data.dwords.eq(entry.dwords - length),
                update.data.lower.eq(Cat(0, 0, (entry.lower[2:] + length)[:5])),
                update.data.bad.eq(entry.bad | head.common.poisoned),
                finish.addr.eq(tail.tag),
                finish.data.phase.eq(entry.phase),
                report.function.eq(entry.function),
            ]
            with m.If(~late.error):
                m.d.comb += reporting.eq(1)
                with m.If(fits):
                    m.d.comb += [
                        update.en.eq(1),
                        update.data.valid.eq(~final),
                        finish.en.eq(final),
                        finish.data.error.eq(entry.bad | head.common.poisoned | ~master),
                        report.poisoned.eq(head.common.poisoned),
                        report.data_parity.eq(head.common.poisoned),
                        reporting.eq(head.common.poisoned),
                    ]
                with m.Elif(ours & failed):
                    m.d.comb += [
                        update.en.eq(1),
                        update.data.valid.eq(0),
                        finish.en.eq(1),
                        finish.data.error.eq(1),
                        report.received_target_abort.eq(
                            head.status == CompletionStatus.COMPLETER_ABORT
                        ),
                        report.received_master_abort.eq(
                            head.status != CompletionStatus.COMPLETER_ABORT
                        ),
                    ]
                with m.Else():
                    m.d.comb += [
                        report.unexpected_completion.eq(1),
                        report.all.eq(~entry.valid),
                    ]
        with m.Elif(expired):
            m.d.comb += [
                update.en.eq(1),
                update.addr.eq(tag),
                finish.en.eq(1),
                finish.addr.eq(tag),
                finish.data.phase.eq(inspected.phase),
                finish.data.error.eq(1),
                reporting.eq(1),
                report.function.eq(inspected.function),
                report.completion_timeout.eq(1),
            ]
        with m.Else():
            opening = self.open.payload
            m.d.comb += [
                self.open.ready.eq(1),
                update.en.eq(self.open.valid),
                update.addr.eq(opening.tag),
                update.data.valid.eq(~opening.void),
                update.data.phase.eq(opening.phase),
                update.data.epoch.eq(epoch),
                update.data.function.eq(opening.function),
                update.data.dwords.eq(opening.dwords),
                update.data.spare.eq(opening.spare),
                update.data.lower.eq(opening.lower),
                finish.en.eq(self.open.valid & opening.void),
                finish.addr.eq(opening.tag),
                finish.data.phase.eq(opening.phase),
                finish.data.error.eq(1),
            ]

        free = Signal()
        m.d.comb += free.eq(~self.error.valid | self.error.ready)
        with m.If(reporting & free):
            m.d.sync += [self.error.valid.eq(1), self.error.payload.eq(report)]
        with m.Elif(self.error.ready):
            m.d.sync += self.error.valid.eq(0)
        return m

"""Executes posted requests: writes to registers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import RegisterRequest

from .count import increment
from .layouts import ErrorReport
from .requests import Entry, PostedEntry

__all__ = ["PostedExecutor"]


class PostedExecutor(wiring.Component):
    """Takes posted requests from their queue one by one, and their words one a cycle.

    A doubleword takes 3 cycles, and each aligned eight-byte word after the first takes one more;
    a word without enabled bytes is skipped. Within a request the address runs on inside its
    4 KiB page. It waits for the register port alone.

    Members
    -------
    available : In(1)
        The queue has an entry.
    hold : In(1)
        Do not begin: somebody else has the queues' read port.
    idle : Out(1)
        Nothing is in execution, and ``read`` is only asserted to begin.
    read : Out(1), entry : In(Entry)
        From the queue.
    request : Out(stream of RegisterRequest)
        The writes.
    error : Out(ErrorReport)
        Poisoned and unsupported requests.
    turn_off : Out(1)
        Strobe: a PME_Turn_Off message.
    done : Out(1), data_credits : Out(7)
        Strobe: a request is over, and its data credits.
    """

    available: In(1)
    hold: In(1)
    idle: Out(1)
    read: Out(1)
    entry: In(Entry)
    request: Out(stream.Signature(RegisterRequest))
    error: Out(ErrorReport)
    turn_off: Out(1)
    done: Out(1)
    data_credits: Out(7)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        head = PostedEntry(self.entry.data[: PostedEntry.as_shape().size])
        held = Signal(PostedEntry)
        left = Signal(8)
        m.d.comb += [
            self.data_credits.eq(increment(held.length[2:], held.length[:2].any())),
            self.request.payload.function.eq(held.target.function),
            self.request.payload.bar.eq(held.target.bar << 1),
            self.request.payload.address.eq(held.address[1:] << 3),
            self.request.payload.write.eq(1),
            self.request.payload.data.eq(self.entry.data),
            self.request.payload.mask.eq(self.entry.note),
            self.error.function.eq(held.target.function),
            self.error.all.eq(~held.target.hit),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), self.read.eq(self.available & ~self.hold)]
                with m.If(self.read):
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += self.read.eq(head.execute)
                m.d.sync += [held.eq(head), left.eq(head.length + head.address[0])]
                m.next = "REPORT"
                with m.If(head.execute):
                    m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += self.request.valid.eq(self.entry.note != 0)
                with m.If(~self.request.valid | self.request.ready):
                    m.d.sync += [
                        left.eq(left - 2),
                        held.address[1:10].eq(increment(held.address[1:10])),
                    ]
                    with m.If(left <= 2):
                        m.d.comb += self.done.eq(1)
                        m.next = "IDLE"
                    with m.Else():
                        m.d.comb += self.read.eq(1)
            with m.State("REPORT"):
                m.d.comb += [
                    self.error.errors.unsupported_request.eq(held.unsupported),
                    self.error.errors.poisoned.eq(held.poisoned),
                    self.done.eq(1),
                    self.turn_off.eq(held.turn_off),
                ]
                m.next = "IDLE"
        return m

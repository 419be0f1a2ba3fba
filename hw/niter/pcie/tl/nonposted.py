"""Executes non-posted requests, one at a time, and answers them."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream, RegisterReply, RegisterRequest

from .answer import AnswerSender
from .configuration import ConfigurationAccess
from .header import CompletionStatus, ConfigurationTail, RequestHead, TlpType, swap_dwords
from .image import Image
from .layouts import LinkState, TlpError
from .requests import Entry, Target
from .window import WindowAccess

__all__ = ["NonpostedExecutor"]


class NonpostedExecutor(wiring.Component):
    """Reads of registers, and configuration requests (2.3.1).

    A request waits until all posted requests that came before it have been executed; posted
    requests that come later pass it at any time. A read of one eight-byte word is answered
    9 cycles after it has reached the head of the queue, and what the engine takes.

    ====================================================  ====================================
    Request                                               Answer
    ====================================================  ====================================
    memory read within two aligned eight-byte words       data, or Completer Abort if the
                                                          engine says so
    any longer memory read                                Completer Abort
    memory read that hits no BAR                          Unsupported Request
    configuration, of a function that does not exist      Unsupported Request
    configuration, of one not released or in reset        Configuration Request Retry Status
    configuration write with poisoned data                Unsupported Request
    configuration, type 1                                 Unsupported Request
    I/O, locked, atomic                                   Unsupported Request
    ====================================================  ====================================

    Members
    -------
    available : In(1)
        The queue has an entry.
    want : Out(1), grant : In(1)
        The two beats of a request are to be read, and may be: in the cycle of ``grant`` and
        the next one.
    read : Out(1), entry : In(Entry)
        From the queue.
    executed : In(6)
        Posted requests executed so far.
    done : Out(1), data_credits : Out(2)
        Strobe: a request has left the queue, and its data credits.
    ready : In(MAX_FUNCTIONS)
        Functions whose configuration space may be accessed.
    request : Out(stream of RegisterRequest), reply : In(stream of RegisterReply)
        Register accesses.
    access : Out(stream of ConfigurationAccess), access_data : In(32), access_done : In(1)
        Accesses to configuration space.
    error : Out(stream of TlpError)
        What was refused.
    link : Out(LinkState)
        Bus and device number, from configuration writes; ``boundary`` is not driven.
    o : Out(PacketStream)
        Completions.

    Parameters
    ----------
    images
        Configuration space of each function.
    """

    def __init__(self, images: Sequence[Image]):
        self._images = tuple(images)
        super().__init__(
            {
                "available": In(1),
                "want": Out(1),
                "grant": In(1),
                "read": Out(1),
                "entry": In(Entry),
                "executed": In(6),
                "done": Out(1),
                "data_credits": Out(2),
                "ready": In(MAX_FUNCTIONS),
                "request": Out(stream.Signature(RegisterRequest)),
                "reply": In(stream.Signature(RegisterReply)),
                "access": Out(stream.Signature(ConfigurationAccess)),
                "access_data": In(32),
                "access_done": In(1),
                "error": Out(stream.Signature(TlpError)),
                "link": Out(LinkState),
                "o": Out(PacketStream),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.sender = sender = AnswerSender()
        m.submodules.window = window = WindowAccess(self._images)
        head, tail, payload = Signal(RequestHead), Signal(64), Signal(32)
        target, number = Signal(Target), Signal(6)
        four = head.common.fmt[0]
        has_data = head.common.fmt[1]
        configuration = ConfigurationTail(tail[:32])
        address = Mux(four, tail[32:], tail[:32])

        answer = sender.i.payload
        status, count, byte_count = Signal(CompletionStatus), Signal(3), Signal(12)
        data = Signal(answer.data.shape())
        m.d.comb += [
            answer.request.eq(head),
            answer.status.eq(status),
            answer.count.eq(count),
            answer.byte_count.eq(byte_count),
            answer.data.eq(data),
            sender.link.eq(self.link),
        ]
        wiring.connect(m, sender.o, wiring.flipped(self.o))

        is_memory = head.common.type == TlpType.MEMORY
        is_configuration = head.common.type == TlpType.CONFIGURATION_0
        function = Signal(3)
        known = Signal()
        m.d.comb += [
            function.eq(Mux(is_configuration, configuration.target.function, target.function)),
            known.eq(Mux(is_configuration, function < len(self._images), target.hit)),
            answer.function.eq(function),
        ]
        enables, second_word = self._span(m, head, address)
        bytes_wanted, lower = self._extent(head, address)
        m.d.comb += answer.lower_address.eq(Mux(is_memory, lower, 0))
        data_at = Array([image.window.data if image.window else 0 for image in self._images])
        in_window = (configuration.register == data_at[function]) & (data_at[function] != 0)

        word = Signal()  # the second word is at hand
        high = Signal()
        m.d.comb += high.eq(address[2])
        wanted = Mux(word, enables[8:], enables[:8])
        with m.If(window.request.valid):
            m.d.comb += self.request.payload.eq(window.request.payload)
        with m.Else():
            m.d.comb += [
                self.request.payload.function.eq(target.function),
                self.request.payload.bar.eq(target.bar << 1),
                self.request.payload.address.eq((address[3:] + word) << 3),
                self.request.payload.mask.eq(wanted),
            ]
        m.d.comb += [
            window.request.ready.eq(self.request.ready),
            window.reply.payload.eq(self.reply.payload),
            window.reply.valid.eq(self.reply.valid),
            window.access_data.eq(self.access_data),
            window.access_done.eq(self.access_done),
            window.access.ready.eq(self.access.ready),
            window.function.eq(function),
            window.write.eq(has_data),
            window.data.eq(payload),
        ]
        with m.If(window.access.valid):
            m.d.comb += self.access.payload.eq(window.access.payload)
        with m.Else():
            m.d.comb += [
                self.access.payload.function.eq(function),
                self.access.payload.register.eq(configuration.register),
                self.access.payload.write.eq(has_data),
                self.access.payload.data.eq(payload),
                self.access.payload.enables.eq(head.first_enables),
            ]
        reading, asking = Signal(), Signal()
        m.d.comb += [
            self.request.valid.eq(reading | window.request.valid),
            self.access.valid.eq(asking | window.access.valid),
        ]
        error = self.error.payload
        refused = status == CompletionStatus.UNSUPPORTED_REQUEST
        aborted = status == CompletionStatus.COMPLETER_ABORT
        m.d.comb += [
            error.function.eq(function),
            error.all.eq(~known),
            error.unsupported_request.eq(refused),
            error.completer_abort.eq(aborted),
            error.poisoned.eq(head.common.poisoned & has_data),
            error.advisory.eq(1),
        ]

        with m.FSM():
            with m.State("EMPTY"):
                m.d.comb += [self.want.eq(self.available), self.read.eq(self.grant)]
                with m.If(self.grant):
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += self.read.eq(1)
                m.d.sync += [
                    head.eq(swap_dwords(self.entry.data)),
                    target.eq(self.entry.note),
                ]
                m.next = "SECOND"
            with m.State("SECOND"):
                m.d.comb += [
                    self.done.eq(1),
                    self.data_credits.eq(Mux(has_data, (head.common.length[:4] + 3) >> 2, 0)),
                ]
                m.d.sync += [
                    tail.eq(swap_dwords(self.entry.data)),
                    payload.eq(self.entry.data[32:]),
                    number.eq(self.entry.note),
                ]
                m.next = "WAIT"
            with m.State("WAIT"):
                late = Signal(6)
                m.d.comb += late.eq(self.executed - number)
                m.d.sync += data.eq(0)
                with m.If(~late[5]):
                    m.next = "DISPATCH"
            with m.State("DISPATCH"):
                m.d.sync += [
                    status.eq(CompletionStatus.UNSUPPORTED_REQUEST),
                    count.eq(0),
                    byte_count.eq(Mux(is_memory, bytes_wanted, 4)),
                    word.eq(0),
                ]
                m.next = "REPORT"
                with m.If(is_memory & known):
                    m.d.sync += status.eq(CompletionStatus.COMPLETER_ABORT)
                    with m.If((head.common.length != 0) & (head.common.length + high <= 4)):
                        m.d.sync += [
                            status.eq(CompletionStatus.SUCCESSFUL),
                            count.eq(head.common.length),
                        ]
                        m.next = "READ"
                with m.Elif(is_configuration & known):
                    with m.If(~self.ready.bit_select(function, 1)):
                        m.d.sync += status.eq(CompletionStatus.CONFIGURATION_RETRY)
                    with m.Elif(~(head.common.poisoned & has_data)):
                        m.d.sync += [
                            status.eq(CompletionStatus.SUCCESSFUL),
                            count.eq(~has_data),
                        ]
                        with m.If(has_data):
                            m.d.sync += [
                                self.link.bus.eq(configuration.target.bus),
                                self.link.device.eq(configuration.target.device),
                            ]
                        with m.If(in_window):
                            m.d.comb += window.start.eq(1)
                            m.next = "WINDOW"
                        with m.Elif(configuration.register[6:] == 0):
                            m.next = "ACCESS"
            with m.State("READ"):
                m.d.comb += reading.eq(wanted != 0)
                with m.If(~reading):
                    m.next = "REPORT"
                with m.Elif(self.request.ready):
                    m.next = "REPLY"
            with m.State("REPLY"):
                m.d.comb += self.reply.ready.eq(1)
                with m.If(self.reply.valid):
                    m.d.sync += word.eq(1)
                    self._place(m, data, word, high)
                    m.next = "REPORT"
                    with m.If(self.reply.payload.error):
                        m.d.sync += [
                            status.eq(CompletionStatus.COMPLETER_ABORT),
                            count.eq(0),
                        ]
                    with m.Elif(second_word & ~word):
                        m.next = "READ"
            with m.State("ACCESS"):
                m.d.comb += asking.eq(1)
                with m.If(self.access.ready):
                    m.next = "RESULT"
            with m.State("RESULT"):
                m.d.sync += data[0].eq(self.access_data)
                with m.If(self.access_done):
                    m.next = "REPORT"
            with m.State("WINDOW"):
                m.d.comb += self.reply.ready.eq(window.reply.ready)
                m.d.sync += data[0].eq(window.result)
                with m.If(window.done):
                    with m.If(window.error):
                        m.d.sync += [
                            status.eq(CompletionStatus.COMPLETER_ABORT),
                            count.eq(0),
                        ]
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += self.error.valid.eq(refused | aborted)
                with m.If(~self.error.valid | self.error.ready):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += sender.i.valid.eq(1)
                with m.If(sender.i.ready):
                    m.next = "EMPTY"
        return m

    @staticmethod
    def _span(m, head, address) -> tuple[Value, Value]:
        """Byte enables of the two aligned words that a short read covers; is there a second?"""
        high = address[2]
        left = Signal(4)  # doublewords, counting the hole before the first
        m.d.comb += left.eq(head.common.length[:3] + high)
        first, last = head.first_enables, head.last_enables
        enables = Cat(
            Mux(high, 0, first),
            Mux(high, first, Mux(left == 1, 0, Mux(left == 2, last, 0b1111))),
            Mux(left == 3, last, 0b1111),
            Mux(left == 3, 0, last),
        )
        return enables, left > 2

    @staticmethod
    def _extent(head, address) -> tuple[Value, Value]:
        """Byte Count and Lower Address of the first completion (2.3.1.1, table 2-39)."""
        first, last = head.first_enables, head.last_enables
        last = Mux(head.common.length == 1, first, last)
        before = Mux(first[0], 0, Mux(first[1], 1, Mux(first[2], 2, Mux(first[3], 3, 0))))
        after = Mux(last[3], 0, Mux(last[2], 1, Mux(last[1], 2, 3)))
        unused = (before + after)[:3]
        return ((head.common.length << 2) - unused)[:12], Cat(before[:2], address[2:7])

    def _place(self, m, data, word, high) -> None:
        """Put the doublewords of a reply where they stand in the completion."""
        reply = self.reply.payload.data
        even, odd = Mux(high, reply[32:], reply[:32]), Mux(high, reply[:32], reply[32:])
        with m.If(~word):
            m.d.sync += data[0].eq(even)
        with m.Else():
            m.d.sync += data[2].eq(even)
        with m.If(word == high):
            m.d.sync += data[1].eq(odd)
        with m.If(word & ~high):
            m.d.sync += data[3].eq(odd)

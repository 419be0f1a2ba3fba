"""Executes non-posted requests, one at a time, and answers them."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, PacketStream, RegisterReply, RegisterRequest

from .answer import AnswerSender
from .configuration import ConfigurationAccess
from .header import CompletionStatus, ConfigurationTail, RequestHead, TlpType, swap_dwords
from .image import Image
from .layouts import ErrorReport, LinkState
from .requests import Entry, Target
from .window import WindowResolver

__all__ = ["NonpostedExecutor"]


class NonpostedExecutor(wiring.Component):
    """Reads of registers, and configuration requests (2.3.1).

    A request waits until all posted requests that came before it have been executed; posted
    requests that come later pass it at any time. A read of one eight-byte word is answered
    11 cycles after it has reached the head of the queue, and what the engine takes.

    ====================================================  ====================================
    Request                                               Answer
    ====================================================  ====================================
    memory read of at most three doublewords, which       data, or Completer Abort if the
    is what eight bytes anywhere take                     engine says so
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
    access : Out(stream of ConfigurationAccess), access_data : In(32)
        Accesses to configuration space; ``access_data`` is what was read, with the transfer.
    error : Out(ErrorReport)
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
                "error": Out(ErrorReport),
                "link": Out(LinkState),
                "o": Out(PacketStream),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.sender = sender = AnswerSender()
        m.submodules.window = window = WindowResolver(self._images)
        head, payload = Signal(RequestHead), Signal(32)
        address, number = Signal(32), Signal(6)
        target = Signal(Target)
        has_data = head.common.fmt[1]
        length, high = head.common.length, address[2]
        configuration = ConfigurationTail(address)
        is_memory = head.common.type == TlpType.MEMORY
        is_configuration = head.common.type == TlpType.CONFIGURATION_0
        function, known = Signal(3), Signal()
        m.d.comb += [
            function.eq(Mux(is_configuration, configuration.target.function, target.function)),
            known.eq(Mux(is_configuration, function < len(self._images), target.hit)),
        ]
        data_at = Array(
            Const(image.window.data if image.window else 0, 6) for image in self._images
        )
        windowed = Signal()
        m.d.comb += windowed.eq(
            is_configuration
            & (configuration.register == data_at[function])
            & (data_at[function] != 0)
        )

        # The answer, and what it cannot be.
        status, count, byte_count = Signal(CompletionStatus), Signal(2), Signal(12)
        refused = status == CompletionStatus.UNSUPPORTED_REQUEST
        aborted = status == CompletionStatus.COMPLETER_ABORT
        bytes_wanted, lower = self._extent(head, address)
        poisoned = head.common.poisoned & has_data
        data = Signal(sender.i.payload.data.shape())
        m.d.comb += [
            sender.i.payload.request.eq(head),
            sender.i.payload.function.eq(function),
            sender.i.payload.status.eq(status),
            sender.i.payload.count.eq(count),
            sender.i.payload.byte_count.eq(byte_count),
            sender.i.payload.lower_address.eq(Mux(is_memory, lower, 0)),
            sender.i.payload.data.eq(data),
            sender.link.eq(self.link),
            self.error.function.eq(function),
            self.error.all.eq(~known),
        ]
        connect(m, sender.o, flipped(self.o))

        # Doublewords enter at the top, and have moved down when all places are filled.
        push, pushed = Signal(), Signal(32)
        filled = Signal(2)
        with m.If(push):
            m.d.sync += [
                data[0].eq(data[1]),
                data[1].eq(data[2]),
                data[2].eq(pushed),
                filled.eq(filled + 1),
            ]
        complete = Signal()
        m.d.comb += complete.eq(filled + 1 == count)

        word = Signal()  # the second word is at hand
        enables, second_word = self._span(m, head, high)
        self._drive_accesses(
            m, window, head, function, configuration, windowed, target, address, word, enables,
            payload,
        )  # fmt: skip
        shift = Signal(2)
        abort = [status.eq(CompletionStatus.COMPLETER_ABORT), count.eq(0)]
        with m.FSM():
            with m.State("EMPTY"):
                m.d.comb += [self.want.eq(self.available), self.read.eq(self.grant)]
                with m.If(self.grant):
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += self.read.eq(1)
                m.d.sync += [head.eq(swap_dwords(self.entry.data)), target.eq(self.entry.note)]
                m.next = "SECOND"
            with m.State("SECOND"):
                four = head.common.fmt[0]
                tail = swap_dwords(self.entry.data)
                m.d.comb += [
                    self.done.eq(1),
                    self.data_credits.eq(Mux(has_data, (length[:4] + 3) >> 2, 0)),
                ]
                m.d.sync += [
                    address.eq(Mux(four, tail[32:], tail[:32])),
                    payload.eq(self.entry.data[32:]),
                    number.eq(self.entry.note),
                ]
                m.next = "DISPATCH"
            with m.State("DISPATCH"):
                behind = (self.executed - number)[:6]
                m.d.sync += [
                    status.eq(CompletionStatus.UNSUPPORTED_REQUEST),
                    count.eq(0),
                    byte_count.eq(Mux(is_memory, bytes_wanted, 4)),
                    word.eq(0),
                    data.eq(0),
                    filled.eq(0),
                ]
                with m.If(~behind[5]):
                    m.next = "REPORT"
                    with m.If(is_memory & known):
                        m.d.sync += status.eq(CompletionStatus.COMPLETER_ABORT)
                        with m.If((length[2:] == 0) & (length[:2] != 0)):
                            m.d.sync += [
                                status.eq(CompletionStatus.SUCCESSFUL),
                                count.eq(length),
                            ]
                            m.next = "READ"
                    with m.Elif(is_configuration & known):
                        with m.If(~self.ready.bit_select(function, 1)):
                            m.d.sync += status.eq(CompletionStatus.CONFIGURATION_RETRY)
                        with m.Elif(~poisoned):
                            m.d.sync += [
                                status.eq(CompletionStatus.SUCCESSFUL),
                                count.eq(~has_data),
                            ]
                            with m.If(has_data):
                                m.d.sync += [
                                    self.link.bus.eq(configuration.target.bus),
                                    self.link.device.eq(configuration.target.device),
                                ]
                            m.next = "PAD"
                            with m.If(windowed):
                                m.d.comb += window.start.eq(1)
                                m.next = "WINDOW"
                            with m.Elif(configuration.register[6:] == 0):
                                m.next = "ACCESS"
            with m.State("READ"):
                m.d.comb += self.request.valid.eq(self.request.payload.mask != 0)
                with m.If(~self.request.valid):
                    m.next = "PAD"
                with m.Elif(self.request.ready):
                    m.next = "PAD"
                    with m.If(~self.request.payload.write):
                        m.next = "LOW"
            with m.State("LOW"):
                above = Mux(windowed, window.offset[2], high & ~word)
                m.d.comb += [
                    push.eq(self.reply.valid),
                    pushed.eq(
                        Mux(above, self.reply.payload.data[32:], self.reply.payload.data[:32])
                    ),
                    self.reply.ready.eq(complete | above | self.reply.payload.error),
                ]
                with m.If(self.reply.valid):
                    with m.If(self.reply.payload.error):
                        m.d.sync += abort
                        m.next = "REPORT"
                    with m.Elif(complete):
                        m.next = "PAD"
                    with m.Elif(above):
                        m.d.sync += word.eq(1)
                        m.next = "READ"
                    with m.Else():
                        m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [
                    push.eq(1),
                    pushed.eq(self.reply.payload.data[32:]),
                    self.reply.ready.eq(1),
                ]
                m.d.sync += word.eq(1)
                m.next = "PAD"
                with m.If(second_word & ~word):
                    m.next = "READ"
            with m.State("ACCESS"):
                m.d.comb += self.access.valid.eq(1)
                m.d.comb += [push.eq(self.access.ready), pushed.eq(self.access_data)]
                with m.If(self.access.ready):
                    m.next = "PAD"
            with m.State("WINDOW"):
                m.d.comb += self.access.valid.eq(window.access.valid)
                with m.If(window.done):
                    m.next = "PAD"
                    with m.If(window.sensible):
                        m.next = "READ"
            with m.State("PAD"):
                m.d.comb += push.eq(filled != 3)
                m.d.sync += shift.eq(window.offset)
                with m.If(filled == 3):
                    m.next = "ANSWER"
                    with m.If(windowed):
                        m.next = "SHIFT"
            with m.State("SHIFT"):
                m.d.sync += shift.eq(shift - 1)
                with m.If(shift == 0):
                    m.next = "ANSWER"
                with m.Else():
                    m.d.sync += data[0].eq(data[0] >> 8)
            with m.State("REPORT"):
                m.d.comb += [
                    self.error.errors.advisory_unsupported.eq(refused),
                    self.error.errors.advisory_abort.eq(aborted),
                    self.error.errors.advisory_poisoned.eq(refused & poisoned),
                ]
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += sender.i.valid.eq(1)
                with m.If(sender.i.ready):
                    m.next = "EMPTY"
        return m

    def _drive_accesses(
        self, m, window, head, function, configuration, windowed, target, address, word, enables,
        payload,
    ) -> None:  # fmt: skip
        """Say what is accessed, in configuration space and in the registers."""
        has_data = head.common.fmt[1]
        request, access = self.request.payload, self.access.payload
        m.d.comb += [
            request.function.eq(function),
            request.write.eq(has_data),
            access.function.eq(function),
            access.data.eq(payload),
            access.enables.eq(head.first_enables),
            window.function.eq(function),
            window.access_data.eq(self.access_data),
            window.access.ready.eq(self.access.ready),
        ]
        with m.If(windowed):
            byte, half = payload[:8], payload[:16]
            m.d.comb += [
                access.register.eq(window.access.payload.register),
                request.bar.eq(window.bar),
                request.address.eq(window.offset),
                request.mask.eq(window.mask),
                request.data.eq(
                    Cat(
                        byte,
                        Mux(window.wide[0], half[8:], byte),
                        Mux(window.wide[1], payload[16:24], byte),
                        Mux(window.wide[1], payload[24:], Mux(window.wide[0], half[8:], byte)),
                    ).replicate(2)
                ),
            ]
        with m.Else():
            # A request stays within its page, so that no more than 9 bits need to count.
            m.d.comb += [
                access.register.eq(configuration.register),
                access.write.eq(has_data),
                request.bar.eq(target.bar << 1),
                request.address.eq(Cat(Const(0, 3), (address[3:12] + word)[:9], address[12:])),
                request.mask.eq(Mux(word, enables[8:], enables[:8])),
            ]

    @staticmethod
    def _span(m, head, high) -> tuple[Value, Value]:
        """Byte enables of the two aligned words that a short read covers; is there a second?"""
        left = Signal(3)  # doublewords, counting the hole before the first
        m.d.comb += left.eq(head.common.length[:2] + high)
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

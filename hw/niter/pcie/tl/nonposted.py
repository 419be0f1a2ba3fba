"""Executes non-posted requests, one at a time, and answers them."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, PacketStream, RegisterReply, RegisterRequest

from .answer import AnswerSender
from .answer_words import AnswerWords
from .configuration import ConfigurationAccess
from .extent import ReadExtent
from .fetch import NonpostedRequest
from .header import CompletionStatus, ConfigurationTail, TlpType
from .image import Image
from .layouts import ErrorReport, LinkState
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
    i : In(stream of NonpostedRequest)
        Requests; accepted when they have been answered.
    executed : In(6)
        Posted requests executed so far.
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
                "i": In(stream.Signature(NonpostedRequest)),
                "executed": In(6),
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
        m.submodules.extent = extent = ReadExtent()
        m.submodules.window = window = WindowResolver(self._images)
        m.submodules.words = words = AnswerWords()
        request = self.i.payload
        head, target, address = request.head, request.target, request.address
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
        poisoned = head.common.poisoned & has_data
        m.d.comb += [
            sender.i.payload.request.eq(head),
            sender.i.payload.function.eq(function),
            sender.i.payload.status.eq(status),
            sender.i.payload.count.eq(count),
            sender.i.payload.byte_count.eq(byte_count),
            sender.i.payload.lower_address.eq(Mux(is_memory, extent.lower_address, 0)),
            sender.i.payload.data.eq(words.data),
            sender.link.eq(self.link),
            self.error.function.eq(function),
            self.error.all.eq(~known),
        ]
        connect(m, sender.o, flipped(self.o))

        push, filled = words.push, words.filled
        m.d.comb += [words.reply.eq(self.reply.payload.data), words.access.eq(self.access_data)]
        complete = Signal()
        m.d.comb += complete.eq(filled + 1 == count)

        word = Signal()  # the second word is at hand
        m.d.comb += [extent.head.eq(head), extent.address.eq(address)]
        self._drive_accesses(m, window, head, function, windowed, target, address, word, extent)
        m.d.comb += [self.access.payload.data.eq(request.payload), window.value.eq(request.payload)]
        shift = Signal(2)
        abort = [status.eq(CompletionStatus.COMPLETER_ABORT), count.eq(0)]
        with m.FSM():
            with m.State("DISPATCH"):
                behind = (self.executed - request.number)[:6]
                m.d.sync += [
                    status.eq(CompletionStatus.UNSUPPORTED_REQUEST),
                    count.eq(0),
                    byte_count.eq(Mux(is_memory, extent.byte_count, 4)),
                    word.eq(0),
                ]
                m.d.comb += words.clear.eq(1)
                with m.If(self.i.valid & ~behind[5]):
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
                    words.take_high.eq(above),
                    words.take_low.eq(~above),
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
                    words.take_high.eq(1),
                    self.reply.ready.eq(1),
                ]
                m.d.sync += word.eq(1)
                m.next = "PAD"
                with m.If(extent.second & ~word):
                    m.next = "READ"
            with m.State("ACCESS"):
                m.d.comb += self.access.valid.eq(1)
                m.d.comb += [push.eq(self.access.ready), words.take_access.eq(1)]
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
                with m.If(filled[1]):  # and the last place is being filled, if it was not
                    m.next = "ANSWER"
                    with m.If(windowed):
                        m.next = "SHIFT"
            with m.State("SHIFT"):
                m.d.sync += shift.eq(shift - 1)
                with m.If(shift == 0):
                    m.next = "ANSWER"
                with m.Else():
                    m.d.comb += words.drop.eq(1)
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
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "DISPATCH"
        return m

    def _drive_accesses(
        self, m, window, head, function, windowed, target, address, word, extent
    ) -> None:
        """Say what is accessed, in configuration space and in the registers."""
        has_data = head.common.fmt[1]
        request, access = self.request.payload, self.access.payload
        m.d.comb += [
            request.function.eq(function),
            request.write.eq(has_data),
            request.data.eq(window.lanes),
            access.function.eq(function),
            access.enables.eq(head.first_enables),
            window.function.eq(function),
            window.access_data.eq(self.access_data),
            window.access.ready.eq(self.access.ready),
        ]
        with m.If(windowed):
            m.d.comb += [
                access.register.eq(window.access.payload.register),
                request.bar.eq(window.bar),
                request.address.eq(window.offset),
                request.mask.eq(window.mask),
            ]
        with m.Else():
            # A request stays within its page, so that no more than 9 bits need to count.
            m.d.comb += [
                access.register.eq(ConfigurationTail(address).register),
                access.write.eq(has_data),
                request.bar.eq(target.bar << 1),
                request.address.eq(Cat(Const(0, 3), (address[3:12] + word)[:9], address[12:])),
                request.mask.eq(Mux(word, extent.enables[8:], extent.enables[:8])),
            ]

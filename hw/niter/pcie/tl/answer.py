"""Builds the completions of requests that we have received."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream

from .choice import register_one_of
from .header import (
    CompletionHead,
    CompletionStatus,
    CompletionTail,
    Identifier,
    RequestHead,
    TlpFormat,
    TlpType,
    swap_dwords,
)
from .layouts import LinkState

__all__ = ["Answer", "AnswerSender"]


class Answer(data.Struct):
    """What a completion says.

    Members
    -------
    request : RequestHead
        The request's first two doublewords, of which the completion repeats some fields.
    function : 3 bits
        The completer.
    status : CompletionStatus
    count : 2 bits
        Doublewords of data, 0 to 3.
    byte_count, lower_address
        As table 2-39 and figure 2-34 have them.
    data : 3 doublewords
        In the order of bytes on the link.
    """

    request: RequestHead
    function: 3
    status: CompletionStatus
    count: 2
    byte_count: 12
    lower_address: 7
    data: data.ArrayLayout(32, 3)


class AnswerSender(wiring.Component):
    """A completion of up to three doublewords, in 2 or 3 cycles; latency 1 cycle.

    Members
    -------
    i : In(stream of Answer)
        Accepted when the completion's last beat goes into the output register.
    link : In(LinkState)
        Our completer ID.
    o : Out(PacketStream)
        The completion.
    """

    i: In(stream.Signature(Answer))
    link: In(LinkState)
    o: Out(PacketStream)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        answer = self.i.payload
        request = answer.request.common
        head, tail = Signal(CompletionHead), Signal(CompletionTail)
        completer = Signal(Identifier)
        m.d.comb += [
            completer.function.eq(answer.function),
            completer.device.eq(self.link.device),
            completer.bus.eq(self.link.bus),
            head.common.fmt.eq(Mux(answer.count != 0, TlpFormat.THREE_DATA, TlpFormat.THREE)),
            head.common.type.eq(
                Mux(
                    request.type == TlpType.MEMORY_LOCKED,
                    TlpType.COMPLETION_LOCKED,
                    TlpType.COMPLETION,
                )
            ),
            head.common.length.eq(answer.count),
            head.common.attributes.eq(request.attributes),
            head.common.id_ordering.eq(request.id_ordering),
            head.common.traffic_class.eq(request.traffic_class),
            head.common.tag_8.eq(request.tag_8),
            head.common.tag_9.eq(request.tag_9),
            head.byte_count.eq(answer.byte_count),
            head.status.eq(answer.status),
            head.completer.eq(completer),
            tail.lower_address.eq(answer.lower_address),
            tail.tag.eq(answer.request.tag),
            tail.requester.eq(answer.request.requester),
        ]
        # The beat to come, and the one in the register.
        position, final = Signal(2), Signal()
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            final.eq((position == 2) | ((position == 1) & (answer.count <= 1))),
            self.i.ready.eq(free & final),
            self.o.payload.data.eq(
                register_one_of(
                    m,
                    "beat",
                    free,
                    (
                        (position == 0, swap_dwords(head)),
                        (position == 1, Cat(swap_dwords(tail), answer.data[0])),
                        (position == 2, Cat(answer.data[1], answer.data[2])),
                    ),
                )
            ),
        ]
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                self.o.payload.last.eq(final),
                self.o.payload.empty[2].eq(final & ~answer.count[0]),
            ]
            with m.If(self.i.valid):
                m.d.sync += position.eq(Mux(final, 0, position + 1))
        return m

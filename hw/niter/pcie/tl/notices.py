"""Builds the posted TLPs that are not DMA: interrupts' writes, and messages."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream

from .header import MessageCode, MessageHead, TlpFormat, TlpType, swap_dwords
from .layouts import LinkState
from .msix import Notice

__all__ = ["NoticeSender"]


class NoticeSender(wiring.Component):
    """Sends interrupts and messages. 3 or 4 cycles for each.

    An error message that is still waiting stands for all of its severity that come meanwhile:
    the registers of each function say the rest. Messages go before interrupts.

    Members
    -------
    i : In(stream of Notice)
        Interrupts; accepted when their last beat is.
    nonfatal, fatal : In(1), function : In(3), acknowledge : In(1)
        Strobes: send ERR_NONFATAL or ERR_FATAL for this function, send PME_TO_Ack.
    link : In(LinkState)
        Whose requester ID we are.
    silent : In(MAX_FUNCTIONS)
        Functions in reset: their interrupts are dropped.
    clear : In(1)
        Forget the messages that wait: the link is down.
    o : Out(PacketStream)
        Posted TLPs.
    """

    i: In(stream.Signature(Notice))
    nonfatal: In(1)
    fatal: In(1)
    function: In(3)
    acknowledge: In(1)
    link: In(LinkState)
    silent: In(MAX_FUNCTIONS)
    clear: In(1)
    o: Out(PacketStream)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        waiting = {name: Signal(name=name) for name in ("acknowledge", "fatal", "nonfatal")}
        codes = (MessageCode.PME_TO_ACK, MessageCode.ERR_FATAL, MessageCode.ERR_NONFATAL)
        is_message, acknowledges = Signal(), Signal()
        code, function = Signal(MessageCode), Signal(3)
        error_function = Signal(3)  # of the latest error
        four = Signal()
        interrupt = self.i.payload
        low, high = interrupt.address[:32], interrupt.address[32:]
        head = Signal(MessageHead)
        m.d.comb += [
            four.eq(is_message | high.any()),
            head.requester.function.eq(function),
            head.requester.device.eq(self.link.device),
            head.requester.bus.eq(self.link.bus),
        ]
        with m.If(is_message):
            m.d.comb += [
                head.common.fmt.eq(TlpFormat.FOUR),
                head.common.type.eq(
                    Mux(acknowledges, TlpType.MESSAGE_GATHERED, TlpType.MESSAGE_TO_ROOT)
                ),
                head.code.eq(code),
            ]
        with m.Else():
            # First byte enables of a request stand where a message has its code.
            m.d.comb += [
                head.common.fmt.eq(Mux(four, TlpFormat.FOUR_DATA, TlpFormat.THREE_DATA)),
                head.common.type.eq(TlpType.MEMORY),
                head.common.length.eq(1),
                head.code.eq(0x0F),
            ]
        # What the beat is, one bit each: that is smaller than a multiplexer.
        at_head, at_long, at_short, at_data = (
            Signal(name=f"at_{name}") for name in ("head", "long", "short", "data")
        )
        choices = (
            (at_head, swap_dwords(head)),
            (at_long, swap_dwords(Cat(high, low))),
            (at_short, Cat(swap_dwords(low), interrupt.data)),
            (at_data, interrupt.data),
        )
        m.d.comb += self.o.payload.data.eq(
            reduce(or_, (gate.replicate(64) & value for gate, value in choices))
        )
        with m.FSM():
            with m.State("IDLE"):
                silent = self.silent.bit_select(interrupt.function, 1)
                m.d.sync += [is_message.eq(1), acknowledges.eq(waiting["acknowledge"])]
                for position, (signal, value) in enumerate(
                    zip(waiting.values(), codes, strict=True)
                ):
                    with m.If(signal) if position == 0 else m.Elif(signal):
                        m.d.sync += [code.eq(value), signal.eq(0), function.eq(error_function)]
                        m.d.sync += at_head.eq(1)
                        m.next = "HEAD"
                with m.Elif(self.i.valid):
                    m.d.comb += self.i.ready.eq(silent)
                    m.d.sync += [is_message.eq(0), function.eq(interrupt.function)]
                    with m.If(~silent):
                        m.d.sync += at_head.eq(1)
                        m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [
                        at_head.eq(0),
                        at_long.eq(~is_message & four),
                        at_short.eq(~four),
                    ]
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.last.eq(~at_long)]
                with m.If(self.o.ready):
                    m.d.comb += self.i.ready.eq(at_short)
                    m.d.sync += [at_long.eq(0), at_short.eq(0), at_data.eq(at_long)]
                    m.next = "IDLE"
                    with m.If(at_long):
                        m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.last.eq(1),
                    self.o.payload.empty.eq(4),
                ]
                with m.If(self.o.ready):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += at_data.eq(0)
                    m.next = "IDLE"
        for name, signal in waiting.items():
            with m.If(getattr(self, name)):
                m.d.sync += signal.eq(1)
            with m.If(self.clear):
                m.d.sync += signal.eq(0)
        with m.If(self.nonfatal | self.fatal):
            m.d.sync += error_function.eq(self.function)
        return m

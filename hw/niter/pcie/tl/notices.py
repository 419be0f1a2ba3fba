"""Builds the posted TLPs that are not DMA: interrupts' writes, and messages."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream

from .choice import register_one_of
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
        error_function = Signal(3)  # of the latest error
        interrupt = self.i.payload
        low, high = swap_dwords(interrupt.address[:32]), swap_dwords(interrupt.address[32:])
        head = Signal(MessageHead)

        # What is to be sent: in the cycle in which it is begun, and after it.
        begins, is_message, was_message = Signal(), Signal(), Signal()
        four = Signal()
        m.d.comb += [
            is_message.eq(Cat(waiting.values()).any()),
            four.eq(interrupt.address[32:].any()),
            head.requester.device.eq(self.link.device),
            head.requester.bus.eq(self.link.bus),
        ]
        with m.If(is_message):
            m.d.comb += [
                head.requester.function.eq(error_function),
                head.common.fmt.eq(TlpFormat.FOUR),
                head.common.type.eq(
                    Mux(
                        waiting["acknowledge"],
                        TlpType.MESSAGE_GATHERED,
                        TlpType.MESSAGE_TO_ROOT,
                    )
                ),
            ]
        with m.Else():
            # First byte enables of a request stand where a message has its code.
            m.d.comb += [
                head.requester.function.eq(interrupt.function),
                head.common.fmt.eq(Mux(four, TlpFormat.FOUR_DATA, TlpFormat.THREE_DATA)),
                head.common.type.eq(TlpType.MEMORY),
                head.common.length.eq(1),
                head.code.eq(0x0F),
            ]
        for signal, value in reversed(list(zip(waiting.values(), codes, strict=True))):
            with m.If(signal):
                m.d.comb += head.code.eq(value)

        # The two low doublewords of a message are zero.
        moves, at_short, at_long, at_data = (
            Signal(name=name) for name in ("moves", "at_short", "at_long", "at_data")
        )
        m.d.comb += self.o.payload.data.eq(
            register_one_of(
                m,
                "beat",
                moves,
                (
                    (begins, swap_dwords(head)),
                    (at_long, Cat(high, low)),
                    (at_short, Cat(low, interrupt.data)),
                    (at_data, interrupt.data),
                ),
            )
        )
        with m.FSM():
            with m.State("IDLE"):
                silent = self.silent.bit_select(interrupt.function, 1)
                m.d.comb += [
                    begins.eq(is_message | (self.i.valid & ~silent)),
                    moves.eq(1),
                    self.i.ready.eq(~is_message & silent),
                ]
                m.d.sync += was_message.eq(is_message)
                for position, signal in enumerate(waiting.values()):
                    with m.If(signal) if position == 0 else m.Elif(signal):
                        m.d.sync += signal.eq(0)
                with m.If(begins):
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    moves.eq(self.o.ready),
                    at_long.eq(~was_message & four),
                    at_short.eq(~was_message & ~four),
                ]
                with m.If(self.o.ready):
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                more = Signal()
                m.d.comb += [
                    more.eq(~was_message & four),
                    self.o.valid.eq(1),
                    self.o.payload.last.eq(~more),
                    moves.eq(self.o.ready),
                    at_data.eq(more),
                ]
                with m.If(self.o.ready):
                    m.d.comb += self.i.ready.eq(~was_message & ~four)
                    m.next = "IDLE"
                    with m.If(more):
                        m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.last.eq(1),
                    self.o.payload.empty.eq(4),
                    self.i.ready.eq(self.o.ready),
                ]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        for name, signal in waiting.items():
            with m.If(getattr(self, name)):
                m.d.sync += signal.eq(1)
            with m.If(self.clear):
                m.d.sync += signal.eq(0)
        with m.If(self.nonfatal | self.fatal):
            m.d.sync += error_function.eq(self.function)
        return m

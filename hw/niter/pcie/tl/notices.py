"""Builds the posted TLPs that are not DMA: interrupts' writes, and messages."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream

from .header import MessageCode, MessageHead, TlpFormat, TlpType, swap_dwords
from .layouts import LinkState
from .msix import Notice

__all__ = ["NoticeSender"]


class NoticeSender(wiring.Component):
    """Sends interrupts and messages. 2 or 3 cycles for each, latency 1.

    Error messages of one function and severity that wait together become one; so do
    acknowledgements of PME_Turn_Off. Messages go before interrupts.

    Members
    -------
    i : In(stream of Notice)
        Interrupts.
    nonfatal, fatal : In(MAX_FUNCTIONS), acknowledge : In(1)
        Strobes: send ERR_NONFATAL or ERR_FATAL for this function, send PME_TO_Ack.
    link : In(LinkState)
        Whose requester ID we are.
    silent : In(MAX_FUNCTIONS)
        Functions in reset: their interrupts are dropped.
    clear : In(1)
        Forget all that waits: the link is down.
    o : Out(PacketStream)
        Posted TLPs.
    """

    i: In(stream.Signature(Notice))
    nonfatal: In(MAX_FUNCTIONS)
    fatal: In(MAX_FUNCTIONS)
    acknowledge: In(1)
    link: In(LinkState)
    silent: In(MAX_FUNCTIONS)
    clear: In(1)
    o: Out(PacketStream)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        nonfatal, fatal = Signal(MAX_FUNCTIONS), Signal(MAX_FUNCTIONS)
        acknowledge = Signal()
        waiting = Signal()
        code, function = Signal(MessageCode), Signal(3)
        served = Signal()
        severe = fatal.any()
        m.d.comb += [
            waiting.eq(acknowledge | severe | nonfatal.any()),
            code.eq(
                Mux(
                    acknowledge,
                    MessageCode.PME_TO_ACK,
                    Mux(severe, MessageCode.ERR_FATAL, MessageCode.ERR_NONFATAL),
                )
            ),
        ]
        for number in reversed(range(MAX_FUNCTIONS)):
            with m.If(Mux(severe, fatal[number], nonfatal[number])):
                m.d.comb += function.eq(number)
        with m.If(acknowledge):
            m.d.comb += function.eq(0)
        m.d.sync += [
            nonfatal.eq(nonfatal | self.nonfatal),
            fatal.eq(fatal | self.fatal),
            acknowledge.eq(acknowledge | self.acknowledge),
        ]
        with m.If(served):
            with m.If(acknowledge):
                m.d.sync += acknowledge.eq(self.acknowledge)
            with m.Elif(severe):
                m.d.sync += fatal.eq((fatal & ~(1 << function)) | self.fatal)
            with m.Else():
                m.d.sync += nonfatal.eq((nonfatal & ~(1 << function)) | self.nonfatal)
        with m.If(self.clear):
            m.d.sync += [nonfatal.eq(0), fatal.eq(0), acknowledge.eq(0)]

        notice = Signal(Notice)
        head = Signal(MessageHead)
        four = Signal()
        m.d.comb += [
            four.eq(notice.message | notice.address[32:].any()),
            head.common.fmt.eq(
                Mux(
                    notice.message,
                    TlpFormat.FOUR,
                    Mux(four, TlpFormat.FOUR_DATA, TlpFormat.THREE_DATA),
                )
            ),
            head.common.length.eq(~notice.message),
            head.requester.function.eq(notice.function),
            head.requester.device.eq(self.link.device),
            head.requester.bus.eq(self.link.bus),
        ]
        with m.If(notice.message):
            acknowledged = notice.code == MessageCode.PME_TO_ACK
            m.d.comb += [
                head.common.type.eq(
                    Mux(acknowledged, TlpType.MESSAGE_GATHERED, TlpType.MESSAGE_TO_ROOT)
                ),
                head.code.eq(notice.code),
            ]
        with m.Else():
            # First byte enables of a request stand where a message has its code.
            m.d.comb += [head.common.type.eq(TlpType.MEMORY), head.code.eq(0x0F)]
        low, high = notice.address[:32], notice.address[32:]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i.ready.eq(~waiting), served.eq(waiting)]
                m.d.sync += notice.eq(self.i.payload)
                with m.If(waiting):
                    m.d.sync += [
                        notice.eq(0),
                        notice.message.eq(1),
                        notice.code.eq(code),
                        notice.function.eq(function),
                    ]
                silent = self.silent.bit_select(self.i.payload.function, 1)
                with m.If(waiting | (self.i.valid & ~silent)):
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(swap_dwords(head)),
                ]
                with m.If(self.o.ready):
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(
                        Mux(four, swap_dwords(Cat(high, low)), Cat(swap_dwords(low), notice.data))
                    ),
                    self.o.payload.last.eq(notice.message | ~four),
                ]
                with m.If(self.o.ready):
                    m.next = "IDLE"
                    with m.If(~self.o.payload.last):
                        m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(notice.data),
                    self.o.payload.last.eq(1),
                    self.o.payload.empty.eq(4),
                ]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m

"""Register requests of the drivers, taken apart by structure."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, RegisterReply, RegisterRequest
from niter.virtio.queue.layouts import Notification

from .layouts import CommonAccess
from .registers import COMMON, DEVICE, ISR, NOTIFY, VIRTIO_BAR

__all__ = ["RegisterAccess"]


class RegisterAccess(wiring.Component):
    """Executes register requests one at a time, 32 bits at a time (virtio 1.2, 4.1.4).

    A read is answered after 5 to 16 cycles, a write takes 4 to 18, a doorbell 4. What is not
    a register reads as zero, and writing there does nothing.

    Parameters
    ----------
    queues
        Doorbells that each function has.

    Members
    -------
    request, reply
        The streams of a ``FunctionPort``. A read waits until the reply before it was taken.
    common : Out(CommonAccess)
        Access to the common and the device-specific configuration structure.
    changed : In(8)
        Device-specific configuration of a function has changed.
    doorbell : Out(stream.Signature(Notification))
        Doorbells of functions that are ready.
    isr_read : Out(8)
        The ISR status of a function was read.
    indexed : In(8)
        Functions whose doorbells carry an index: NOTIFICATION_DATA was negotiated.
    ready, isr : In(8)
        State of each function; see ``Lifecycle``.
    """

    request: In(stream.Signature(RegisterRequest))
    reply: Out(stream.Signature(RegisterReply))
    common: Out(CommonAccess)
    changed: In(MAX_FUNCTIONS)
    doorbell: Out(stream.Signature(Notification))
    isr_read: Out(MAX_FUNCTIONS)
    indexed: In(MAX_FUNCTIONS)
    ready: In(MAX_FUNCTIONS)
    isr: In(MAX_FUNCTIONS)

    def __init__(self, queues: int):
        self.queues = queues
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        request, reply = self.request.payload, self.reply.payload
        # Kept here, since the request itself is held where it has come from, which may be far.
        function = Signal.like(request.function)
        write = Signal()
        index = Signal(3)
        window = Signal(14)
        high = Signal()
        word = self.common.word
        #: What has changed since the function's structure was last read.
        stale, seen = Signal(MAX_FUNCTIONS), Signal(MAX_FUNCTIONS)
        m.d.sync += stale.eq(stale & ~seen | self.changed)
        m.d.comb += [
            word.eq(Cat(high, index)),
            self.common.function.eq(function),
            self.common.write.eq(write),
            self.common.device.eq(window == DEVICE.offset),
            self.common.touch.eq(self.common.device & stale.bit_select(function, 1)),
            self.doorbell.payload.queue.function.eq(function),
            self.doorbell.payload.queue.index.eq(word),
            self.doorbell.payload.index.eq(self.common.value[16:]),
            self.doorbell.payload.has_index.eq(
                self.indexed.bit_select(function, 1) & self.common.lanes[2:].all()
            ),
        ]

        # Both halves of a reply are zero before it, so that one that is not wanted is.
        answer = Signal(32)
        answered, clear = Signal(), Signal()
        with m.If((answered & ~high) | clear):
            m.d.sync += reply.data[:32].eq(answer)
        with m.If((answered & high) | clear):
            m.d.sync += reply.data[32:].eq(answer)
        with m.If(self.reply.ready):
            m.d.sync += self.reply.valid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [
                    function.eq(request.function),
                    write.eq(request.write),
                    index.eq(request.address[3:6]),
                    window[6:].eq(request.address[6:]),
                    high.eq(~request.mask[:4].any()),
                ]
                m.d.comb += clear.eq(~self.reply.valid)
                with m.If(self.request.valid & (request.write | ~self.reply.valid)):
                    m.next = "DECODE"

            with m.State("DECODE"):
                m.d.sync += [
                    self.common.value.eq(request.data.word_select(high, 32)),
                    self.common.lanes.eq(request.mask.word_select(high, 4)),
                ]
                m.next = "NEXT"
                with m.If(request.bar == VIRTIO_BAR), m.Switch(window):
                    with m.Case(COMMON.offset):
                        m.next = "COMMON"
                    with m.Case(NOTIFY.offset):
                        doorbell = write & (word < self.queues)
                        with m.If(doorbell & self.ready.bit_select(function, 1)):
                            m.next = "RING"
                    with m.Case(ISR.offset), m.If(~write & (word == 0)):
                        m.next = "ISR"
                    with m.Case(DEVICE.offset), m.If(~write):
                        m.next = "COMMON"

            with m.State("COMMON"):
                # config_generation moves when what has changed is read (4.1.4.3.1).
                m.d.comb += [
                    self.common.start.eq(1),
                    seen.bit_select(function, 1).eq(self.common.device),
                ]
                m.next = "WAIT"
            with m.State("WAIT"), m.If(self.common.done):
                m.d.comb += [answer.eq(self.common.answer), answered.eq(~write)]
                m.next = "NEXT"

            with m.State("RING"):
                m.d.comb += self.doorbell.valid.eq(1)
                with m.If(self.doorbell.ready):
                    m.next = "NEXT"

            with m.State("ISR"):
                # Queues raise no interrupt but by MSI-X, so bit 0 is never set (4.1.4.5).
                m.d.comb += [
                    answer[1].eq(self.isr.bit_select(function, 1)),
                    answered.eq(1),
                    self.isr_read.bit_select(function, 1).eq(self.common.lanes[0]),
                ]
                m.next = "NEXT"

            with m.State("NEXT"):
                m.d.sync += high.eq(1)
                with m.If(~high & request.mask[4:].any()):
                    m.next = "DECODE"
                with m.Else():
                    m.d.comb += self.request.ready.eq(1)
                    with m.If(~write):
                        m.d.sync += self.reply.valid.eq(1)
                    m.next = "IDLE"
        return m

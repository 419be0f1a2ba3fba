"""Register requests of the hosts' drivers: the controllers' registers and doorbells."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, RegisterReply, RegisterRequest
from niter.stream import Ram

from .layouts import Doorbell, Geometry
from .registers import (
    BAR,
    DOORBELLS,
    REGISTER_WORDS,
    WRITABLE,
    Configuration,
    Register,
    Status,
    constants,
)

__all__ = ["RegisterAccess", "RegisterPort"]

#: The steward's way to the registers, in cycles in which ``grant`` is high. What is read stands
#: there one cycle later; ``clear`` writes zero.
RegisterPort = wiring.Signature(
    {
        "function": Out(3),
        "word": Out(5),
        "clear": Out(1),
        "grant": In(1),
        "data": In(32),
    }
)


class RegisterAccess(wiring.Component):
    """Executes register requests one at a time, 32 bits at a time.

    A read is answered after 4 to 6 cycles, a write takes 3 to 5, a doorbell 3 and what the
    queues need, some 15 at most. Any width and alignment is served; a doorbell counts when its
    two lower bytes are written.

    A host that has taken a completion rings for that, and at once for its next command: the
    completion queue's doorbell is kept beside, and the other does not wait. Registers do.

    Parameters
    ----------
    geometry
        Size of the front.
    entries
        Largest queue.

    Members
    -------
    request, reply
        The streams of a ``FunctionPort``. A read waits until the reply before it was taken.
    submission, completion : Out(stream.Signature(Doorbell))
        Doorbells of identifiers that exist.
    invalid : Out(8)
        A doorbell was written that no queue has.
    status : In(Status), an array
        CSTS of each function.
    enable : Out(8)
        CC.EN.
    disabled, shutdown : Out(8)
        Pulses: CC.EN was cleared; a shutdown was asked for.
    fresh : In(8)
        CC is cleared with all other registers: the function is being reset.
    port : In(RegisterPort)
    """

    def __init__(self, geometry: Geometry, entries: int):
        self.geometry = geometry
        self.entries = entries
        super().__init__(
            {
                "request": In(stream.Signature(RegisterRequest)),
                "reply": Out(stream.Signature(RegisterReply)),
                "submission": Out(stream.Signature(Doorbell)),
                "completion": Out(stream.Signature(Doorbell)),
                "invalid": Out(MAX_FUNCTIONS),
                "status": In(Status).array(geometry.functions),
                "enable": Out(MAX_FUNCTIONS),
                "disabled": Out(MAX_FUNCTIONS),
                "shutdown": Out(MAX_FUNCTIONS),
                "fresh": In(MAX_FUNCTIONS),
                "port": In(RegisterPort),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        functions = self.geometry.functions
        content = [0] * REGISTER_WORDS
        for register, value in constants(self.entries).items():
            content[register] = value
        m.submodules.storage = storage = Ram(
            shape=32, depth=functions * REGISTER_WORDS, init=content * functions
        )
        read, write = storage.read_port(), storage.write_port(granularity=8)

        request, reply = self.request.payload, self.reply.payload
        function = request.function
        high, using = Signal(), Signal()
        word = Signal(5)
        lanes, value = Signal(4), Signal(32)
        m.d.comb += [
            word.eq(Cat(high, request.address[3:7])),
            lanes.eq(request.mask.word_select(high, 4)),
            value.eq(request.data.word_select(high, 32)),
            self.port.grant.eq(~using),
            self.port.data.eq(read.data),
        ]
        with m.If(using):
            m.d.comb += [read.addr.eq(Cat(word, function)), write.data.eq(value)]
            for register, mask in WRITABLE.items():
                with m.If(word == register):
                    m.d.comb += write.data.eq(value & mask)
        with m.Else():
            m.d.comb += [
                read.addr.eq(Cat(self.port.word, self.port.function)),
                write.en.eq(self.port.clear.replicate(4)),
            ]
        m.d.comb += write.addr.eq(read.addr)

        # The bits of CC that something follows from.
        new = data.View(Configuration, value)
        enabled = self.enable.bit_select(function, 1)
        enabling, stopping, shutting = Signal(), Signal(), Signal()
        m.d.comb += [
            stopping.eq(lanes[0] & enabled & ~new.enable),
            shutting.eq(lanes[1] & (new.shutdown != 0) & ~stopping),
        ]
        for f in range(functions):
            mine = enabling & (function == f)
            m.d.comb += [self.disabled[f].eq(mine & stopping), self.shutdown[f].eq(mine & shutting)]
            with m.If(self.fresh[f]):
                m.d.sync += self.enable[f].eq(0)
            with m.Elif(mine & lanes[0]):
                m.d.sync += self.enable[f].eq(new.enable)

        queue = request.address[3:12]
        exists = queue <= self.geometry.queues
        rung = Doorbell(Signal(Doorbell))
        m.d.comb += [
            rung.function.eq(function),
            rung.queue.eq(queue),
            rung.value.eq(value),
            self.submission.payload.eq(rung),
        ]
        with m.If(self.completion.ready):
            m.d.sync += self.completion.valid.eq(0)

        in_registers, rings = Signal(), Signal()
        here, page = request.bar == BAR, request.address[12:14]
        m.d.comb += [
            in_registers.eq(here & (page == 0) & (request.address[7:12] == 0)),
            rings.eq(here & (page == DOORBELLS >> 12) & request.write & lanes[:2].all()),
        ]
        answer = Signal(32)
        with m.If(self.reply.ready):
            m.d.sync += self.reply.valid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += high.eq(~request.mask[:4].any())
                waits = self.completion.valid & ~(here & (page == DOORBELLS >> 12))
                with m.If(self.request.valid & (request.write | ~self.reply.valid) & ~waits):
                    m.d.sync += reply.data.eq(0)
                    m.next = "DECODE"

            with m.State("DECODE"):
                m.next = "NEXT"
                with m.If(in_registers):
                    m.d.comb += using.eq(1)
                    with m.If(~request.write):
                        m.next = "ANSWER"
                    with m.Else(), m.Switch(word), m.Case(*WRITABLE):
                        m.d.comb += [write.en.eq(lanes), enabling.eq(word == Register.CC)]
                with m.If(rings):
                    m.next = "RING"
                    with m.If(~exists):
                        m.d.comb += self.invalid.bit_select(function, 1).eq(1)
                        m.next = "NEXT"

            with m.State("ANSWER"):
                m.d.comb += answer.eq(read.data)
                with m.If(word == Register.CSTS):
                    m.d.comb += answer.eq(Array(self.status)[function].as_value())
                with m.If(high):
                    m.d.sync += reply.data[32:].eq(answer)
                with m.Else():
                    m.d.sync += reply.data[:32].eq(answer)
                m.next = "NEXT"

            with m.State("RING"):
                # The doorbells of a queue are neighbours: tail below, head above.
                m.d.comb += self.submission.valid.eq(~high)
                with m.If(Mux(high, ~self.completion.valid, self.submission.ready)):
                    m.next = "NEXT"
                with m.If(high & ~self.completion.valid):
                    m.d.sync += [self.completion.valid.eq(1), self.completion.payload.eq(rung)]

            with m.State("NEXT"):
                m.d.sync += high.eq(1)
                with m.If(~high & request.mask[4:].any()):
                    m.next = "DECODE"
                with m.Else():
                    m.d.comb += self.request.ready.eq(1)
                    with m.If(~request.write):
                        m.d.sync += self.reply.valid.eq(1)
                    m.next = "IDLE"
        return m

"""The stage itself: a block port on both sides, keys from the key store."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter import csr
from niter.interface import BlockPort, BlockSpan, BlockStatus
from niter.ram import Ram
from niter.security.key_store import KeyWord
from niter.security.xts import Xts
from niter.stream import Fifo, PipeRegister

from .mover import Mover
from .volumes import Admission, Located

__all__ = ["Encryption"]

#: Pulls that the front end may be working on at once.
_PULLS = 16

#: Pushes that may be in the stage at once: one waits, one goes in, one comes out, and more when
#: they are short.
_PUSHES = 7


class Encryption(wiring.Component):
    """Encrypts what the transport pulls, and decrypts what it pushes (AES-256-XTS).

    The tweak is the number of the 512-byte sector on the volume. Requests, aborts and pulls pass
    through; volumes that are not encrypted cost a few cycles a packet.

    What a missing key does: a request that moves data ends with ``INTERNAL`` and does not reach
    the transport. When a key vanishes while data moves, what is left of it becomes zeros in a
    packet that ends with ``error``, and whatever the transport says of the request, its completion
    says ``INTERNAL``.

    A completion or an acknowledged abort passes when all pushes before it have left the stage;
    while one waits, no further push is begun.

    Members
    -------
    front : In(BlockPort)
        The front end.
    transport : Out(BlockPort)
        The transport.
    keys : In(stream.Signature(KeyWord))
        ``export`` of the key store.
    usable : In(16)
        ``usable`` of the key store.
    bus : In(csr.Signature)
        The volume table.
    """

    front: In(BlockPort)
    transport: Out(BlockPort)
    keys: In(stream.Signature(KeyWord))
    usable: In(16)
    bus: In(csr.Signature(addr_width=4))

    def __init__(self):
        self._admission = Admission()
        super().__init__()
        self.bus.memory_map = self._admission.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        front, transport = self.front, self.transport
        m.submodules.admission = admission = self._admission
        m.submodules.mover = mover = Mover()
        m.submodules.engine = engine = Xts()
        wiring.connect(m, wiring.flipped(self.bus), admission.bus)
        wiring.connect(m, wiring.flipped(self.keys), engine.keys)
        wiring.connect(m, mover.unit, engine.unit)
        wiring.connect(m, mover.word, engine.i)
        wiring.connect(m, engine.o, mover.done)
        m.d.comb += [
            engine.usable.eq(self.usable),
            admission.good.eq(engine.good),
            mover.empty.eq(engine.empty),
        ]

        # Requests, and what is remembered of them.
        m.submodules.requests = requests = Ram(shape=Located, depth=256, init=[])
        m.submodules.losses = losses = Ram(shape=1, depth=256, init=[])
        located, remember = requests.read_port(), requests.write_port()
        loss, lose = losses.read_port(), losses.write_port()
        wiring.connect(m, admission.o, wiring.flipped(transport.request))
        m.d.comb += [
            admission.i.valid.eq(front.request.valid),
            admission.i.payload.eq(front.request.payload),
            front.request.ready.eq(admission.i.ready),
            remember.addr.eq(front.request.payload.tag),
            remember.data.eq(admission.located),
            remember.en.eq(admission.admit),
            located.addr.eq(mover.tag),
            mover.located.eq(located.data),
            admission.wait.eq(mover.lost),
            lose.addr.eq(Mux(mover.lost, mover.lost_tag, front.request.payload.tag)),
            lose.data.eq(mover.lost),
            lose.en.eq(mover.lost | admission.admit),
        ]
        wiring.connect(m, wiring.flipped(front.abort), wiring.flipped(transport.abort))

        # A pull goes to the front end, and waits here for its packet.
        m.submodules.pulls = pulls = Fifo(BlockSpan, _PULLS)
        wiring.connect(m, pulls.o, mover.pull)
        m.d.comb += [
            front.pull.valid.eq(transport.pull.valid & pulls.i.ready),
            front.pull.payload.eq(transport.pull.payload),
            pulls.i.valid.eq(transport.pull.valid & front.pull.ready),
            pulls.i.payload.eq(transport.pull.payload),
            transport.pull.ready.eq(front.pull.ready & pulls.i.ready),
        ]
        wiring.connect(m, wiring.flipped(front.pull_data), mover.i_pull)
        wiring.connect(m, mover.o_pull, wiring.flipped(transport.pull_data))

        # So does a push; but nothing of it passes a completion.
        m.submodules.next_push = next_push = PipeRegister(BlockSpan)
        pushes = Signal(range(_PUSHES + 1))
        holding = Signal()
        begin = Signal()
        wiring.connect(m, next_push.o, mover.push)
        m.d.comb += [
            holding.eq(transport.completion.valid | transport.aborted.valid | (pushes == _PUSHES)),
            front.push.payload.eq(transport.push.payload),
            next_push.i.payload.eq(transport.push.payload),
        ]
        # Once offered to the front end it stays so.
        offered = Signal()
        may = next_push.i.ready & (~holding | offered)
        m.d.comb += [
            front.push.valid.eq(transport.push.valid & may),
            begin.eq(front.push.valid & front.push.ready),
            next_push.i.valid.eq(begin),
            transport.push.ready.eq(begin),
        ]
        m.d.sync += [
            offered.eq(front.push.valid & ~front.push.ready),
            pushes.eq(pushes + begin - mover.pushed),
        ]
        wiring.connect(m, wiring.flipped(transport.push_data), mover.i_push)
        wiring.connect(m, mover.o_push, wiring.flipped(front.push_data))

        # Completions: those of requests that ended here, and the transport's.
        quiet = (pushes == 0) & ~offered & ~begin
        completion = front.completion.payload
        own = Signal()
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += own.eq(0)
                m.d.comb += loss.addr.eq(transport.completion.payload.tag)
                with m.If(transport.completion.valid & quiet):
                    m.d.comb += transport.completion.ready.eq(1)
                    m.d.sync += completion.eq(transport.completion.payload)
                    m.next = "Check"
                with m.Elif(admission.refused.valid):
                    m.d.sync += [
                        own.eq(1),
                        completion.tag.eq(front.request.payload.tag),
                        completion.status.eq(admission.refused.payload),
                    ]
                    m.d.sync += front.completion.valid.eq(1)
                    m.next = "Send"
                with m.Elif(transport.aborted.valid & quiet):
                    m.next = "Acknowledge"
            with m.State("Check"):
                with m.If(loss.data):
                    m.d.sync += completion.status.eq(BlockStatus.INTERNAL)
                m.d.sync += front.completion.valid.eq(1)
                m.next = "Send"
            with m.State("Send"), m.If(front.completion.ready):
                m.d.comb += admission.refused.ready.eq(own)
                m.d.sync += front.completion.valid.eq(0)
                m.next = "Idle"
            with m.State("Acknowledge"):
                m.d.comb += [
                    front.aborted.valid.eq(1),
                    transport.aborted.ready.eq(front.aborted.ready),
                ]
                with m.If(front.aborted.ready):
                    m.next = "Idle"
        m.d.comb += front.aborted.payload.eq(transport.aborted.payload)
        return m

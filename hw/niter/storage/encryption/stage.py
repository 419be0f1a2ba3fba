"""The stage itself: a block port on both sides, keys from the key store."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat, BlockPort, BlockSpan, BlockStatus
from niter.ram import Ram
from niter.security.key_store import KeyWord
from niter.security.xts import Xts
from niter.storage.volumes import KeyWrite
from niter.stream import Fifo, PipeRegister, SkidBuffer

from .admission import Admission, Located
from .mover import Mover

__all__ = ["Encryption"]

#: Pulls that the front end may be working on at once.
_PULLS = 16

#: Pushes that may be in the stage at once: one waits, one goes in, one comes out, and more when
#: they are short.
_PUSHES = 7


class Encryption(wiring.Component):
    """Encrypts what the transport pulls, and decrypts what it pushes (AES-256-XTS).

    The tweak is the number of the 512-byte sector, as requests have it here: behind ``Volumes``,
    its number at the target. Requests, aborts and pulls pass through; volumes that are not
    encrypted cost a few cycles a packet.

    What a missing key does: a request that moves data ends with ``INTERNAL`` and does not reach
    the transport. When a key vanishes while data moves, what is left of it becomes zeros in a
    packet that ends with ``error``, and whatever the transport says of the request, its completion
    says ``INTERNAL``.

    A completion or an acknowledged abort passes when all pushes before it have left the stage;
    while one waits, no further push is begun.

    Members
    -------
    i : In(BlockPort)
        The front end, or the stage before.
    o : Out(BlockPort)
        The next stage, or the transport.
    keys : In(stream.Signature(KeyWord))
        ``export`` of the key store.
    usable : In(16)
        ``usable`` of the key store.
    key : In(KeyWrite)
        What the volume table says of a volume's keys: ``key`` of ``Volumes``.
    """

    i: In(BlockPort)
    o: Out(BlockPort)
    keys: In(stream.Signature(KeyWord))
    usable: In(16)
    key: In(KeyWrite)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i, o = self.i, self.o
        m.submodules.admission = admission = Admission()
        m.submodules.mover = mover = Mover()
        m.submodules.engine = engine = Xts()
        wiring.connect(m, wiring.flipped(self.key), admission.key)
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
        # What the mover loses is written a cycle later, and looked up two cycles later at the
        # earliest, behind the end of its packet.
        lost, lost_tag = Signal(), Signal.like(mover.lost_tag)
        m.d.sync += [lost.eq(mover.lost), lost_tag.eq(mover.lost_tag)]
        wiring.connect(m, admission.o, wiring.flipped(o.request))
        m.d.comb += [
            admission.i.valid.eq(i.request.valid),
            admission.i.payload.eq(i.request.payload),
            i.request.ready.eq(admission.i.ready),
            remember.addr.eq(i.request.payload.tag),
            remember.data.eq(admission.located),
            remember.en.eq(admission.admit),
            located.addr.eq(mover.tag),
            mover.located.eq(located.data),
            admission.wait.eq(lost),
            lose.addr.eq(Mux(lost, lost_tag, i.request.payload.tag)),
            lose.data.eq(lost),
            lose.en.eq(lost | admission.admit),
        ]
        wiring.connect(m, wiring.flipped(i.abort), wiring.flipped(o.abort))

        # A pull goes to the front end, and waits here for its packet.
        m.submodules.pulls = pulls = Fifo(BlockSpan, _PULLS)
        wiring.connect(m, pulls.o, mover.pull)
        m.d.comb += [
            i.pull.valid.eq(o.pull.valid & pulls.i.ready),
            i.pull.payload.eq(o.pull.payload),
            pulls.i.valid.eq(o.pull.valid & i.pull.ready),
            pulls.i.payload.eq(o.pull.payload),
            o.pull.ready.eq(i.pull.ready & pulls.i.ready),
        ]

        # So does a push; but nothing of it passes a completion.
        m.submodules.next_push = next_push = PipeRegister(BlockSpan)
        pushes = Signal(range(_PUSHES + 1))
        holding = Signal()
        begin = Signal()
        wiring.connect(m, next_push.o, mover.push)
        m.d.comb += [
            holding.eq(o.completion.valid | o.aborted.valid | (pushes == _PUSHES)),
            i.push.payload.eq(o.push.payload),
            next_push.i.payload.eq(o.push.payload),
        ]
        # Once offered to the front end it stays so.
        offered = Signal()
        may = next_push.i.ready & (~holding | offered)
        m.d.comb += [
            i.push.valid.eq(o.push.valid & may),
            begin.eq(i.push.valid & i.push.ready),
            next_push.i.valid.eq(begin),
            o.push.ready.eq(begin),
        ]
        gone = i.push_data.valid & i.push_data.ready & i.push_data.payload.last
        m.d.sync += [
            offered.eq(i.push.valid & ~i.push.ready),
            pushes.eq(pushes + begin - gone),
        ]
        # From the transport's buffers through here to the front end's is too far for one cycle.
        for name, given, taken in (
            ("pull_in", wiring.flipped(i.pull_data), mover.i_pull),
            ("pull_out", mover.o_pull, wiring.flipped(o.pull_data)),
            ("push_in", wiring.flipped(o.push_data), mover.i_push),
            ("push_out", mover.o_push, wiring.flipped(i.push_data)),
        ):
            m.submodules[name] = edge = SkidBuffer(Beat)
            wiring.connect(m, given, edge.i)
            wiring.connect(m, edge.o, taken)

        # Completions: those of requests that ended here, and the transport's.
        quiet = (pushes == 0) & ~offered & ~begin
        completion = i.completion.payload
        own = Signal()
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += own.eq(0)
                m.d.comb += loss.addr.eq(o.completion.payload.tag)
                with m.If(o.completion.valid & quiet):
                    m.d.comb += o.completion.ready.eq(1)
                    m.d.sync += completion.eq(o.completion.payload)
                    m.next = "Check"
                with m.Elif(admission.refused.valid):
                    m.d.sync += [
                        own.eq(1),
                        completion.tag.eq(i.request.payload.tag),
                        completion.status.eq(admission.refused.payload),
                    ]
                    m.d.sync += i.completion.valid.eq(1)
                    m.next = "Send"
                with m.Elif(o.aborted.valid & quiet):
                    m.next = "Acknowledge"
            with m.State("Check"):
                with m.If(loss.data):
                    m.d.sync += completion.status.eq(BlockStatus.INTERNAL)
                m.d.sync += i.completion.valid.eq(1)
                m.next = "Send"
            with m.State("Send"), m.If(i.completion.ready):
                m.d.comb += admission.refused.ready.eq(own)
                m.d.sync += i.completion.valid.eq(0)
                m.next = "Idle"
            with m.State("Acknowledge"):
                m.d.comb += [
                    i.aborted.valid.eq(1),
                    o.aborted.ready.eq(i.aborted.ready),
                ]
                with m.If(i.aborted.ready):
                    m.next = "Idle"
        m.d.comb += i.aborted.payload.eq(o.aborted.payload)
        return m

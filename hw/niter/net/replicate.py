"""Copies of a frame: to every tunnel of a list, and to every function of a set."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, connect, flipped

from niter.compare import below
from niter.interface import BEAT_BYTES, PacketStream, Verdict

from .config import OverlayConfig
from .mapping import LOCAL
from .replay import Replay
from .stage import Stage, pass_frame
from .table import Table

__all__ = ["Deliver", "Replicate"]


class Replicate(Stage):
    """Sends a multicast frame once to each member of its function's replication list.

    A list has up to ``replicas`` words: the value of a MAC entry in the mapping table, a
    tunnel or ``LOCAL``, and in bit 16 whether the word is a member. The list ends at the
    first word that is none. An empty list gives ``NO_REPLICATION``, and so does a frame that
    is longer than the buffer and would have to be sent more than once.

    A unicast frame goes through the same buffer, once, at any length: the stages in front decide
    about the next frame while those behind work on this one.

    Latency 4 cycles; 3 cycles more than its beats for each copy.

    Parameters
    ----------
    config
        ``functions``, ``replicas`` and ``replay_beats``.

    Members
    -------
    beats : In(PacketStream)
        Bytes of the frames whose meta comes by ``i``, in the same order.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        doc = "Replication lists, one for each function."
        self._lists = Table(17, config.functions * config.replicas, doc)
        super().__init__(blocks={"lists": self._lists}, ports={"beats": In(PacketStream)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.buffer = buffer = Replay(self.config.replay_beats)
        connect(m, flipped(self.i), buffer.i)
        connect(m, flipped(self.beats), buffer.beats)
        meta = buffer.o.payload.meta
        out = self.o.payload.meta

        single = Signal()
        m.d.comb += single.eq(
            ~meta.headers.destination[40]
            | meta.resolved
            | meta.underlay
            | (meta.verdict != Verdict.PASS)
        )

        # Members are read one ahead: `member` is this copy's, the table shows the next.
        index = Signal(range(self.config.replicas))
        member = Signal(16)
        refused = Signal()
        passing = Signal()
        more = Signal()
        m.d.comb += [
            self._lists.addr.eq(Cat(index, meta.function)),
            more.eq(~single & ~refused & self._lists.data[16] & (index != 0)),
            buffer.keep.eq(~single & (~passing | more)),
            buffer.again.eq(more),
            self.o.payload.eq(buffer.o.payload),
            self.o.valid.eq(buffer.o.valid & passing),
            buffer.o.ready.eq(self.o.ready & passing),
        ]
        with m.If(~single):
            m.d.comb += [out.tunnel.eq(member), out.local.eq((member & LOCAL).any())]
            with m.If(refused):
                m.d.comb += out.verdict.eq(Verdict.NO_REPLICATION)

        def next_member():
            m.d.sync += [member.eq(self._lists.data), index.eq(index + 1)]

        with m.FSM():
            with m.State("Start"), m.If(buffer.o.valid):
                with m.If(single):
                    m.next = "Pass"
                with m.Else():
                    m.next = "First"
            with m.State("First"):
                next_member()
                m.d.sync += refused.eq(~self._lists.data[16])
                m.next = "Look ahead"
            with m.State("Look ahead"):
                m.next = "Check"
            with m.State("Check"):
                with m.If(more & ~_fits(meta.length, self.config)):
                    m.d.sync += refused.eq(1)
                m.next = "Pass"
            with m.State("Pass"):
                m.d.comb += passing.eq(1)
                with m.If(self.o.valid & self.o.ready & self.o.payload.packet.last):
                    with m.If(more):
                        next_member()
                        m.next = "Look ahead"
                    with m.Else():
                        m.d.sync += [index.eq(0), refused.eq(0)]
                        m.next = "Start"
        return m


class Deliver(Stage):
    """Sends a frame once to each function of ``meta.functions``, lowest first.

    Each copy has its ``meta.function``. A frame for several functions that is longer than the
    buffer gets ``NO_REPLICATION``. A rejected frame passes once.

    Latency 3 cycles; 2 cycles more than its beats, and 3 for each further copy.

    Parameters
    ----------
    config
        ``functions`` and ``replay_beats``.

    Members
    -------
    beats : In(PacketStream)
        Bytes of the frames whose meta comes by ``i``, in the same order.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__(ports={"beats": In(PacketStream)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.buffer = buffer = Replay(self.config.replay_beats)
        connect(m, flipped(self.i), buffer.i)
        connect(m, flipped(self.beats), buffer.beats)
        meta = buffer.o.payload.meta
        out = self.o.payload.meta

        served = Signal(self.config.functions)
        remaining = Signal(self.config.functions)
        rest = Signal(self.config.functions)
        more = Signal()
        refused = Signal()
        m.d.comb += [
            remaining.eq(meta.functions & ~served),
            rest.eq(remaining & (remaining - 1)),
            more.eq((rest != 0) & ~refused & (meta.verdict == Verdict.PASS)),
            refused.eq(
                (meta.functions & (meta.functions - 1)).any() & ~_fits(meta.length, self.config)
            ),
            buffer.keep.eq(more),
            buffer.again.eq(more),
            *pass_frame(buffer.o, self.o),
        ]
        for n in reversed(range(self.config.functions)):
            with m.If(remaining[n]):
                m.d.comb += out.function.eq(n)
        with m.If(refused & (meta.verdict == Verdict.PASS)):
            m.d.comb += [out.verdict.eq(Verdict.NO_REPLICATION), out.underlay.eq(1)]
        with m.If(self.o.valid & self.o.ready & self.o.payload.packet.last):
            m.d.sync += served.eq(Mux(more, served | (remaining & ~rest), 0))
        return m


def _fits(length: Value, config: OverlayConfig) -> Value:
    """A frame of so many bytes can be sent more than once."""
    return below(length, BEAT_BYTES * (config.replay_beats - 1) + 1)

"""AoE as a block transport."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import BlockCompletion, BlockPort, BlockSpan, FrameStream
from niter.stream import Arbiter, PipeRegister

from ..rates import CYCLE_BITS
from ..volumes import MAX_VOLUMES, VolumeEvent
from .builder import Builder
from .codec import FRAME_SECTORS, GENERATION_BITS, RECEIVE_UNIT, SLOT_BITS, TargetRecord
from .engine import TICK, Engine
from .heads import PLACES, HeadAddress, HeadKind, Heads
from .layouts import TIME_BITS, Settings
from .query import Query
from .receiver import Receiver
from .tasks import Event

__all__ = ["Aoe"]

_TICKS = f"In units of {TICK} cycles."


class Aoe(wiring.Component):
    """Carries block requests out at AoE targets (AoEr11).

    ::

        requests, aborts ──┐                    ┌── Builder ── frames to the wire
        completions ───────┴── Engine ──────────┤
        data of writes ─────────────────────────┘
        data of reads ────────────────────────────── Receiver ── frames from the wire

    A request is cut into frames of as many sectors as its target takes, many of them in flight.
    Frames that are not answered are sent again, each time with a new tag, and their data is
    pulled again. Where a late copy of a write could spoil newer data, its sectors are held until
    that cannot happen any more. How a request ends:

    | status | reason |
    |---|---|
    | ``OK`` | every frame was answered without an error bit |
    | ``MEDIUM`` | the target's ATA status has an error bit |
    | ``RESERVED`` | AoE error 6: somebody else has the target |
    | ``PATH`` | AoE error 3, no answer within the time of silence, or the target is switched off |
    | ``UNSUPPORTED`` | AoE errors 1 and 5 |
    | ``INTERNAL`` | any other AoE error, no sectors, or a frame that was damaged on the card |
    | ``DATA_TRANSFER`` | a pull failed |
    | ``NO_VOLUME`` | the volume has no target |
    | ``OUT_OF_RANGE`` | it ends beyond 2 to the 48 sectors |

    WRITE_ZEROES sends zeros; VERIFY reads and drops the data; DISCARD does nothing; a WRITE with
    ``fua`` is followed by a FLUSH.

    Parameters
    ----------
    slots
        Frames in flight at most, a power of two up to 64.
    tags
        Requests have tags below that: a power of two from 2 to 256.
    receive_beats
        Beats of the receive buffer, a power of two. A standard frame of data takes 133, a jumbo
        frame 1,029.
    ports
        Wire ports, each with an address of its own.
    volumes
        Volumes whose requests are counted beside the frames.

    Members
    -------
    i : In(BlockPort)
        The front end, or the stage before.
    counted : In(stream.Signature(VolumeEvent))
        What the volume check has to be counted. It has the first turn, and is taken in 6 cycles.
    i_wire : In(FrameStream)
        Frames of AoE's EtherType. Meta: ``length``.
    o_wire : Out(FrameStream)
        Frames to the wire. Meta: ``length``, ``port``.
    cycles : Out(CYCLE_BITS)
        Cycles that have passed, for who asks: ``Pacing``.
    csr : In(csr.Signature)
        ``registers``, ``volumes``, ``targets`` and ``sources``, ``query`` and ``counters``.
    """

    class Seed(csr.Register, access="w"):
        """Where generations of tags start: a random number, written before the first request."""

        value: csr.Field(csr.action.W, GENERATION_BITS, doc="Mixed into every generation.")

    class Floor(csr.Register, access="w"):
        """Shortest time after which a frame is sent again; 50 after reset."""

        value: csr.Field(csr.action.W, 16, doc=_TICKS)

    class Silence(csr.Register, access="w"):
        """How long a target may be silent before a request ends in PATH; 2,500,000 after reset."""

        value: csr.Field(csr.action.W, TIME_BITS, doc=_TICKS)

    class Lifetime(csr.Register, access="w"):
        """How long the network may keep a frame before it delivers it; 250,000 after reset."""

        value: csr.Field(csr.action.W, TIME_BITS, doc=_TICKS)

    class Receive(csr.Register, access="w"):
        """Room for answers in flight; the buffer's size after reset, which is safe. With more,
        frames are lost while the host is slow, and asked for again."""

        value: csr.Field(
            csr.action.W, 10, doc="In units of 64 bytes; a frame takes one more than its data."
        )

    class Malformed(csr.Register, access="r"):
        """Frames that were no answers, modulo 65536."""

        frames: csr.Field(csr.action.R, 16, doc="Since reset.")

    def __init__(
        self,
        slots: int = 1 << SLOT_BITS,
        tags: int = 256,
        receive_beats: int = 1024,
        ports: int = 1,
        volumes: int = MAX_VOLUMES,
    ):
        if not 1 <= ports <= 4:
            raise ValueError(f"There are 1 to 4 ports, not {ports!r}")
        self.slots = slots
        self.tags = tags
        self.ports = ports
        self.receive_beats = receive_beats
        self._engine = Engine(slots, tags)
        self._builder = Builder()
        self._receiver = Receiver(receive_beats)
        self._query = Query()
        self._heads = Heads()
        self._registers = {
            "seed": self.Seed(),
            "floor": self.Floor(),
            "silence": self.Silence(),
            "lifetime": self.Lifetime(),
            "receive": self.Receive(),
            "malformed": self.Malformed(),
        }
        builder = csr.Builder(addr_width=ceil_log2(len(self._registers)))
        for name, register in self._registers.items():
            builder.add(name, register)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._tables = {
            name: self._table(words, doc)
            for name, words, doc in (
                ("volumes", 16, "Target of each volume in bits 3:0; bit 4: it has one."),
                ("targets", 16 * TargetRecord.STRIDE, "A record of words for each target."),
                (
                    "sources",
                    8,
                    "The card's address on each wire port: its first two bytes in bits 15:0 of one "
                    "word, the other four in the next.",
                ),
            )
        }
        frames = [f"target_{n}_{event.name.lower()}" for n in range(16) for event in Event]
        requests = [f"volume_{n}_{end}" for n in range(volumes) for end in ("passed", "refused")]
        self._counters = csr.CounterBank(
            frames + requests,
            amount_width=1,
            doc="Frames of each target, by what became of them; requests of each volume that went "
            "on, and that ended in front of here.",
        )
        decoder = csr.decoder_of(
            {
                "query": self._query.csr,
                "counters": self._counters.bus,
                "registers": self._bridge.bus,
                **self._tables,
            }
        )
        self._decoder = decoder
        super().__init__(
            {
                "i": In(BlockPort),
                "i_wire": In(FrameStream),
                "o_wire": Out(FrameStream),
                "counted": In(stream.Signature(VolumeEvent)),
                "cycles": Out(CYCLE_BITS),
                "csr": In(csr.Signature(addr_width=decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = decoder.bus.memory_map

    @staticmethod
    def _table(words, doc):
        bus = csr.Signature(addr_width=ceil_log2(words)).create()
        bus.memory_map = csr.MemoryMap(addr_width=bus.addr_width)
        bus.memory_map.add_resource(csr.WordArray(words, doc), name="words", size=words)
        return bus

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.bridge = self._bridge
        m.submodules.engine = engine = self._engine
        m.submodules.builder = builder = self._builder
        m.submodules.receiver = receiver = self._receiver
        m.submodules.query = query = self._query
        connect(m, flipped(self.csr), self._decoder.bus)
        self._control(m)

        # Requests and their data.
        front = self.i
        for name in ("request", "abort", "aborted"):
            connect(m, flipped(getattr(front, name)), getattr(engine, name))
        m.submodules.pulls = pulls = PipeRegister(BlockSpan)
        connect(m, engine.pull, pulls.i)
        connect(m, pulls.o, flipped(front.pull))
        connect(m, flipped(front.pull_data), builder.pull_data)
        connect(m, receiver.push, flipped(front.push))
        connect(m, receiver.push_data, flipped(front.push_data))
        m.submodules.ends = ends = Arbiter(BlockCompletion, 2, packet=False)
        connect(m, engine.completion, ends.i[0])
        connect(m, receiver.completion, ends.i[1])
        connect(m, ends.o, flipped(front.completion))

        # Frames.
        connect(m, flipped(self.i_wire), receiver.i)
        connect(m, builder.o, flipped(self.o_wire))
        m.submodules.heads = heads = self._heads
        connect(m, engine.order, heads.order)
        connect(m, builder.failure, engine.failure)
        connect(m, receiver.answer, engine.answer)
        connect(m, engine.verdict, receiver.verdict)
        connect(m, engine.ending, receiver.ending)
        connect(m, receiver.fault, engine.fault)
        connect(m, query.question, builder.question)
        m.d.comb += [
            heads.at.eq(builder.at),
            builder.word.eq(heads.word),
            builder.issued.eq(engine.issued),
            engine.built.eq(builder.built),
            self.cycles.eq(engine.cycles),
            engine.receiving.eq(~receiver.idle),
            engine.completing.eq(ends.o.valid),
            receiver.listening.eq(query.listening),
            receiver.question.eq(query.tag),
            query.word.eq(receiver.word),
            query.word_valid.eq(receiver.word_valid),
            query.restart.eq(receiver.restart),
            query.answered.eq(receiver.answered),
        ]
        return m

    def _control(self, m):
        """Registers and tables."""
        engine, receiver = self._engine, self._receiver
        fields = {name: register.f for name, register in self._registers.items()}
        first = {
            "seed": 0,
            "receive": self.receive_beats // RECEIVE_UNIT,
            "floor": 50,
            "silence": 2_500_000,
            "lifetime": 250_000,
        }
        settings = Settings(Signal(Settings, init=first))
        for name in first:
            with m.If(fields[name].value.w_stb):
                m.d.sync += settings[name].eq(fields[name].value.w_data)
        malformed = Signal(16)
        m.d.sync += malformed.eq(malformed + receiver.malformed)
        m.d.comb += [
            engine.settings.eq(settings),
            fields["malformed"].frames.r_data.eq(malformed),
        ]

        volumes, targets, sources = (self._tables[n] for n in ("volumes", "targets", "sources"))
        query, heads = self._query, self._heads
        limits = engine.set_limits.data
        sectors = targets.w_data[8:13]
        m.d.comb += [
            heads.control_en.eq(targets.w_stb | sources.w_stb | query.head_en),
            heads.control_data.eq(query.head_data),
            heads.control_at.eq(targets.addr),
            engine.set_volume.en.eq(volumes.w_stb),
            engine.set_volume.addr.eq(volumes.addr),
            engine.set_volume.data.eq(volumes.w_data),
            engine.set_limits.en.eq(targets.w_stb & (targets.addr[:2] == TargetRecord.FLAGS)),
            engine.set_limits.addr.eq(targets.addr[2:]),
            limits.buffers.eq(targets.w_data),
            limits.sectors.eq(sectors),
            limits.enabled.eq(targets.w_data[16]),
            limits.paused.eq(targets.w_data[17]),
        ]
        at = HeadAddress(heads.control_at)
        with m.If(sources.w_stb):
            m.d.comb += [
                at.kind.eq(HeadKind.OWN),
                Cat(at.word, at.index).eq(PLACES["sources"] << 2 | sources.addr),
            ]
        with m.If(query.head_en):
            m.d.comb += [
                at.kind.eq(HeadKind.OWN),
                at.index.eq(PLACES["question"]),
                at.word.eq(query.head_word),
            ]
        # From one sector to sixteen.
        with m.If(sectors == 0):
            m.d.comb += limits.sectors.eq(1)
        with m.If(sectors > FRAME_SECTORS):
            m.d.comb += limits.sectors.eq(FRAME_SECTORS)

        m.submodules.counters = counters = self._counters
        frames, entry = engine.counted, counters.i
        m.d.comb += [
            entry.payload.amount.eq(1),
            entry.payload.index.eq(frames.payload.as_value()),
            entry.valid.eq(frames.valid | self.counted.valid),
            self.counted.ready.eq(entry.ready),
            frames.ready.eq(entry.ready & ~self.counted.valid),
        ]
        with m.If(self.counted.valid):
            # Behind the frames' 128.
            request = self.counted.payload.as_value()
            m.d.comb += entry.payload.index.eq(Cat(request, Const(0, 7 - len(request)), 1))

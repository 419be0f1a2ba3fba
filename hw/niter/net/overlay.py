"""The overlay: everything between the network devices and the frame buffers of the wire."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameBeat, FrameStream
from niter.stream import Arbiter

from .classify import Classify
from .config import OverlayConfig, StageList
from .decapsulate import Decapsulate
from .drop import Count, Drop, counter_names
from .ecn import CombineEcn
from .encapsulate import Encapsulate
from .mtu import SizeLimit
from .parser import Parser
from .pipeline import Pipeline
from .replicate import Deliver, Replicate
from .steer import Steer

__all__ = ["RECEIVE", "TRANSMIT", "Overlay"]


def _transmit_parser(config: OverlayConfig) -> Parser:
    return Parser(config, questions=True)


#: From the network devices to the wire.
TRANSMIT: StageList = (
    ("parser", _transmit_parser),
    ("classify", Classify),
    ("replicate", Replicate),
    ("size", SizeLimit),
    ("encapsulate", Encapsulate),
    ("drop", Drop),
)


#: Meta of a frame that stays on the card.
_LOCAL = ("length", "function", "vni", "local", "answer")
#: Meta that leaves by ``o_wire`` and by ``o_host``.
_TO_WIRE = (*_LOCAL, "port", "inner_checksum", "outer_checksum")
_TO_HOST = ("length", "function", "port", "vni", "hash", "checksum_good")


def _receive_parser(config: OverlayConfig) -> Parser:
    return Parser(config, verify=config.verify)


#: From the tunnels to the network devices.
RECEIVE: StageList = (
    ("parser", _receive_parser),
    ("steer", Steer),
    ("deliver", Deliver),
    ("ecn", CombineEcn),
    ("drop", Drop),
)


class Overlay(wiring.Component):
    """Carries the frames of tenants over an IP network, and brings them back.

    ::

        i_host ──── transmit: parse, check, map, answer, replicate, encapsulate ─── o_wire
                    │                                       (local frames come back
          the underlay's ARP and ND                           through the card's buffer)
                    │                                                   │
        i_wire ──── decapsulate ──┬─ receive: parse, steer, deliver, ECN ─── o_host
        i_local ──────────────────┘

    What stays on the card (frames between two of its functions, answers to ARP and ND) leaves
    by ``o_wire`` with ``meta.local`` set. The card passes it through a buffer that fills in its
    checksum slots, and gives it back by ``i_local`` with its meta unchanged.

    Questions of the underlay for the card's own addresses are answered by the transmit
    pipeline from entries of the network ``UNDERLAY_NETWORK``; those that come while it has no
    time are lost.

    Parameters
    ----------
    config
        Sizes, switches and the lists of stages.

    Members
    -------
    i_host : In(FrameStream)
        Frames from the functions. Meta: ``function``, ``length``, ``inner_checksum``.
    o_wire : Out(FrameStream)
        Frames to the wire, or back to this card. Meta: ``length``, ``port``, ``local``, the
        checksum slots, and what ``i_local`` wants back.
    i_wire : In(FrameStream)
        Frames from the wire. Meta: ``port``, ``length``, with ``config.verify`` also ``sums``.
    i_local : In(FrameStream)
        Local frames, as they left by ``o_wire``.
    o_host : Out(FrameStream)
        Frames to the functions. Meta: ``function``, ``length``, ``port``, ``vni``, ``hash``,
        ``checksum_good``.
    csr : In(csr.Signature)
        Registers: ``transmit`` and ``receive`` with a window for each stage, ``tunnel``,
        ``counters``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self.transmit = Pipeline(_make(config, config.transmit or TRANSMIT))
        self.receive = Pipeline(_make(config, config.receive or RECEIVE))
        self.decapsulate = Decapsulate(config)
        names = counter_names(config.functions)
        room = 32 << config.functions.bit_length()
        names += [f"reserved{n}" for n in range(len(names), room)]
        self._counters = csr.CounterBank(
            [f"{direction}_{name}" for direction in ("transmit", "receive") for name in names],
            doc="Frames, bytes and drops by reason, of each function and of the card.",
        )
        self._decoder = csr.decoder_of(
            {
                "counters": self._counters.bus,
                "transmit": self.transmit.csr,
                "receive": self.receive.csr,
                "tunnel": self.decapsulate.csr,
            }
        )
        super().__init__(
            {
                "i_host": In(FrameStream),
                "o_wire": Out(FrameStream),
                "i_wire": In(FrameStream),
                "i_local": In(FrameStream),
                "o_host": Out(FrameStream),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        m.submodules.transmit = self.transmit
        m.submodules.receive = self.receive
        m.submodules.decapsulate = self.decapsulate

        # Nothing but the named members comes from outside: what a stage sets is its own.
        _take(m, self.i_host, self.transmit.i, "length", "function", "inner_checksum")
        if "questions" in self.transmit.signature.members:
            connect(m, self.decapsulate.questions, self.transmit.questions)
        _take(m, self.transmit.o, self.o_wire, *_TO_WIRE)

        m.submodules.from_tunnel = from_tunnel = Arbiter(FrameBeat, 2)
        sums = ["sums"] if self.config.verify else []
        _take(m, self.i_wire, self.decapsulate.i, "length", "port", *sums)
        connect(m, self.decapsulate.o, from_tunnel.i[0])
        _take(m, self.i_local, from_tunnel.i[1], *_LOCAL)
        connect(m, from_tunnel.o, self.receive.i)
        _take(m, self.receive.o, self.o_host, *_TO_HOST)
        self._count(m)
        return m

    def _count(self, m):
        """What both pipelines count goes into one bank."""
        m.submodules.counters = self._counters
        m.submodules.counts = counts = Arbiter(Count, 2, packet=False)
        for n, pipeline in enumerate((self.transmit, self.receive)):
            if "count" in pipeline.signature.members:
                connect(m, pipeline.count, counts.i[n])
        event = counts.o.payload
        owner = event.owner[: self.config.functions.bit_length()]
        m.d.comb += [
            self._counters.i.valid.eq(counts.o.valid),
            counts.o.ready.eq(self._counters.i.ready),
            self._counters.i.payload.index.eq(Cat(event.reason, owner, counts.turn)),
            self._counters.i.payload.amount.eq(event.amount),
        ]


def _make(config, stages):
    return {name: make(config) for name, make in stages}


def _take(m, i, o, *names):
    """Connect two frame streams, but of the meta only what is named."""
    m.d.comb += [
        o.payload.packet.eq(i.payload.packet),
        o.valid.eq(i.valid),
        i.ready.eq(o.ready),
        *(o.payload.meta[name].eq(i.payload.meta[name]) for name in names),
    ]

"""Classification: who sends a frame, and where it goes."""

from amaranth import Module, Signal

from niter.interface import Verdict

from .config import OverlayConfig
from .mapping import LOCAL, Mapping
from .source import SourceCheck
from .stage import Stage

__all__ = ["Classify"]


class Classify(Stage):
    """Checks a frame's source and looks its destination up, both at once.

    ``SourceCheck`` and ``Mapping`` say what passes. Sets ``meta.vni``, and of ``meta.local``,
    ``tunnel``, ``resolved`` and ``neighbour`` what it finds. Where both refuse a frame, the
    source counts. A frame of the underlay has no source to be checked; a rejected one passes.

    The first beat of a unicast frame whose entry stands in its first slot waits for 10 cycles.

    Parameters
    ----------
    config
        ``functions``, ``addresses``, ``slots`` and ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._source = SourceCheck(config)
        self._mapping = Mapping(config)
        super().__init__(blocks={"ports": self._source, "mapping": self._mapping})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        decided = self.gate(m)
        source, mapping = self._source, self._mapping
        meta, out = self.i.payload.meta, self.o.payload.meta
        busy = Signal()
        start = Signal()
        passes = Signal()
        m.d.comb += [
            passes.eq(meta.verdict == Verdict.PASS),
            start.eq(self.i.valid & ~decided & ~busy & passes),
            source.start.eq(start & ~meta.underlay),
            source.meta.eq(meta),
            mapping.start.eq(start),
            mapping.meta.eq(meta),
            mapping.network.eq(source.network),
            mapping.network_known.eq(source.network_known),
        ]
        with m.If(start):
            m.d.sync += busy.eq(1)
        with m.Elif(self.i.valid & ~decided & ~passes):
            m.d.sync += decided.eq(1)
        with m.If(busy & mapping.done & (source.done | meta.underlay)):
            m.d.sync += [busy.eq(0), decided.eq(1)]

        m.d.comb += [
            out.vni.eq(source.vni),
            out.resolved.eq(mapping.resolved & passes),
            out.neighbour.eq(mapping.neighbour),
            out.tunnel.eq(mapping.destination),
            out.local.eq((mapping.destination & LOCAL).any() & ~meta.headers.destination[40]),
        ]
        with m.If(passes):
            with m.If(~meta.underlay & (source.verdict != Verdict.PASS)):
                m.d.comb += [out.verdict.eq(source.verdict), out.resolved.eq(0)]
            with m.Elif(mapping.verdict != Verdict.PASS):
                m.d.comb += out.verdict.eq(mapping.verdict)
        return m

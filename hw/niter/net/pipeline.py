"""Stages in a row."""

from collections.abc import Mapping

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out, connect, flipped

from niter import csr
from niter.interface import FrameStream

from .stage import Stage

__all__ = ["Pipeline"]


class Pipeline(wiring.Component):
    """Joins stages: the frames of each go into the next, and their registers on one bus.

    Of further ports of stages, an output goes to the input of the same name at a later stage;
    one that finds no other is a port of the pipeline.

    Adds no latency. A pipeline has the ports of a stage, so that it can stand in another.

    Parameters
    ----------
    stages
        The stages by name, first to last; the names appear in the memory map.

    Members
    -------
    i : In(FrameStream)
        Input of the first stage.
    o : Out(FrameStream)
        Output of the last.
    csr : In(csr.Signature)
        The stages' registers, a window each.
    and the further ports of stages that are not joined here.

    Raises
    ------
    ValueError
        There is no stage, or several have the same further port and are not joined by it.
    """

    def __init__(self, stages: Mapping[str, Stage]):
        if not stages:
            raise ValueError("A pipeline has at least one stage")
        self.stages = dict(stages)
        self._joined: list[tuple[Stage, Stage, str]] = []
        self._open: dict[str, Stage] = {}
        for stage in self.stages.values():
            for port, member in stage.signature.members.items():
                if port in ("i", "o", "csr"):
                    continue
                source = self._open.pop(port, None)
                if source is None:
                    self._open[port] = stage
                elif source.signature.members[port].flow is Flow.Out and member.flow is Flow.In:
                    self._joined.append((source, stage, port))
                else:
                    raise ValueError(f"Two stages have a port {port!r} and are not joined by it")
        self._decoder = csr.decoder_of({name: stage.csr for name, stage in self.stages.items()})
        members = {
            "i": In(FrameStream),
            "o": Out(FrameStream),
            "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
        }
        members |= {port: stage.signature.members[port] for port, stage in self._open.items()}
        super().__init__(members)
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        for port, stage in self._open.items():
            connect(m, getattr(stage, port), flipped(getattr(self, port)))
        for source, stage, port in self._joined:
            connect(m, getattr(source, port), getattr(stage, port))
        upstream = flipped(self.i)
        for name, stage in self.stages.items():
            m.submodules[name] = stage
            connect(m, upstream, stage.i)
            upstream = stage.o
        connect(m, upstream, flipped(self.o))
        return m

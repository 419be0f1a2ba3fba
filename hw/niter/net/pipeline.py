"""Stages in a row."""

from collections.abc import Mapping

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameStream

from .stage import Stage

__all__ = ["Pipeline"]


class Pipeline(wiring.Component):
    """Joins stages: the frames of each go into the next, and their registers on one bus.

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
    count : Out(stream.Signature(Count))
        That of the stage which counts, if one does.

    Raises
    ------
    ValueError
        There is no stage, or more than one counts.
    """

    def __init__(self, stages: Mapping[str, Stage]):
        if not stages:
            raise ValueError("A pipeline has at least one stage")
        self.stages = dict(stages)
        counting = [stage for stage in self.stages.values() if "count" in stage.signature.members]
        if len(counting) > 1:
            raise ValueError("Not more than one stage of a pipeline counts")
        self._counting = counting[0] if counting else None
        self._decoder = csr.decoder_of({name: stage.csr for name, stage in self.stages.items()})
        members = {
            "i": In(FrameStream),
            "o": Out(FrameStream),
            "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
        }
        if counting:
            members["count"] = counting[0].signature.members["count"]
        super().__init__(members)
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        if self._counting is not None:
            connect(m, self._counting.count, flipped(self.count))
        upstream = flipped(self.i)
        for name, stage in self.stages.items():
            m.submodules[name] = stage
            connect(m, upstream, stage.i)
            upstream = stage.o
        connect(m, upstream, flipped(self.o))
        return m

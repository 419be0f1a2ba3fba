"""A short queue for what has its place reserved."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["Line"]


class Line(wiring.Component):
    """A queue in LUT-RAM without a notion of "full": its user sees to it that there is room.

    What is put in shows at the output one cycle later. With nothing to guard, it is two
    counters and their comparison; the queues of ``niter.stream`` cost twice that.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        A power of two; one payload less may be inside.

    Members
    -------
    i : In(shape), put : In(1)
        A payload, in the cycle of ``put``.
    o : Out(stream.Signature(shape))
        The oldest.
    """

    def __init__(self, shape: Any, depth: int):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two from 2 up, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__({"i": In(shape), "put": In(1), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = storage = memory.Memory(shape=self.shape, depth=self.depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        head, tail = Signal(ceil_log2(self.depth)), Signal(ceil_log2(self.depth))
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(self.i),
            write.en.eq(self.put),
            read.addr.eq(head),
            self.o.p.eq(read.data),
            self.o.valid.eq(head != tail),
        ]
        with m.If(self.put):
            m.d.sync += tail.eq(tail + 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += head.eq(head + 1)
        return m

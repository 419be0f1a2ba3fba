"""Queues of payloads, within a clock domain and between two."""

from typing import Any

from amaranth import Module, Shape, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AsyncFifo", "Fifo"]


class Fifo(wiring.Component):
    """A queue in RAM. Latency 2 cycles, one payload a cycle.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        Payloads that it holds.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    o : Out(stream.Signature(shape))
        Output.
    level : Out(range(depth + 1))
        Payloads held.
    """

    def __init__(self, shape: Any, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=Shape.cast(self.shape).width, depth=self.depth
        )
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        return m


class AsyncFifo(wiring.Component):
    """A queue between two clock domains.

    Latency about 4 cycles of the output's domain, one payload a cycle of the slower one.
    A reset of the input's domain empties the queue, and the output then sees nothing that
    was in it; a reset of the output's domain alone loses what was in flight to it.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        Payloads that it holds at least; a power of two plus one avoids waste.
    i_domain, o_domain
        Clock domains of the two ends.

    Members
    -------
    i : In(stream.Signature(shape))
        Input, in ``i_domain``.
    o : Out(stream.Signature(shape))
        Output, in ``o_domain``.
    """

    def __init__(self, shape: Any, depth: int, *, i_domain: str, o_domain: str):
        self.shape = shape
        self.depth = depth
        self.i_domain = i_domain
        self.o_domain = o_domain
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.queue = queue = fifo.AsyncFIFOBuffered(
            width=Shape.cast(self.shape).width,
            depth=self.depth,
            w_domain=self.i_domain,
            r_domain=self.o_domain,
        )
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m

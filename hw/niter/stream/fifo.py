"""Queues of payloads, within a clock domain and between two."""

from typing import Any

from amaranth import DomainRenamer, Module, ResetInserter, Shape, Signal, Value
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter.ram import Ram

from .buffer import SkidBuffer

__all__ = ["AsyncFifo", "Fifo"]

#: What one LUT-RAM cell holds.
_LUT_RAM_DEPTH = 16


class Fifo(wiring.Component):
    """A queue in RAM with a register behind it. Latency 3 cycles, one payload a cycle.

    Up to 16 payloads stand in LUT-RAM, at 6 COMB for 4 bits; more in EBR.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        Payloads that it holds in RAM, a power of two.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    o : Out(stream.Signature(shape))
        Output.
    level : Out(range(depth + 3))
        Payloads held, those on their way out of RAM included.

    Raises
    ------
    ValueError
        The depth is not a power of two, or less than 2.
    """

    def __init__(self, shape: Any, depth: int):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two from 2 up, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 3)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        kind = memory.Memory if self.depth <= _LUT_RAM_DEPTH else Ram
        m.submodules.storage = storage = kind(shape=self.shape, depth=self.depth, init=[])
        write = storage.write_port()
        bits = ceil_log2(self.depth)
        head = Signal(bits + 1)
        tail = Signal(bits + 1)
        advance = Signal()
        available = Signal()
        fetched = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            available.eq(head != tail),
            # Full is: the same place, a round apart.
            self.i.ready.eq(tail != head ^ self.depth),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        if kind is Ram:
            read = storage.read_port()
            m.d.comb += [read.addr.eq(head), read.en.eq(advance)]
            word, word_valid, on_the_way = read.data, fetched, fetched + self.o.valid
            with m.If(advance):
                m.d.sync += fetched.eq(available)
        else:
            read = storage.read_port(domain="comb")
            m.d.comb += read.addr.eq(head)
            word, word_valid, on_the_way = read.data, available, self.o.valid
        m.d.comb += self.level.eq((tail - head)[: bits + 1] + on_the_way)
        m.d.sync += tail.eq(tail + write.en)
        with m.If(advance):
            m.d.sync += [
                head.eq(head + available),
                self.o.valid.eq(word_valid),
                self.o.payload.eq(word),
            ]
        return m


class AsyncFifo(wiring.Component):
    """A queue between two clock domains.

    Latency about 4 cycles of the output's domain, one payload a cycle of the slower one. Neither
    end's ``valid`` and ``ready`` depend on each other within a cycle.

    A reset of the input's domain empties the queue, and the output then sees nothing that
    was in it; a reset of the output's domain alone loses what was in flight to it.

    Parameters
    ----------
    shape
        Shape of the payload.
    depth
        Payloads that it holds at least; a power of two plus two avoids waste.
    i_domain, o_domain
        Clock domains of the two ends.

    Members
    -------
    i : In(stream.Signature(shape))
        Input, in ``i_domain``.
    o : Out(stream.Signature(shape))
        Output, in ``o_domain``.

    Raises
    ------
    ValueError
        The depth is less than 4: two payloads stand behind the memory, which holds two or more.
    """

    def __init__(self, shape: Any, depth: int, *, i_domain: str, o_domain: str):
        if depth < 4:
            raise ValueError(f"Depth must be 4 or more, not {depth!r}")
        self.shape = shape
        self.depth = depth
        self.i_domain = i_domain
        self.o_domain = o_domain
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.queue = queue = fifo.AsyncFIFO(
            width=Shape.cast(self.shape).width,
            depth=self.depth - 2,
            w_domain=self.i_domain,
            r_domain=self.o_domain,
        )
        # From who takes a payload through the pointer to the memory is too far for one cycle.
        buffer = SkidBuffer(self.shape)
        m.submodules.buffer = DomainRenamer(self.o_domain)(ResetInserter(queue.r_rst)(buffer))
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            Value.cast(buffer.i.payload).eq(queue.r_data),
            buffer.i.valid.eq(queue.r_rdy),
            queue.r_en.eq(buffer.i.ready),
        ]
        connect(m, buffer.o, flipped(self.o))
        return m

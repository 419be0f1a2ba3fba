"""Queues of tags."""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .layouts import TAG_BITS

__all__ = ["TagQueue"]


class TagQueue(wiring.Component):
    """Tags that wait for the same thing, first in, first out; each is in it once at most.

    So it has room for every tag and cannot overflow. A tag is at the head 1 cycle after it was
    put into an empty queue.

    Parameters
    ----------
    tags
        How many there are: a power of two.

    Members
    -------
    push : In(1)
        Put ``i`` behind the others.
    i : In(TAG_BITS)
        That tag.
    valid : Out(1)
        There is one.
    o : Out(TAG_BITS)
        The first one.
    pop : In(1)
        Take it out; only while ``valid``.
    """

    push: In(1)
    i: In(TAG_BITS)
    valid: Out(1)
    o: Out(TAG_BITS)
    pop: In(1)

    def __init__(self, tags: int):
        if tags < 2 or tags & (tags - 1) or tags > 1 << TAG_BITS:
            raise ValueError(f"Tags must be a power of two, 2 to {1 << TAG_BITS}, not {tags!r}")
        self.tags = tags
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bits = ceil_log2(self.tags)
        m.submodules.places = places = memory.Memory(shape=bits, depth=self.tags, init=[])
        write, read = places.write_port(), places.read_port(domain="comb")
        head, tail = Signal(bits + 1), Signal(bits + 1)
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(self.i),
            write.en.eq(self.push),
            read.addr.eq(head),
            self.o.eq(read.data),
            self.valid.eq(head != tail),
        ]
        m.d.sync += [head.eq(head + self.pop), tail.eq(tail + self.push)]
        return m

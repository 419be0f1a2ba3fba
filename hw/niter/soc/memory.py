"""The core's memories on its bus."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from niter.ram import Ram

from .wishbone import BURST_WORDS, CycleType, Wishbone

__all__ = ["BusMemory"]


class BusMemory(wiring.Component):
    """RAM or ROM in EBR.

    A single access takes two cycles, a burst one more than its words. An access beyond the
    size wraps: the interconnect decodes coarsely.

    Parameters
    ----------
    size
        Bytes; a multiple of four.
    init
        Words that it holds after configuration.
    writable
        Whether writes do anything. They are acknowledged in any case.

    Members
    -------
    bus : In(Wishbone)
        The bus.

    Raises
    ------
    ValueError
        The size is no multiple of four, or less than what it shall hold.
    """

    bus: In(Wishbone)

    def __init__(self, size: int, init: Sequence[int] = (), *, writable: bool = True):
        if size % 4 or len(init) * 4 > size:
            raise ValueError(f"A memory of {size} bytes cannot hold {len(init)} words")
        self.size = size
        self.writable = writable
        self._storage = Ram(shape=32, depth=size // 4, init=list(init))
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bus = self.bus
        m.submodules.storage = storage = self._storage
        read = storage.read_port()
        address = Signal(ceil_log2(self.size // 4))
        at = Signal(BURST_WORDS.bit_length() - 1)
        request = Signal()
        burst = Signal()
        m.d.comb += [
            request.eq(bus.cyc & bus.stb),
            burst.eq(bus.cti == CycleType.INCREMENTING),
            # While a word of a burst is taken, the next one is fetched.
            at.eq(bus.adr + (bus.ack & burst)),
            address.eq(Cat(at, bus.adr[len(at) :])),
            read.addr.eq(address),
            read.en.eq(1),
            bus.dat_r.eq(read.data),
        ]
        m.d.sync += bus.ack.eq(request & (~bus.ack | burst))
        if self.writable:
            write = storage.write_port(granularity=8)
            m.d.comb += [
                write.addr.eq(bus.adr),
                write.data.eq(bus.dat_w),
                write.en.eq(bus.sel & (request & bus.we & ~bus.ack).replicate(4)),
            ]
        return m

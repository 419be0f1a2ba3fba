"""The core's memories on its bus."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from niter.ram import Ram

from .wishbone import BURST_WORDS, CycleType, Wishbone

__all__ = ["BusMemory"]


class BusMemory(wiring.Component):
    """RAM or ROM in EBR.

    A single access takes two cycles, a burst one more than its words; in other cycles the bus shows
    zero. The memory is made of powers of two, the largest first: synthesis would round any other
    size up, or multiplex dozens of words. The interconnect decodes coarsely: addresses wrap at the
    next power of two, and between the size and that, reads give zero and writes do nothing.

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
        words = size // 4
        # Where each part begins, and how many address bits it has.
        self._parts: list[tuple[int, int, Ram]] = []
        start = 0
        for bits in reversed(range(words.bit_length())):
            if words >> bits & 1:
                content = list(init[start : start + (1 << bits)])
                self._parts.append((start, bits, Ram(shape=32, depth=1 << bits, init=content)))
                start += 1 << bits
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bus = self.bus
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
        ]
        # A transfer of the next cycle.
        taken = Signal()
        m.d.comb += taken.eq(request & (~bus.ack | burst))
        m.d.sync += bus.ack.eq(taken)
        put = bus.sel & (request & bus.we & ~bus.ack).replicate(4)
        found = []
        for number, (start, bits, storage) in enumerate(self._parts):
            m.submodules[f"storage_{number}"] = storage
            here = Signal(name=f"here_{number}")
            read = storage.read_port(shown=here & taken)
            m.d.comb += [
                here.eq(address[bits:] == start >> bits),
                read.addr.eq(address),
                read.en.eq(1),
            ]
            found.append(read.data)
            if self.writable:
                write = storage.write_port(granularity=8)
                m.d.comb += [
                    # In a cycle that writes it is the bus' own. With one address a block RAM is
                    # used by one of its ports, and has half of the wires to it.
                    write.addr.eq(address),
                    write.data.eq(bus.dat_w),
                    write.en.eq(put & here.replicate(4)),
                ]
        m.d.comb += bus.dat_r.eq(reduce(or_, found))
        return m

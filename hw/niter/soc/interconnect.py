"""Joins the core's two buses and shares its targets between them."""

from collections.abc import Mapping

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .wishbone import CycleType, Wishbone

__all__ = ["Interconnect"]

_REQUEST = ("cyc", "stb", "we", "adr", "sel", "cti", "dat_w")


class Interconnect(wiring.Component):
    """One transfer or burst at a time goes from ``fetch`` or ``data`` to a target.

    ``data`` comes first when both ask; a transfer or burst under way is never interrupted. No
    latency of its own. Where there is no target, writes do nothing and reads give zero, one
    cycle later: the core knows no bus errors, and zero is no instruction.

    Targets show zero unless they are acknowledging a read, so that their words are joined by OR.

    Parameters
    ----------
    targets
        Byte address and size of each target's space, a power of two, by its name.

    Members
    -------
    fetch, data : In(Wishbone)
        From the core.
    <name> : Out(Wishbone)
        To each target.
    """

    def __init__(self, targets: Mapping[str, tuple[int, int]]):
        self.targets = dict(targets)
        ports = {name: Out(Wishbone) for name in targets}
        super().__init__({"fetch": In(Wishbone), "data": In(Wishbone), **ports})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        shared = Wishbone.create(path=("shared",))
        owned, owner, fetching = Signal(), Signal(), Signal()
        ends = shared.ack & (shared.cti != CycleType.INCREMENTING)
        m.d.comb += fetching.eq(Mux(owned, owner, ~self.data.cyc))
        m.d.sync += [
            owned.eq(shared.cyc & shared.stb & ~ends),
            owner.eq(fetching),
        ]
        for name in _REQUEST:
            m.d.comb += getattr(shared, name).eq(
                Mux(fetching, getattr(self.fetch, name), getattr(self.data, name))
            )
        for bus, mine in ((self.fetch, fetching), (self.data, ~fetching)):
            m.d.comb += [bus.dat_r.eq(shared.dat_r), bus.ack.eq(shared.ack & mine)]

        nowhere = Signal()
        anywhere, word, acknowledged = 0, 0, nowhere
        for name, (start, size) in self.targets.items():
            target = getattr(self, name)
            here = Signal(name=f"in_{name}")
            bits = exact_log2(size) - 2
            m.d.comb += [getattr(target, each).eq(getattr(shared, each)) for each in _REQUEST]
            m.d.comb += [
                here.eq(shared.adr[bits:] == start // size),
                target.cyc.eq(shared.cyc & here),
            ]
            anywhere |= here
            word |= target.dat_r
            acknowledged |= target.ack
        m.d.comb += [shared.dat_r.eq(word), shared.ack.eq(acknowledged)]
        m.d.sync += nowhere.eq(shared.cyc & shared.stb & ~anywhere & ~nowhere)
        return m

"""What is known of each slot of the key store, beside the key itself."""

from amaranth import C, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

__all__ = ["KeySlots"]


class KeySlots(wiring.Component):
    """Which slots hold a key, what their keys may be used for, and which are locked.

    A lock stays until reset. What a key may be used for counts while it is held only. No latency:
    what is ordered in a cycle stands there from the next on.

    Parameters
    ----------
    slots
        Number of slots, a power of two.

    Members
    -------
    slot, source : In(4)
        The slots that a command names, and in the same cycle, what is known of them:
    in_range : Out(1)
        Both exist.
    unlocked : Out(1)
        ``slot`` is not locked.
    derives, discloses : Out(1)
        Keys may be derived from ``source`` as it is now; software may read them.
    forget, lock : In(1)
        Of ``slot``.
    forget_all : In(1)
        Of all slots.
    keep : In(1)
        ``active`` holds a key now, for the uses in ``storage``, ``derive``, ``disclose``.
    active : In
        A slot.
    storage, derive, disclose : In(1)
        Uses.
    loaded, locked, for_storage, for_derive, for_disclose : Out(slots)
        All of it, a bit for each slot. Uses of a slot without a key are zero.
    """

    def __init__(self, slots: int):
        self.slots = slots
        inputs = ("forget", "lock", "forget_all", "keep", "storage", "derive", "disclose")
        single = ("in_range", "unlocked", "derives", "discloses")
        masks = ("loaded", "locked", "for_storage", "for_derive", "for_disclose")
        super().__init__(
            {
                "slot": In(4),
                "source": In(4),
                "active": In(exact_log2(slots)),
                **{name: In(1) for name in inputs},
                **{name: Out(1) for name in single},
                **{name: Out(slots) for name in masks},
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        width = len(self.active)

        def at(index):
            return (C(1, self.slots) << index[:width])[: self.slots]

        named, source, active = at(self.slot), at(self.source), at(self.active)
        m.d.comb += [
            self.in_range.eq((self.slot >> width == 0) & (self.source >> width == 0)),
            self.unlocked.eq(~(self.locked & named).any()),
            self.derives.eq((self.for_derive & ~self.locked & source).any()),
            self.discloses.eq((self.for_disclose & source).any()),
        ]
        for use in ("storage", "derive", "disclose"):
            mask = Signal(self.slots, name=use)
            m.d.comb += getattr(self, f"for_{use}").eq(mask & self.loaded)
            with m.If(self.keep):
                m.d.sync += mask.eq(Mux(getattr(self, use), mask | active, mask & ~active))
        with m.If(self.keep):
            m.d.sync += self.loaded.eq(self.loaded | active)
        with m.If(self.forget):
            m.d.sync += self.loaded.eq(self.loaded & ~named)
        with m.If(self.lock):
            m.d.sync += self.locked.eq(self.locked | named)
        with m.If(self.forget_all):
            m.d.sync += self.loaded.eq(0)
        return m

"""The declaration of a bench."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from amaranth.lib import wiring

from . import context

__all__ = ["Bench", "Factory", "Tier"]

#: Makes a device under test.
Factory = Callable[[], wiring.Component]

#: ``fast`` runs in seconds and guards main, ``slow`` runs on demand, ``bench`` measures.
Tier = Literal["fast", "slow", "bench"]


@dataclass(frozen=True)
class Bench:
    """A device under test and how to run it.

    Parameters
    ----------
    dut
        Makes the component, or several of them by the name of the variant; every test of
        the file runs on every variant.
    tier
        Which targets run it.
    clock_ns
        Period of ``clk``, at which figures are stated.
    fuzz
        Its tests draw from the seed, so that running them again tells more: ``make soak``
        does so.
    timeout_s
        Wall time after which a run of one variant counts as hung.
    public
        Keep internal signals visible to the tests. The model is several times slower:
        better observe ports.
    mapped
        Simulate the cells that synthesis for ECP5 leaves, not the design as it is written.

    Raises
    ------
    ValueError
        For an unknown tier or no variant.
    """

    dut: Factory | Mapping[str, Factory]
    tier: Tier = "fast"
    clock_ns: float = 16
    fuzz: bool = False
    timeout_s: float = 300
    public: bool = False
    mapped: bool = False
    variants: Mapping[str, Factory] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.tier not in get_args(Tier):
            raise ValueError(f"Tier is one of {', '.join(get_args(Tier))}, not {self.tier!r}")
        variants = dict(self.dut) if isinstance(self.dut, Mapping) else {"": self.dut}
        if not variants:
            raise ValueError("A bench has at least one variant")
        object.__setattr__(self, "variants", variants)

    @cached_property
    def component(self) -> wiring.Component:
        """The component of the variant that is running, for its attributes: layouts, sizes."""
        return self.variants[context.variant()]()

    async def start(self, dut, reset_cycles: int = 4) -> None:
        """Set every input to zero, start ``clk`` and reset the design: a test's first step.

        Returns just after an edge with ``rst`` low. A design without a ``sync`` domain has
        neither clock nor reset; then only the inputs are set.
        """
        from cocotb.clock import Clock
        from cocotb.triggers import ClockCycles, Timer

        # What was imported and elaborated stays for good: the collector need not walk it again.
        gc.collect()
        gc.freeze()
        # Nor often what a test leaves behind: a run is short, and memory is there.
        gc.set_threshold(1_000_000, 50, 100)
        for path, member, _ in self.component.signature.flatten(self.component):
            if member.flow == wiring.In:
                getattr(dut, "__".join(map(str, path))).value = 0
        if not hasattr(dut, "clk"):
            await Timer(1, unit="ns")
            return
        dut.rst.value = 1
        Clock(dut.clk, self.clock_ns, unit="ns").start()
        await ClockCycles(dut.clk, reset_cycles)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 1)

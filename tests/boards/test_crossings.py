"""The check of clocks finds what is wrong, each kind of it, and nothing else."""

import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, DomainRenamer, Instance, Module, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

from boards.crossings import Netlist
from boards.synthesis import synthesise
from niter.security.noise import RingNoise
from niter.stream import AsyncFifo


class Sampler(wiring.Component):
    """Crossings, good and bad: from ``a``, and from an input, to ``b``."""

    clk_a: In(1)
    clk_b: In(1)
    button: In(1)
    good: Out(4)
    bare: Out(1)
    mixed: Out(1)
    unclocked: Out(1)
    reset: Out(1)
    memory: Out(4)
    queued: Out(4)
    noise: Out(1)
    noisy: Out(1)

    def elaborate(self, platform):
        m = Module()
        for name in ("a", "b"):
            domain = ClockDomain(name)
            m.domains += domain
            m.d.comb += domain.clk.eq(getattr(self, f"clk_{name}"))
        source = Signal(4)
        m.d.a += source.eq(source + 1)

        m.submodules.good_sync = cdc.FFSynchronizer(~source, self.good, o_domain="b")
        m.d.b += self.bare.eq(source[0])
        m.submodules.mixed_sync = cdc.FFSynchronizer(
            source[0] ^ source[1], self.mixed, o_domain="b"
        )
        m.d.b += self.unclocked.eq(self.button)

        m.domains += (late := ClockDomain("late"))
        m.d.comb += late.clk.eq(self.clk_b)
        m.submodules.reset_sync = cdc.ResetSynchronizer(self.button, domain="late")
        m.d.late += self.reset.eq(~self.reset)

        # A memory of its own that is written here and read there, and a queue that does it well.
        words = [Signal(4, name=f"word_{n}") for n in range(2)]
        with m.If(source[3]):
            m.d.a += words[0].eq(source)
        with m.Else():
            m.d.a += words[1].eq(source)
        m.d.b += self.memory.eq(words[0] ^ words[1])
        m.submodules.queue = queue = AsyncFifo(4, 6, i_domain="a", o_domain="b")
        m.d.comb += [
            queue.i.payload.eq(source),
            queue.i.valid.eq(1),
            queue.o.ready.eq(1),
            self.queued.eq(queue.o.payload),
        ]
        # A ring of gates, looked at through a synchroniser as it should be, and without one.
        m.submodules.noise = noise = DomainRenamer("b")(RingNoise((3,), interval=2))
        ring = Signal(attrs={"keep": 1})
        m.submodules.ring = Instance(
            *("LUT4", ("a", "keep", 1), ("p", "INIT", 0x5555), ("i", "A", ring), ("o", "Z", ring)),
            *(("i", pin, 0) for pin in "BCD"),
        )
        m.d.comb += self.noise.eq(noise.noise.sample)
        m.d.b += self.noisy.eq(ring)
        return m


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crossings")
    synthesise(rtlil.convert(Sampler(), name="top"), folder, "top")
    return Netlist(json.loads((folder / "netlist.json").read_text())["modules"]["top"])


def test_planted_defects(netlist):
    found = {}
    for crossing in netlist.crossings():
        assert crossing.clock == "clk_b"
        name = crossing.sink.split("_TRELLIS")[0]
        found.setdefault(name, set()).update(clock for _, clock in crossing.sources)
    assert found == {
        "bare": {"clk_a"},
        "mixed_sync.stage0": {"clk_a"},
        "unclocked": {"no clock"},
        "memory": {"clk_a"},
        "noisy": {"no clock"},
    }


def test_unconstrained_clock(netlist):
    assert netlist.unconstrained(["clk_a", "clk_b"]) == []
    assert netlist.unconstrained(["clk_b"]) == ["clk_a"]


def test_says_what_it_is(netlist):
    text = next(str(each) for each in netlist.crossings() if each.sink.startswith("bare"))
    assert text.startswith("bare_TRELLIS_FF_Q.DI (clk_b) sees ") and text.endswith("(clk_a)")


@pytest.mark.parametrize("reader, found", [("CLKB", False), ("CLKA", True)])
def test_wide_memory(reader, found):
    """Of 36 bits, what both sets of data pins show belongs to the reading port's clock."""
    clocks = {"CLKA": 2, "CLKB": 3}
    memory = {
        "type": "DP16KD",
        "parameters": {"DATA_WIDTH_A": f"{36:032b}"},
        "connections": {**{pin: [bit] for pin, bit in clocks.items()}, "DOA0": [4]},
        "port_directions": {"CLKA": "input", "CLKB": "input", "DOA0": "output"},
        "attributes": {"src": ""},
    }
    register = {
        "type": "TRELLIS_FF",
        "parameters": {},
        "connections": {"CLK": [clocks[reader]], "DI": [4], "Q": [5]},
        "port_directions": {"CLK": "input", "DI": "input", "Q": "output"},
        "attributes": {"src": ""},
    }
    names = {name: {"bits": [bit]} for name, bit in (("a", 2), ("b", 3), ("o", 4), ("q", 5))}
    netlist = Netlist({"cells": {"memory": memory, "register": register}, "netnames": names})
    assert bool(netlist.crossings()) == found


def test_unknown_cell():
    cell = {"type": "MYSTERY", "connections": {}, "port_directions": {}, "attributes": {}}
    with pytest.raises(ValueError, match="Nothing is known of MYSTERY"):
        Netlist({"cells": {"x": cell}, "netnames": {}})

"""The proofs' own tools: what is wrong is found, and what is free is really free."""

import tempfile

import pytest
from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover, Elaboratable
from amaranth.lib import stream

from niter.interface import Beat
from tests.formal.harness import drive, follow_packets, match_order, prove


@pytest.fixture(autouse=True)
def traces(tmp_path, monkeypatch):
    """What proofs that are to fail leave, goes with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class Spec(Elaboratable):
    """Rules in a function of the module."""

    def __init__(self, build):
        self.build = build

    def elaborate(self, platform):
        m = Module()
        self.build(m)
        return m


def counter(limit):
    def build(m):
        count = Signal(4)
        m.d.sync += count.eq(Mux(count == 9, 0, count + 1))
        m.d.comb += [Assert(count < limit), Cover(count == 9)]

    return Spec(build)


def test_true_and_false():
    prove(counter(10), depth=12, mode="prove")
    prove(counter(10), depth=12, mode="cover")
    with pytest.raises(AssertionError, match="not proven"):
        prove(counter(9), depth=12)
    with pytest.raises(AssertionError, match="not proven"):
        prove(counter(10), depth=5, mode="cover")


def test_assumptions_that_contradict_each_other_prove_nothing():
    def build(m):
        count = Signal(4)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [Assume(count < 3), Assert(count < 3)]

    prove(Spec(build), depth=3)
    with pytest.raises(AssertionError, match="not proven"):
        prove(Spec(build), depth=4)


def test_a_broken_contract_is_found():
    def build(m):
        free = stream.Signature(1).create()
        drive(m, free)
        fickle = stream.Signature(Beat).create()
        m.d.comb += [fickle.valid.eq(free.valid ^ free.payload), fickle.ready.eq(0)]
        follow_packets(m, fickle)

    with pytest.raises(AssertionError, match="not proven"):
        prove(Spec(build), depth=3)


@pytest.mark.parametrize("fault", ["loses", "doubles", "changes"])
def test_a_wrong_order_is_found(fault):
    def build(m):
        port = stream.Signature(2).create()
        drive(m, port)
        m.d.comb += port.ready.eq(1)
        valid, value = Signal(), Signal(2)
        m.d.sync += [valid.eq(port.valid), value.eq(port.payload)]
        if fault == "loses":
            m.d.sync += valid.eq(port.valid & (port.payload != 3))
        if fault == "doubles":
            m.d.sync += valid.eq(port.valid | (valid & (value == 3)))
        if fault == "changes":
            m.d.sync += value.eq(port.payload & ~(valid & (value == 3)).replicate(2))
        quiet = match_order(m, port.valid, port.payload, valid, value, bound=2)
        m.d.comb += quiet.eq(~port.valid)

    with pytest.raises(AssertionError, match="not proven"):
        prove(Spec(build), depth=6)

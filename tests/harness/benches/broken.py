"""Benches that cannot give a result, one way for each variant."""

import os

import cocotb
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sim.harness import Bench, variant


class Wire(wiring.Component):
    """Nothing but a wire."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.i)
        return m


class Impossible(Wire):
    """Fails to elaborate."""

    def elaborate(self, platform):
        raise RuntimeError("this design is impossible")


BENCH = Bench(
    dut={"impossible": Impossible, "crash": Wire, "skipped": Wire},
)


@cocotb.test(skip=variant() == "skipped")
async def gives_no_result(dut):
    await BENCH.start(dut)
    os.abort()

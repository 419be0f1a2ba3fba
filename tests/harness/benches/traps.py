"""Combinational logic that a simulator of Verilog gets wrong when it is written as processes."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import Timer

from sim.harness import Bench, rng


class Parts(data.Struct):
    """Some bits constant, some read by the logic that drives others."""

    constant: 4
    first: 4
    second: 4
    third: 4


class Traps(wiring.Component):
    """``third`` is 2 * (``i`` + 1) + 1, by way of the other members of one signal."""

    i: In(4)
    o: Out(Parts)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.constant.eq(9)
        with m.If(self.o.second == 0):
            m.d.comb += self.o.third.eq(1)
        with m.Else():
            m.d.comb += self.o.third.eq((self.o.second << 1) + 1)
        with m.Switch(self.o.first):
            for number in range(16):
                with m.Case(number):
                    m.d.comb += self.o.second.eq(number + 1)
        m.d.comb += self.o.first.eq(self.i)
        return m


BENCH = Bench(dut=Traps)


@cocotb.test()
async def follows_its_inputs(dut):
    await BENCH.start(dut)
    order = [*range(16)] * 2
    rng().shuffle(order)
    for value in order:
        dut.i.value = value
        await Timer(1, unit="ns")
        got = Parts.from_bits(int(dut.o.value))
        second = (value + 1) & 15
        assert (got.constant, got.first, got.second) == (9, value, second)
        assert got.third == (2 * second + 1) & 15

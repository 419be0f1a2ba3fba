"""A bench that never ends."""

import time

import cocotb

from sim.harness import Bench

from .broken import Wire

BENCH = Bench(dut=Wire, timeout_s=10)


@cocotb.test()
async def never_ends(dut):
    while True:
        time.sleep(1)

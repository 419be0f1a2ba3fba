"""The soft core on a bus of its own: where it begins, and that it does so again."""

import cocotb
from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import RisingEdge

from niter.soc.cpu import Cpu
from niter.soc.wishbone import Wishbone
from sim.harness import Bench

#: Where the core begins, in bytes.
RESET = 0x1000
#: ``addi x0, x0, 0``.
NOP = 0x0000_0013


class Restartable(wiring.Component):
    """A core that something else than the reset of its clock domain resets, as a watchdog does.

    Members
    -------
    restart : In(1)
        Resets it.
    fetch, data : Out(Wishbone)
        The core's.
    """

    restart: In(1)
    fetch: Out(Wishbone)
    data: Out(Wishbone)

    def elaborate(self, platform):
        m = Module()
        cpu = Cpu(RESET)
        m.submodules.cpu = ResetInserter(self.restart)(cpu)
        connect(m, cpu.fetch, flipped(self.fetch))
        connect(m, cpu.data, flipped(self.data))
        return m


BENCH = Bench(dut=Restartable)


async def fetched(dut, count: int) -> list[int]:
    """Answer so many fetches, each at once, with instructions that do nothing; their addresses."""
    addresses = []
    dut.fetch__dat_r.value = NOP
    dut.fetch__ack.value = 1
    while len(addresses) < count:
        await RisingEdge(dut.clk)
        if dut.fetch__cyc.value and dut.fetch__stb.value:
            addresses.append(int(dut.fetch__adr.value) * 4)
    return addresses


@cocotb.test()
async def begins_again_when_it_is_restarted(dut):
    """From the reset address, though it was in the middle of something else."""
    await BENCH.start(dut)
    first = await fetched(dut, 100)
    assert first == list(range(RESET, RESET + 400, 4)), [hex(each) for each in first]
    dut.restart.value = 1
    for _ in range(16):
        await RisingEdge(dut.clk)
    dut.restart.value = 0
    for _ in range(2):
        await RisingEdge(dut.clk)
    again = await fetched(dut, 20)
    assert again[0] == RESET and again == list(range(RESET, RESET + 80, 4)), again

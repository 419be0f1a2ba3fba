"""Boot: the ROM finds its loader, the loader a firmware that may run, and the firmware the card.

The oracle is ``hashlib`` and the image tool: measurements are recomputed from the images' bytes.
"""

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, First, Timer

from sim.harness import Bench
from sim.models.control import ControlBus
from sim.models.flash_pins import FlashModel
from sim.soc.rig import FUNCTIONS, flash_content, images, rig

BENCH = Bench(dut=rig, tier="slow", timeout_s=1500)

CLOCK_NS = 16
#: Cycles of a bit of the serial line.
BIT = 4


class Console:
    """Takes letters from the serial line."""

    def __init__(self, dut):
        self.text = ""
        self._line = dut.uart_tx
        cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            await FallingEdge(self._line)
            await Timer(CLOCK_NS * BIT * 3 // 2, "ns")
            byte = 0
            for position in range(8):
                byte |= int(self._line.value) << position
                await Timer(CLOCK_NS * BIT, "ns")
            self.text += chr(byte)


class Board:
    """The rig with a flash, switched on."""

    @classmethod
    async def start(cls, dut, content):
        self = cls()
        self.dut = dut
        self.flash = FlashModel(dut, "flash", content)
        await BENCH.start(dut)
        self.console = Console(dut)
        self.control = ControlBus(dut, "csr", BENCH.component.csr.memory_map)
        return self

    async def released(self, cycles):
        """Wait until functions are released, at most so long; returns after how many cycles."""
        begin = cocotb.utils.get_sim_time("ns")
        await First(self.dut.released.value_change, ClockCycles(self.dut.clk, cycles))
        return (cocotb.utils.get_sim_time("ns") - begin) // CLOCK_NS

    async def _word(self, address):
        """A register's word. The core goes first when both want the bus in the same cycle."""
        while True:
            first, second = [await self.control.read_word(address) for _ in range(2)]
            if first == second:
                return first

    async def measurement(self, number):
        base = self.control.address("soc.measurements.registers.values") + 16 * number
        words = [await self._word(base + n) for n in range(12)]
        return b"".join(word.to_bytes(4, "little") for word in words)


@cocotb.test()
async def boots_by_itself(dut):
    """Slot A is started, everything is measured, and the functions are released."""
    found = images()
    board = await Board.start(dut, flash_content(a=found.image))
    cycles = await board.released(30_000_000)
    cocotb.log.info("released after %d cycles", cycles)
    assert int(dut.released.value) == (1 << FUNCTIONS) - 1, board.console.text
    assert board.console.text == "A"
    for name, expected in found.measurements().items():
        assert await board.measurement(int(name[3])) == expected, name

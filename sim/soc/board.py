"""What stands round a SoC: flash and a console."""

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, First, Timer

from sim.models.control import ControlBus
from sim.models.flash_pins import FlashModel

from .rig import CONFIG

__all__ = ["BIT_NS", "CLOCK_NS", "Board", "Console"]

CLOCK_NS = 16
#: Of the serial line.
BIT_NS = 4 * CLOCK_NS


class Console:
    """Takes letters from the serial line.

    Parameters
    ----------
    line
        The pin.
    bit_ns
        Of the line.
    """

    def __init__(self, line, bit_ns: float):
        self.text = ""
        self._line, self._bit_ns = line, bit_ns
        cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            await FallingEdge(self._line)
            await Timer(self._bit_ns * 3 // 2, "ns")
            byte = 0
            for position in range(8):
                byte |= int(self._line.value) << position
                await Timer(self._bit_ns, "ns")
            self.text += chr(byte)
            cocotb.log.info("console: %r", chr(byte))


class Board:
    """The rig with a flash, switched on."""

    @classmethod
    async def start(cls, dut, bench, content):
        """Switch it on, with this content of its flash."""
        self = cls()
        self.dut = dut
        self.flash = FlashModel(dut, "flash", content)
        await bench.start(dut)
        self.console = Console(dut.uart_tx, BIT_NS)
        self.control = ControlBus(dut, "csr", bench.component.csr)
        return self

    async def released(self, cycles):
        """Wait until functions are released, at most so long; returns after how many cycles."""
        begin = cocotb.utils.get_sim_time("ns")
        await First(self.dut.released.value_change, ClockCycles(self.dut.clk, cycles))
        return (cocotb.utils.get_sim_time("ns") - begin) // CLOCK_NS

    async def check(self, found):
        """Functions are released, and what was measured is what was in flash."""
        assert int(self.dut.released.value) == (1 << CONFIG.functions) - 1, self.console.text
        for name, expected in found.measurements().items():
            assert await self.measurement(int(name[3])) == expected, name

    async def measurement(self, number):
        """Read a measurement register, while the core is at work."""
        base = self.control.address("soc.measurements.registers.values") + 16 * number
        words = [await self.control.read_word(base + n) for n in range(12)]
        return b"".join(word.to_bytes(4, "little") for word in words)

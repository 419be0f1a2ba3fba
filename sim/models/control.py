"""The control bus seen from its master: a bench stands in for the card's CPU."""

from abc import ABC, abstractmethod

from cocotb.triggers import RisingEdge

from niter.csr import CounterArray, Interface, MemoryMap, Register

__all__ = ["ControlBus", "Registers"]


class Registers(ABC):
    """Reads and writes registers by the names that a memory map gives them.

    Parameters
    ----------
    memory_map
        The map behind the bus.

    Raises
    ------
    KeyError
        A path names nothing, or a field is not in the register.
    """

    def __init__(self, memory_map: MemoryMap):
        self._where = {".".join(info.path): info for info in memory_map.all_resources()}

    @abstractmethod
    async def write_word(self, address: int, value: int) -> None:
        """Write the word at ``address``."""

    @abstractmethod
    async def read_word(self, address: int) -> int:
        """Read the word at ``address``."""

    def address(self, path: str) -> int:
        """Word address at which a resource begins."""
        return self._where[path].start

    async def write(self, path: str, value: int = 0, **fields: int) -> None:
        """Write a register, as one number or field by field; fields not named become zero."""
        info = self._where[path]
        for key, bits in fields.items():
            field = self._field(info.resource, key)
            value |= (bits & ((1 << field.width) - 1)) << field.offset
        await self.write_word(info.start, value)

    async def read(self, path: str, field: str | None = None) -> int:
        """Read a register, or one field of it."""
        info = self._where[path]
        value = await self.read_word(info.start)
        if field is None:
            return value
        found = self._field(info.resource, field)
        return value >> found.offset & ((1 << found.width) - 1)

    def banks(self) -> list[str]:
        """Paths of the counter banks."""
        return [p for p, info in self._where.items() if isinstance(info.resource, CounterArray)]

    async def counters(self, path: str) -> dict[str, int]:
        """Read a counter bank: every counter's value by its name."""
        info = self._where[path]
        if not isinstance(info.resource, CounterArray):
            raise KeyError(f"{path} is no counter bank")
        values = {}
        for number, name in enumerate(info.resource.names):
            low = await self.read_word(info.start + 2 * number)
            values[name] = low | await self.read_word(info.start + 2 * number + 1) << 32
        return values

    @staticmethod
    def _field(register: Register, name: str):
        for field in register.fields:
            if field.name == name:
                return field
        raise KeyError(name)


class ControlBus(Registers):
    """Reads and writes registers by the names that the memory map gives them.

    Parameters
    ----------
    dut
        cocotb handle of the component that has the bus.
    name
        Name of the port, as in the Verilog: ``csr``, or ``card__csr``.
    bus
        That port, of the component itself.
    clock
        The bus' clock; ``dut.clk`` when not given.
    """

    def __init__(self, dut, name: str, bus: Interface, clock=None):
        self._clock = dut.clk if clock is None else clock
        self._pin = {
            pin: getattr(dut, f"{name}__{pin}")
            for pin in ("addr", "r_stb", "r_data", "w_stb", "w_data")
        }
        self._latency = bus.latency
        super().__init__(bus.memory_map)
        self._pin["r_stb"].value = 0
        self._pin["w_stb"].value = 0

    async def write_word(self, address: int, value: int) -> None:
        """Write the word at ``address``."""
        await RisingEdge(self._clock)
        self._pin["addr"].value = address
        self._pin["w_data"].value = value
        self._pin["w_stb"].value = 1
        await RisingEdge(self._clock)
        self._pin["w_stb"].value = 0

    async def read_word(self, address: int) -> int:
        """Read the word at ``address``."""
        await RisingEdge(self._clock)
        self._pin["addr"].value = address
        self._pin["r_stb"].value = 1
        await RisingEdge(self._clock)
        self._pin["r_stb"].value = 0
        for _ in range(self._latency):
            await RisingEdge(self._clock)
        return int(self._pin["r_data"].value)

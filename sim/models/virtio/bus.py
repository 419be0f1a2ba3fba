"""How a driver model reaches one PCIe function: registers, memory and interrupts."""

from abc import ABC, abstractmethod
from collections import deque

import cocotb
from amaranth.lib import data
from cocotb.triggers import Event, RisingEdge

from niter.interface import Function, RegisterReply, RegisterRequest
from sim.models.hostport import Interrupts
from sim.models.memory import HostMemory
from sim.models.streams import StreamSink, StreamSource

__all__ = ["Bus", "CompleterAbort", "DirectBus", "FunctionMaster"]


class CompleterAbort(Exception):
    """A register access was answered with an error."""


class Bus(ABC):
    """One function, as software sees it.

    Parameters
    ----------
    memory
        Where the driver's rings and buffers are; the device reaches it by DMA.

    Members
    -------
    vectors
        MSI-X vectors that the driver may use.
    """

    def __init__(self, memory: HostMemory, vectors: int) -> None:
        self.memory = memory
        self.vectors = vectors

    @abstractmethod
    async def config_read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes of configuration space."""

    @abstractmethod
    async def config_write(self, offset: int, value: int, size: int) -> None:
        """Write ``size`` bytes of configuration space."""

    @abstractmethod
    async def read(self, bar: int, offset: int, size: int) -> int:
        """Read 1, 2, 4 or 8 bytes of a BAR."""

    @abstractmethod
    async def write(self, bar: int, offset: int, value: int, size: int) -> None:
        """Write 1, 2, 4 or 8 bytes of a BAR. Returns before the device has seen it."""

    @abstractmethod
    def interrupt(self, vector: int) -> Event:
        """Set with each interrupt of ``vector``; who waits for it clears it."""

    @abstractmethod
    def interrupts(self, vector: int) -> int:
        """How often ``vector`` was raised."""

    @abstractmethod
    async def function_reset(self) -> None:
        """Reset the function by FLR, and wait until it can be used again."""


class FunctionMaster:
    """Drives the ``FunctionPort`` input of a device under test, in place of the PCIe room.

    Parameters
    ----------
    dut, name
        Where the port is.
    stalls
        For requests and replies; see ``sim.models.streams.stalls``.
    """

    def __init__(self, dut, name: str = "function", *, stalls=None, reply_stalls=None) -> None:
        layout = data.Layout.cast(RegisterRequest)
        self._at = {field: place.offset for field, place in layout}
        reply = data.Layout.cast(RegisterReply)
        self._error = reply["error"].offset
        self._mask = (1 << reply["data"].width) - 1
        self._requests = StreamSource(dut, f"{name}__request", layout.size, stalls=stalls)
        self._replies = StreamSink(dut, f"{name}__reply", reply.size, stalls=reply_stalls)
        self._waiting: deque[tuple[Event, list[int]]] = deque()
        self._reset = getattr(dut, f"{name}__reset")
        self._reset_done = getattr(dut, f"{name}__reset_done")
        self._clk = dut.clk
        self._reset_bits = 0
        self._reset.value = 0
        cocotb.start_soon(self._deliver())

    async def _deliver(self) -> None:
        while True:
            bits = await self._replies.recv()
            assert self._waiting, "a register reply that nobody asked for"
            event, box = self._waiting.popleft()
            box.append(bits)
            event.set()

    def _request(self, function: int, bar: int, offset: int, size: int, write: bool, value: int):
        lane = offset % 8
        assert size in (1, 2, 4, 8) and lane + size <= 8, (offset, size)
        fields = {
            "function": function,
            "bar": bar,
            "address": offset - lane,
            "write": int(write),
            "data": value << 8 * lane,
            "mask": (1 << size) - 1 << lane,
        }
        self._requests.put(sum(content << self._at[name] for name, content in fields.items()))

    async def read(self, function: int, bar: int, offset: int, size: int) -> int:
        """Read a register.

        Raises
        ------
        CompleterAbort
            The reply was an error.
        """
        event, box = Event(), []
        self._waiting.append((event, box))
        self._request(function, bar, offset, size, False, 0)
        await event.wait()
        if box[0] >> self._error & 1:
            raise CompleterAbort(f"function {function}, BAR {bar}, offset {offset:#x}")
        return (box[0] & self._mask) >> 8 * (offset % 8) & (1 << 8 * size) - 1

    def write(self, function: int, bar: int, offset: int, size: int, value: int) -> None:
        """Write a register; writes and reads take effect in the order of the calls."""
        self._request(function, bar, offset, size, True, value)

    async def idle(self) -> None:
        """Wait until the device has taken all requests."""
        await self._requests.idle()

    async def reset(self, function: int) -> None:
        """Function level reset: held until the engine acknowledges, then withdrawn."""
        bit = 1 << function
        await RisingEdge(self._clk)
        self._reset_bits |= bit
        self._reset.value = self._reset_bits
        while not int(self._reset_done.value) & bit:
            await RisingEdge(self._clk)
        self._reset_bits &= ~bit
        self._reset.value = self._reset_bits
        while int(self._reset_done.value) & bit:
            await RisingEdge(self._clk)


class DirectBus(Bus):
    """A function behind a bare ``FunctionPort``, with an image of its configuration space.

    Parameters
    ----------
    master
        The port.
    function
        Number of the function.
    declaration
        What the PCIe room would build configuration space of.
    memory, interrupts
        The host.
    """

    _FIRST_CAPABILITY = 0x40

    def __init__(
        self,
        master: FunctionMaster,
        function: int,
        declaration: Function,
        memory: HostMemory,
        interrupts: Interrupts,
    ) -> None:
        super().__init__(memory, declaration.msix.vectors if declaration.msix else 0)
        self._master = master
        self._function = function
        self._interrupts = interrupts
        self._config = self._image(declaration)

    @classmethod
    def _image(cls, declaration: Function) -> bytearray:
        image = bytearray(256)
        image[0:2] = declaration.vendor.to_bytes(2, "little")
        image[2:4] = declaration.device.to_bytes(2, "little")
        image[6] = 0x10
        image[8] = declaration.revision
        image[9:12] = declaration.class_code.to_bytes(3, "little")
        at, link = cls._FIRST_CAPABILITY, 0x34
        for capability in declaration.capabilities:
            image[link] = at
            image[at] = 0x09
            image[at + 2 : at + 2 + len(capability.body)] = capability.body
            link, at = at + 1, (at + 2 + len(capability.body) + 3) // 4 * 4
        return image

    async def config_read(self, offset: int, size: int) -> int:
        """Read the image of configuration space."""
        return int.from_bytes(self._config[offset : offset + size], "little")

    async def config_write(self, offset: int, value: int, size: int) -> None:
        """Nothing stands behind the image."""
        raise NotImplementedError("a bare function port has no configuration space")

    async def read(self, bar: int, offset: int, size: int) -> int:
        """See ``Bus``."""
        return await self._master.read(self._function, bar, offset, size)

    async def write(self, bar: int, offset: int, value: int, size: int) -> None:
        """See ``Bus``."""
        self._master.write(self._function, bar, offset, size, value)

    def interrupt(self, vector: int) -> Event:
        """See ``Bus``."""
        return self._interrupts.event(self._function, vector)

    def interrupts(self, vector: int) -> int:
        """See ``Bus``."""
        return self._interrupts.count(self._function, vector)

    async def function_reset(self) -> None:
        """See ``Bus``."""
        await self._master.idle()
        await self._master.reset(self._function)

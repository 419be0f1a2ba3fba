"""An engine with plain memory behind its registers, for benches of the PCIe room."""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

import cocotb
from cocotb.triggers import ClockCycles, Event

from niter.interface import RegisterReply, RegisterRequest
from sim.models.streams import Stalls, StreamSink, StreamSource

__all__ = ["Access", "RegisterEngine"]


@dataclass(frozen=True)
class Access:
    """A register access as the engine saw it."""

    function: int
    bar: int
    address: int
    write: bool
    data: bytes
    mask: int


@dataclass
class RegisterEngine:
    """The engine's side of a ``FunctionPort``.

    Each function has as much memory behind each BAR as is touched; it starts as zeros.
    Bytes that a read did not ask for are answered with AAh.

    Parameters
    ----------
    dut, name
        Where the port is.
    rng
        For the time that a reply takes.
    latency
        Most cycles that a reply takes; the least is one.
    stalls
        Pauses before a request is accepted.
    """

    dut: object
    name: str
    rng: Random
    latency: int = 1
    stalls: Stalls | None = None
    #: All accesses, in order.
    log: list[Access] = field(default_factory=list)
    #: (function, bar, address of an aligned word) that are answered with ``error``.
    broken: set[tuple[int, int, int]] = field(default_factory=set)
    #: Cycles from ``reset`` to ``reset_done``; None: it is never done.
    reset_cycles: int | None = 20
    #: Resets of each function so far.
    resets: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.memory: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        self._requests = StreamSink(
            self.dut, f"{self.name}__request", RegisterRequest, stalls=self.stalls
        )
        self._replies = StreamSource(self.dut, f"{self.name}__reply", RegisterReply)
        self._reset = getattr(self.dut, f"{self.name}__reset")
        self._reset_done = getattr(self.dut, f"{self.name}__reset_done")
        self._reset_done.value = 0
        self._released = Event()
        cocotb.start_soon(self._serve())
        cocotb.start_soon(self._obey())

    async def _serve(self) -> None:
        while True:
            request = await self._requests.recv()
            key = (request.function, request.bar, request.address)
            assert request.mask and request.address % 8 == 0, request
            data = request.data.to_bytes(8, "little")
            self.log.append(Access(*key, bool(request.write), data, request.mask))
            lanes = [n for n in range(8) if request.mask >> n & 1]
            if request.write:
                for n in lanes:
                    self.memory[(*key[:2], key[2] + n)] = data[n]
                continue
            answer = bytearray(b"\xaa" * 8)
            for n in lanes:
                answer[n] = self.memory[(*key[:2], key[2] + n)]
            await ClockCycles(self.dut.clk, self.rng.randint(1, self.latency))
            await self._replies.send(
                {"data": int.from_bytes(answer, "little"), "error": key in self.broken}
            )

    async def _obey(self) -> None:
        """Acknowledge resets, each function by itself."""
        known = 0
        while True:
            now = int(self._reset.value)
            for function in range(8):
                if (now & ~known) >> function & 1:
                    self.resets[function] += 1
                    cocotb.start_soon(self._acknowledge(function))
            known = now
            await self._reset.value_change

    async def _acknowledge(self, function: int) -> None:
        if self.reset_cycles is None:
            return
        await ClockCycles(self.dut.clk, self.reset_cycles)
        self._drive(function, 1)
        while int(self._reset.value) >> function & 1:
            await self._reset.value_change
        await ClockCycles(self.dut.clk, 2)
        self._drive(function, 0)

    def _drive(self, function: int, value: int) -> None:
        self._done = getattr(self, "_done", 0) & ~(1 << function) | value << function
        self._reset_done.value = self._done

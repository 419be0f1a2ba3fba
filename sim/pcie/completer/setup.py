"""What the tests of the answering half share: declarations, engines and requests by hand."""

from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId

from niter.interface import Bar, Capability, Function, Msix, WindowCapability
from niter.pcie.tl.completer import Completer
from niter.pcie.tl.layouts import FunctionStates
from sim.harness import Bench, rng
from sim.models.engine import RegisterEngine
from sim.models.root import Root

__all__ = ["BENCH", "EXPRESS", "FUNCTIONS", "MSIX", "POWER", "VENDOR", "Setup"]

#: Where the capabilities stand.
POWER, EXPRESS, MSIX, VENDOR = 0x40, 0x48, 0x84, 0x90


def _declare(number: int, vectors: int) -> Function:
    return Function(
        vendor=0x1AF4,
        device=0x1041 + number,
        subsystem_vendor=0x1AF4,
        subsystem=0x0001 + number,
        class_code=0x020000,
        revision=1,
        bars=(Bar(0, 0x4000), Bar(2, 0x10000, prefetchable=True)),
        msix=Msix(vectors, 0, 0x2000, 0x3000),
        capabilities=(
            Capability(bytes([16, 1, 0, 0]) + bytes(range(100, 110))),
            WindowCapability(bytes([20, 5, 0, 0]) + bytes(14)),
        ),
    )


#: Two engines: functions 0 and 1, and function 2.
FUNCTIONS = [_declare(0, 5), _declare(1, 9), _declare(1, 9)]
_ENGINES = [0, 0, 1]

BENCH = Bench(dut=lambda: Completer(FUNCTIONS, _ENGINES, generation=2), fuzz=True)


class Setup:
    """The design, its engines and the root complex in front of it.

    Attributes
    ----------
    engines : list of RegisterEngine
    root : Root
    rc
        Its root complex.
    devices
        What enumeration has found.
    """

    def __init__(self, dut, *, latency: int = 3, stalls=None, **options) -> None:
        self.dut = dut
        self.engines = [
            RegisterEngine(dut, f"engine__{n}", rng("engine", n), latency=latency, stalls=stalls)
            for n in range(2)
        ]
        self.root = Root(
            dut,
            rx="i",
            tx=("o", "o_posted"),
            up="up",
            allocated="allocated",
            generation=2,
            **options,
        )
        self.rc = self.root.rc
        self.devices: list = []

    @classmethod
    async def make(cls, dut, *, released: int = 0xFF, enabled: bool = True, **options) -> "Setup":
        """Reset, and with ``enabled`` enumerate, and enable memory and bus mastering."""
        await BENCH.start(dut)
        setup = cls(dut, **options)
        dut.released.value = released
        if enabled:
            setup.devices = await setup.root.enumerate()
            for device in setup.devices:
                await device.enable_device()
                await device.set_master()
        return setup

    def state(self, function: int):
        """What configuration space says of a function to the other half."""
        return FunctionStates.from_bits(int(self.dut.states.value))[function]

    def engine(self, function: int) -> RegisterEngine:
        """The engine of a function."""
        return self.engines[_ENGINES[function]]

    def bar(self, function: int, index: int = 0) -> int:
        """Where the root complex has put a BAR."""
        return self.devices[function].bar_addr[index]

    def identifier(self, function: int) -> PcieId:
        """The function's ID."""
        return self.devices[0].pcie_id._replace(function=function)

    async def send(self, tlp: Tlp) -> None:
        """Put a request on the link as it is."""
        tlp.requester_id = PcieId(0, 0, 0)
        await self.root.port.downstream_port.send(tlp)

    async def ask(self, tlp: Tlp) -> list[Tlp]:
        """Send a non-posted request; returns its completions."""
        tlp.tag = await self.rc.alloc_tag()
        await self.send(tlp)
        completions = []
        while True:
            completion = await self.rc.recv_cpl(tlp.tag, 20_000)
            assert completion is not None, f"no answer to {tlp!r}"
            assert completion.tag == tlp.tag and completion.tc == tlp.tc
            assert completion.attr == tlp.attr, f"attributes of {completion!r}"
            completions.append(completion)
            if completion.status != CplStatus.SC or not completion.data:
                break
            if completion.byte_count <= len(completion.data) - (completion.lower_address & 3):
                break
        self.rc.release_tag(tlp.tag)
        return completions

    def memory(
        self, address: int, length: int = 1, first: int = 0xF, last: int = 0, data: bytes = b""
    ) -> Tlp:
        """A memory request of ``length`` doublewords; a write if there is ``data``."""
        tlp = Tlp()
        wide = address >> 32 != 0
        if data:
            tlp.fmt_type = TlpType.MEM_WRITE_64 if wide else TlpType.MEM_WRITE
            tlp.data = bytearray(data)
            length = len(data) // 4
        else:
            tlp.fmt_type = TlpType.MEM_READ_64 if wide else TlpType.MEM_READ
        tlp.address, tlp.length = address, length
        tlp.first_be, tlp.last_be = first, last if length > 1 else 0
        return tlp

    async def status_of(self, tlp: Tlp) -> CplStatus:
        """Send a non-posted request; the status of its completion."""
        return (await self.ask(tlp))[0].status

    def configuration(
        self, function: int, register: int, data: bytes | None = None, enables: int = 0xF
    ) -> Tlp:
        """A type 0 configuration request."""
        tlp = Tlp()
        tlp.fmt_type = TlpType.CFG_READ_0 if data is None else TlpType.CFG_WRITE_0
        tlp.completer_id = self.identifier(function)
        tlp.address, tlp.length, tlp.first_be = register, 1, enables
        tlp.data = bytearray(data or b"")
        return tlp

    async def read_configuration(self, function: int, register: int) -> int:
        """A doubleword of configuration space."""
        completion = (await self.ask(self.configuration(function, register)))[0]
        assert completion.status == CplStatus.SC, repr(completion)
        assert completion.byte_count == 4 and completion.lower_address == 0
        assert completion.completer_id == self.identifier(function), repr(completion)
        return int.from_bytes(completion.data, "little")

    async def write_configuration(
        self, function: int, register: int, value: int, enables: int = 0xF
    ) -> None:
        """Write a doubleword of configuration space."""
        tlp = self.configuration(function, register, value.to_bytes(4, "little"), enables)
        completion = (await self.ask(tlp))[0]
        assert completion.status == CplStatus.SC and not completion.data, repr(completion)

    async def device_status(self, function: int) -> int:
        """Device Status; it is cleared."""
        word = await self.read_configuration(function, EXPRESS + 8)
        await self.write_configuration(function, EXPRESS + 8, word, 0b1100)
        return word >> 16

    async def settle(self, cycles: int = 100) -> None:
        """Let posted requests take effect: they take some time on the link."""
        await ClockCycles(self.dut.clk, cycles)

    async def within(self, awaitable, nanoseconds: float = 100_000):
        """Wait, but not for ever."""
        return await with_timeout(awaitable, nanoseconds, "ns")

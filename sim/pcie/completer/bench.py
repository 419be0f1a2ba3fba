"""The answering half of the transaction layer behind cocotbext-pcie's root complex."""

import cocotb
from cocotb.triggers import ClockCycles

from niter.interface import Bar, Capability, Function, Msix, WindowCapability
from niter.pcie.tl.completer import Completer
from sim.harness import Bench, rng
from sim.models.engine import RegisterEngine
from sim.models.root import Root


def declare(number: int, vectors: int = 5) -> Function:
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
            Capability(bytes([16, 1, 0, 0]) + bytes(10)),
            WindowCapability(bytes([20, 5, 0, 0]) + bytes(14)),
        ),
    )


FUNCTIONS = [declare(0), declare(1), declare(1)]
BENCH = Bench(dut=lambda: Completer(FUNCTIONS, [0, 0, 1], generation=2))


class Setup:
    """The design, its engines and the root complex in front of it."""

    def __init__(self, dut, **options) -> None:
        self.dut = dut
        self.engines = [
            RegisterEngine(dut, f"engine__{n}", rng("engine", n), latency=3) for n in range(2)
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

    @classmethod
    async def make(cls, dut, *, released: int = 0xFF, enumerate: bool = True, **options):
        await BENCH.start(dut)
        self = cls(dut, **options)
        dut.released.value = released
        if enumerate:
            self.devices = await self.root.enumerate()
        return self


@cocotb.test()
async def enumeration(dut):
    """Everything that was declared is found by the root complex, and nothing else."""
    setup = await Setup.make(dut)
    assert len(setup.devices) == len(FUNCTIONS)
    for device, function in zip(setup.devices, FUNCTIONS, strict=True):
        assert device.vendor_id == function.vendor
        assert device.device_id == function.device
        assert device.class_code == function.class_code
        assert device.bar_size[0] == 0x4000 and device.bar_size[2] == 0x10000
    await ClockCycles(dut.clk, 10)

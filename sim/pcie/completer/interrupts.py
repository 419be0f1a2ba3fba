"""Tests of MSI-X."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.pcie.core.tlp import Tlp, TlpType

from niter.pcie.tl.layouts import Interrupt
from sim.harness import rng
from sim.models.streams import StreamSource, stalls

from .setup import FUNCTIONS, MSIX, Setup

__all__ = [
    "interrupts_masked_at_random",
    "interrupts_of_the_root_complex",
    "masks",
    "table_access",
]

TABLE, PENDING = 0x2000, 0x3000
HIGH = 0x12_0000_0000


class Interrupts:
    """Raises interrupts, and collects what the card sends."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.source = StreamSource(setup.dut, "i_interrupt", Interrupt)
        #: (function, vector) of each interrupt that was sent.
        self.sent: list[tuple[int, int]] = []
        setup.root.link.observer = self._observe

    def _observe(self, tlp: Tlp) -> None:
        if tlp.fmt_type not in (TlpType.MEM_WRITE, TlpType.MEM_WRITE_64):
            return
        assert tlp.length == 1 and tlp.first_be == 0xF
        function, vector = tlp.requester_id.function, tlp.data[0]
        assert tlp.requester_id == self.setup.identifier(function)
        assert (tlp.address, bytes(tlp.data)) == self.message(function, vector), repr(tlp)
        self.sent.append((function, vector))

    @staticmethod
    def message(function: int, vector: int) -> tuple[int, bytes]:
        """What a vector's row is given; odd vectors' addresses need 64 bits."""
        address = 0x1000 * (function + 1) + 4 * vector + (HIGH if vector & 1 else 0)
        return address, bytes([vector, function, 0xC0, 0xDE])

    async def program(self, function: int) -> None:
        """Fill a function's table, unmasked, and enable it."""
        base = self.setup.bar(function) + TABLE
        for vector in range(FUNCTIONS[function].msix.vectors):
            address, data = self.message(function, vector)
            row = address.to_bytes(8, "little") + data + bytes(4)
            for at in (0, 8):
                await self.setup.rc.mem_write(base + 16 * vector + at, row[at : at + 8])
        await self.setup.write_configuration(function, MSIX, 0x8000_0000)

    async def mask(self, function: int, vector: int, masked: bool) -> None:
        """Write a Vector Control."""
        at = self.setup.bar(function) + TABLE + 16 * vector + 12
        await self.setup.rc.mem_write(at, bytes([masked, 0, 0, 0]))

    async def pending(self, function: int) -> int:
        """The function's pending bits."""
        data = await self.setup.rc.mem_read(self.setup.bar(function) + PENDING, 8)
        return int.from_bytes(data, "little")

    def take(self) -> list[tuple[int, int]]:
        """What has been sent since the last time."""
        sent, self.sent = self.sent, []
        return sent


@cocotb.test()
async def interrupts_of_the_root_complex(dut):
    """The root complex allocates vectors, and each of them arrives."""
    setup = await Setup.make(dut)
    source = StreamSource(dut, "i_interrupt", Interrupt)
    for number, device in enumerate(setup.devices):
        await device.alloc_irq_vectors(1, 32)
        for vector in range(FUNCTIONS[number].msix.vectors):
            event = device.msi_vectors[vector].event
            assert not event.is_set()
            source.put({"function": number, "vector": vector})
            await setup.within(event.wait())


@cocotb.test()
async def table_access(dut):
    """The table is read as it was written, and reset masks all vectors."""
    setup = await Setup.make(dut)
    random = rng("table")
    for number, function in enumerate(FUNCTIONS):
        base = setup.bar(number) + TABLE
        for vector in range(function.msix.vectors):
            row = await setup.rc.mem_read(base + 16 * vector + 8, 8)
            assert row[4:] == b"\1\0\0\0"
        rows = [random.randbytes(15) + b"\0" for _ in range(function.msix.vectors)]
        for vector, row in enumerate(rows):
            step = random.choice((4, 8))
            for at in range(0, 16, step):
                await setup.rc.mem_write(base + 16 * vector + at, row[at : at + step])
        for vector, row in enumerate(rows):
            step = random.choice((4, 8))
            read = b"".join(
                [
                    await setup.rc.mem_read(base + 16 * vector + at, step)
                    for at in range(0, 16, step)
                ]
            )
            assert read[:12] == row[:12] and read[12:] == bytes([row[12] & 1, 0, 0, 0])
        # A row's neighbours are registers of the engine.
        end = TABLE + 16 * function.msix.vectors
        await setup.rc.mem_write(setup.bar(number) + end, b"\x5a")
        await setup.rc.mem_read(setup.bar(number) + end, 1)
        assert setup.engine(number).memory[(number, 0, end)] == 0x5A
        assert await setup.rc.mem_read(setup.bar(number) + PENDING, 8) == bytes(8)
        await setup.rc.mem_write(setup.bar(number) + PENDING, b"\xff" * 8)
        assert await setup.rc.mem_read(setup.bar(number) + PENDING, 8) == bytes(8)


@cocotb.test()
async def masks(dut):
    """Masked vectors are pending until their mask, the function's, or the bus' is lifted."""
    setup = await Setup.make(dut)
    interrupts = Interrupts(setup)
    put = interrupts.source.put
    # Before MSI-X is enabled an interrupt goes nowhere.
    put({"function": 1, "vector": 0})
    await setup.settle()
    for number in range(3):
        await interrupts.program(number)
    await setup.settle()
    assert interrupts.take() == []

    await interrupts.mask(1, 3, True)
    await setup.settle()
    put({"function": 1, "vector": 3})
    put({"function": 1, "vector": 3})
    put({"function": 1, "vector": 4})
    await setup.settle()
    assert interrupts.take() == [(1, 4)]
    assert await interrupts.pending(1) == 1 << 3
    assert await interrupts.pending(2) == 0
    await interrupts.mask(1, 3, False)
    await setup.settle(200)
    assert interrupts.take() == [(1, 3)], "twice raised while masked is sent once"
    assert await interrupts.pending(1) == 0

    lift = {
        "function": (
            lambda: setup.write_configuration(2, MSIX, 0xC000_0000),
            lambda: setup.write_configuration(2, MSIX, 0x8000_0000),
        ),
        "bus": (
            lambda: setup.write_configuration(2, 4, 2, 0b0001),
            lambda: setup.write_configuration(2, 4, 6, 0b0001),
        ),
    }
    for close, open_again in lift.values():
        await close()
        for vector in (8, 0, 7):
            put({"function": 2, "vector": vector})
        await setup.settle()
        assert interrupts.take() == []
        assert await interrupts.pending(2) == 1 << 8 | 1 << 7 | 1
        await open_again()
        await setup.settle(300)
        assert sorted(interrupts.take()) == [(2, 0), (2, 7), (2, 8)]
        assert await interrupts.pending(2) == 0
    # A vector that the function does not have.
    put({"function": 0, "vector": 5})
    put({"function": 0, "vector": 255})
    put({"function": 0, "vector": 4})
    await setup.settle()
    assert interrupts.take() == [(0, 4)]


@cocotb.test()
async def interrupts_masked_at_random(dut):
    """Whatever is masked when: every interrupt raised is sent, and none without reason."""
    setup = await Setup.make(dut, tx_stalls=lambda: stalls(rng("tx"), 0.3, 20))
    interrupts = Interrupts(setup)
    random = rng("masking")
    for number in range(3):
        await interrupts.program(number)
    masked = dict.fromkeys(
        ((n, v) for n in range(3) for v in range(FUNCTIONS[n].msix.vectors)), False
    )
    for _ in range(25):
        raised = set()
        for _ in range(random.randrange(1, 12)):
            key = random.choice(list(masked))
            action = random.random()
            if action < 0.4:
                masked[key] = not masked[key]
                await interrupts.mask(*key, masked[key])
            else:
                interrupts.source.put(dict(zip(("function", "vector"), key, strict=True)))
                raised.add(key)
            if random.random() < 0.3:
                await ClockCycles(dut.clk, random.randrange(60))
        await interrupts.source.idle()
        for key in masked:
            if masked[key]:
                masked[key] = False
                await interrupts.mask(*key, False)
        await setup.settle(700)
        sent = interrupts.take()
        assert set(sent) == raised, (sorted(raised), sorted(sent))
        for number in range(3):
            assert await interrupts.pending(number) == 0

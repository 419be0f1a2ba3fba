"""What Linux' PCI core does to a function, step by step, as a root complex passes it on.

The order of the accesses follows ``pci_scan_slot``, ``__pci_read_base``,
``msix_capability_init`` and ``pci_set_power_state``. A root complex with Configuration Request
Retry Software Visibility turns a retry of the Vendor ID into 0001h; all else is retried there.
"""

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.pcie.core.tlp import CplStatus
from cocotbext.pcie.core.utils import PcieId

from niter.interface import MAX_FUNCTIONS

from .interrupts import TABLE, Interrupts
from .setup import EXPRESS, FUNCTIONS, MSIX, POWER, Setup

__all__ = [
    "bars_are_sized_with_decoding_off",
    "functions_released_late",
    "msix_as_it_is_set_up",
    "no_pin_and_no_extended_capabilities",
    "payload_and_request_sizes",
    "sleep_and_wake_up",
]

MEMORY, MASTER, INTX_OFF = 0x2, 0x4, 0x400
RETRIED, ABSENT = 0xFFFF_0001, 0xFFFF_FFFF


async def vendor(setup: Setup, function: int) -> int:
    """Vendor and Device ID as software sees them."""
    completion = (await setup.ask(setup.configuration(function, 0)))[0]
    if completion.status == CplStatus.CRS:
        return RETRIED
    if completion.status != CplStatus.SC:
        return ABSENT
    return int.from_bytes(completion.data, "little")


async def write(setup: Setup, function: int, at: int, value: int, size: int) -> None:
    """A write of 1, 2 or 4 bytes."""
    lane = at % 4
    enables = ((1 << size) - 1) << lane
    await setup.write_configuration(function, at & ~3, value << 8 * lane, enables)


async def read(setup: Setup, function: int, at: int, size: int) -> int:
    """A read of 1, 2 or 4 bytes."""
    word = await setup.read_configuration(function, at & ~3)
    return word >> 8 * (at % 4) & (1 << 8 * size) - 1


async def size_bars(setup: Setup, function: int) -> dict[int, int]:
    """Sizes of all BARs that exist, by index: decoding is off while ones stand in them."""
    command = await read(setup, function, 4, 2)
    if command & MEMORY:
        await write(setup, function, 4, command & ~MEMORY, 2)
    sizes, index = {}, 0
    while index < 6:
        at, parts = 0x10 + 4 * index, []
        for half in range(2):
            before = await read(setup, function, at + 4 * half, 4)
            await write(setup, function, at + 4 * half, 0xFFFF_FFFF, 4)
            parts.append(await read(setup, function, at + 4 * half, 4))
            await write(setup, function, at + 4 * half, before, 4)
            assert await read(setup, function, at + 4 * half, 4) == before
            if not parts[0] & 4:
                break
        if parts[0]:
            assert parts[0] & 7 == 4, "a memory BAR of 64 bits"
            value = parts[0] & ~0xF | parts[1] << 32
            sizes[index] = (~value & (1 << 64) - 1) + 1
        index += len(parts)
    await write(setup, function, 0x30, 0xFFFF_F800, 4)
    assert await read(setup, function, 0x30, 4) == 0, "there is no expansion ROM"
    await write(setup, function, 4, command, 2)
    return sizes


@cocotb.test()
async def functions_released_late(dut):
    """Function 0 is found and used long before the others, which then come as they are."""
    setup = await Setup.make(dut, released=0b001, enabled=False)
    await setup.root.link.fc_state[0].initialized.wait()
    setup.devices = [type("Device", (), {"pcie_id": PcieId(1, 0, 0)})]
    await ClockCycles(dut.clk, 4000)
    ours = FUNCTIONS[0].vendor | FUNCTIONS[0].device << 16
    assert await vendor(setup, 0) == ours
    await write(setup, 0, 0x3C, 0, 1)  # the first write tells the card its bus number
    assert await read(setup, 0, 0x0E, 1) == 0x80, "there are more functions"
    assert [await vendor(setup, n) for n in range(1, MAX_FUNCTIONS)] == [RETRIED] * 2 + [ABSENT] * 5
    # The host goes on with what it has found.
    address = 0x9_0000_0000
    await write(setup, 0, 0x10, address & 0xFFFF_FFFF, 4)
    await write(setup, 0, 0x14, address >> 32, 4)
    await write(setup, 0, 4, MEMORY | MASTER, 2)
    setup.engine(0).memory[(0, 0, 0x40)] = 0x77
    for _ in range(20):
        assert await vendor(setup, 1) == RETRIED
        assert (await setup.ask(setup.memory(address + 0x40)))[0].data[0] == 0x77
    for released, number in ((0b011, 1), (0b111, 2)):
        dut.released.value = released
        await ClockCycles(dut.clk, 5)
        declared = FUNCTIONS[number]
        assert await vendor(setup, number) == declared.vendor | declared.device << 16
        assert await read(setup, number, 4, 4) == 0x0010_0000, "as after reset"
        assert await size_bars(setup, number) == {bar.index: bar.size for bar in declared.bars}
        assert await read(setup, 0, 4, 2) == MEMORY | MASTER, "function 0 has not noticed"
        assert (await setup.ask(setup.memory(address + 0x40)))[0].data[0] == 0x77


@cocotb.test()
async def bars_are_sized_with_decoding_off(dut):
    """Sizing of a running function leaves its BARs, and its neighbours, as they were."""
    setup = await Setup.make(dut)
    for number, function in enumerate(FUNCTIONS):
        setup.engine(number).memory[(number, 0, 0x20)] = 0x40 + number
        before = [await setup.read_configuration(number, at) for at in range(0x10, 0x28, 4)]
        assert await size_bars(setup, number) == {bar.index: bar.size for bar in function.bars}
        after = [await setup.read_configuration(number, at) for at in range(0x10, 0x28, 4)]
        assert after == before
        completion = (await setup.ask(setup.memory(setup.bar(number) + 0x20)))[0]
        assert completion.data[0] == 0x40 + number
    # While it is off the function is not there; with ones in its BAR it takes nobody's place.
    command = await read(setup, 1, 4, 2)
    await write(setup, 1, 4, command & ~MEMORY, 2)
    assert await setup.status_of(setup.memory(setup.bar(1))) == CplStatus.UR
    await write(setup, 1, 0x10, 0xFFFF_FFFF, 4)
    for number in (0, 2):
        completion = (await setup.ask(setup.memory(setup.bar(number) + 0x20)))[0]
        assert completion.data[0] == 0x40 + number


@cocotb.test()
async def msix_as_it_is_set_up(dut):
    """Masked as a whole, filled row by row, opened; then vector by vector, as handlers come."""
    setup = await Setup.make(dut)
    interrupts = Interrupts(setup)
    function, vectors = 1, FUNCTIONS[1].msix.vectors
    table = setup.bar(function) + TABLE
    control = await read(setup, function, MSIX + 2, 2)
    assert control == vectors - 1
    await write(setup, function, MSIX + 2, control | 0xC000, 2)
    for vector in range(vectors):
        await setup.rc.mem_write(table + 16 * vector + 12, b"\1\0\0\0")
    command = await read(setup, function, 4, 2)
    await write(setup, function, 4, command | INTX_OFF, 2)
    await write(setup, function, MSIX + 2, control | 0x8000, 2)
    assert await read(setup, function, MSIX + 2, 2) == control | 0x8000
    for vector in range(vectors):
        # A device may be early: what is raised before the handler is there waits.
        interrupts.source.put({"function": function, "vector": vector})
        await setup.settle(120)
        assert interrupts.take() == []
        assert await interrupts.pending(function) == 1 << vector
        address, data = interrupts.message(function, vector)
        row = address.to_bytes(8, "little") + data
        for at in (0, 4, 8):
            await setup.rc.mem_write(table + 16 * vector + at, row[at : at + 4])
        await interrupts.mask(function, vector, False)
        assert await setup.rc.mem_read(table + 16 * vector + 12, 4) == bytes(4)
        await setup.settle(200)
        assert interrupts.take() == [(function, vector)]
        assert await interrupts.pending(function) == 0
    # The whole is masked once more, for a short time.
    await write(setup, function, MSIX + 2, control | 0xC000, 2)
    for vector in (3, 1, 3):
        interrupts.source.put({"function": function, "vector": vector})
    await setup.settle(200)
    assert interrupts.take() == []
    await write(setup, function, MSIX + 2, control | 0x8000, 2)
    await setup.settle(200)
    assert sorted(interrupts.take()) == [(function, 1), (function, 3)]


@cocotb.test()
async def sleep_and_wake_up(dut):
    """In D3hot there is configuration space alone; back in D0 all is as before."""
    setup = await Setup.make(dut)
    interrupts = Interrupts(setup)
    await interrupts.program(1)
    assert await read(setup, 1, POWER + 2, 2) & 0x3F == 0x03, "no D1, no D2, no reset on the way"
    state = await read(setup, 1, POWER + 4, 2)
    assert state & 0b1000, "No_Soft_Reset"
    await setup.device_status(1)
    before = [await setup.read_configuration(1, at) for at in range(0, 0x100, 4)]
    setup.engine(1).memory[(1, 0, 0x60)] = 0x99
    await write(setup, 1, POWER + 4, state | 3, 2)
    assert not setup.state(1).master and not setup.state(1).memory
    seen = len(setup.engine(1).log)
    assert await setup.status_of(setup.memory(setup.bar(1) + 0x60)) == CplStatus.UR
    await setup.send(setup.memory(setup.bar(1) + 0x60, data=bytes(4)))
    interrupts.source.put({"function": 1, "vector": 2})
    await setup.settle(300)
    assert interrupts.take() == [] and len(setup.engine(1).log) == seen
    assert await vendor(setup, 1) == FUNCTIONS[1].vendor | FUNCTIONS[1].device << 16
    await write(setup, 1, 0x3C, 0x0B, 1)
    await setup.device_status(1)
    await write(setup, 1, POWER + 4, state, 2)
    after = [await setup.read_configuration(1, at) for at in range(0, 0x100, 4)]
    differences = {4 * n for n in range(64) if before[n] != after[n]}
    assert differences == {0x3C}, differences
    assert (await setup.ask(setup.memory(setup.bar(1) + 0x60)))[0].data[0] == 0x99
    await setup.settle(200)
    assert interrupts.take() == [(1, 2)], "what was raised meanwhile has waited"


@cocotb.test()
async def no_pin_and_no_extended_capabilities(dut):
    """There is no INTx, and nothing above 256 bytes."""
    setup = await Setup.make(dut)
    for number in range(len(FUNCTIONS)):
        await write(setup, number, 0x3C, 0xFFFF, 2)
        assert await read(setup, number, 0x3C, 2) == 0x00FF, "a line to remember, but no pin"
        assert not await read(setup, number, 6, 2) & 0x08, "Interrupt Status"
        for at in (0x100, 0x104, 0x3FC, 0x800, 0xFFC):
            assert await setup.read_configuration(number, at) == 0


@cocotb.test()
async def payload_and_request_sizes(dut):
    """Both are written as words, of each function by itself, and beside them nothing changes."""
    setup = await Setup.make(dut)
    supported = await read(setup, 2, EXPRESS + 4, 4) & 7
    assert supported == 1, "256 bytes"
    for payload in (0, 1):
        for request in range(6):
            control = await read(setup, 2, EXPRESS + 8, 2)
            control = control & ~0x70E0 | payload << 5 | request << 12
            await write(setup, 2, EXPRESS + 8, control, 2)
            assert await read(setup, 2, EXPRESS + 8, 2) == control
            assert setup.state(2).payload == payload
    assert setup.state(0).payload == setup.root.rc.max_payload_size

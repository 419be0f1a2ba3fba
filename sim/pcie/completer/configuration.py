"""Tests of configuration space."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.pcie.core.tlp import CplStatus, TlpType
from cocotbext.pcie.core.utils import PcieId

from sim.harness import rng

from .setup import EXPRESS, FUNCTIONS, MSIX, POWER, VENDOR, Setup

__all__ = [
    "capabilities",
    "enumeration",
    "function_level_reset",
    "link_down",
    "not_released",
    "power_states",
    "unknown_functions",
    "window",
    "writable_bits",
]

#: Bits that the specification lets software write, by register (7.5.1, 7.5.2, 7.5.3, 7.7.2).
WRITABLE = {
    0x04: 0x0546,
    0x0C: 0x00FF,
    0x10: 0xFFFF_C000,
    0x14: 0xFFFF_FFFF,
    0x18: 0xFFFF_0000,
    0x1C: 0xFFFF_FFFF,
    0x3C: 0x00FF,
    POWER + 4: 0x3,
    # Error reporting, relaxed ordering, payload of 256, no snoop, read request.
    EXPRESS + 0x08: 0x783F,
    EXPRESS + 0x10: 0x00CB,
    EXPRESS + 0x28: 0x0010,
    MSIX: 0xC000_0000,
    # The window: BAR, offset, length.
    VENDOR + 16 + 4: 0xFF,
    VENDOR + 16 + 8: 0xFFFF_FFFF,
    VENDOR + 16 + 12: 0xFFFF_FFFF,
}


@cocotb.test()
async def enumeration(dut):
    """Everything that was declared is found by the root complex, and nothing else."""
    setup = await Setup.make(dut)
    assert len(setup.devices) == len(FUNCTIONS)
    for device, function in zip(setup.devices, FUNCTIONS, strict=True):
        assert (device.vendor_id, device.device_id) == (function.vendor, function.device)
        assert device.class_code == function.class_code
        assert device.subsystem_id == function.subsystem
        assert device.multifunction and device.header_type == 0
        assert device.bar_size[0] == 0x4000 and device.bar_size[2] == 0x10000
        assert device.bar_raw[0] & 0xF == 0x4 and device.bar_raw[2] & 0xF == 0xC
        assert [identifier for identifier, _ in device.capabilities] == [1, 0x10, 0x11, 9, 9]
        assert not device.ext_capabilities
        assert device.pcie_type() == 0 and device.pcie_mpss == 1


@cocotb.test()
async def capabilities(dut):
    """The bodies of the capabilities say what was declared."""
    setup = await Setup.make(dut)
    for number, function in enumerate(FUNCTIONS):
        words = [await setup.read_configuration(number, at) for at in range(0, 256, 4)]
        space = b"".join(word.to_bytes(4, "little") for word in words)
        at = VENDOR
        for capability in function.capabilities:
            assert space[at] == 9
            assert space[at + 2 : at + 2 + len(capability.body)] == capability.body
            at += space[at + 2]
        assert function.msix is not None
        assert words[MSIX // 4] >> 16 & 0x7FF == function.msix.vectors - 1
        assert words[MSIX // 4 + 1] == function.msix.table | function.msix.bar
        assert words[MSIX // 4 + 2] == function.msix.pba | function.msix.bar
        devices = words[EXPRESS // 4 + 1]
        assert devices >> 28 & 1, "no function level reset"
        assert devices >> 15 & 1, "no role-based error reporting"
        assert words[EXPRESS // 4 + 3] & 0x3FF == 0x012, "5 GT/s, one lane"
        assert words[EXPRESS // 4 + 4] >> 16 & 0x3FF == 0x012


@cocotb.test()
async def writable_bits(dut):
    """Exactly the specified bits can be written, byte by byte."""
    setup = await Setup.make(dut, enabled=False)
    setup.devices = await setup.root.enumerate()
    random = rng("bits")
    for register in range(0, 0x100, 4):
        if register == VENDOR + 16 + 16:
            continue  # the window's data
        await setup.device_status(1)
        before = await setup.read_configuration(1, register)
        mask = WRITABLE.get(register, 0)
        for enables in (0xF, random.randrange(1, 15)):
            lanes = sum(0xFF << 8 * n for n in range(4) if enables >> n & 1)
            # Never initiate a reset, never leave D0 for D1, never clear status bits.
            value = random.getrandbits(32)
            if register in (0x04, EXPRESS + 8):
                value &= 0x7FFF
            if register == POWER + 4:
                value |= 3
            old = await setup.read_configuration(1, register)
            await setup.write_configuration(1, register, value, enables)
            expected = old & ~(mask & lanes) | value & mask & lanes
            now = await setup.read_configuration(1, register)
            assert now == expected, f"{register:#x}: {old:#x}, {value:#x} → {now:#x}"
        await setup.write_configuration(1, register, before)
        assert await setup.read_configuration(1, register) == before
    other = await setup.read_configuration(2, 0x3C)
    assert other == 0, "a write has reached another function"
    # Above the conventional 256 bytes everything is zero, and writes have no effect.
    await setup.write_configuration(1, 0x100, 0xFFFF_FFFF)
    await setup.write_configuration(1, 0x104, 0xFFFF_FFFF)
    assert await setup.read_configuration(1, 0x100) == 0
    assert await setup.read_configuration(1, 0x004) & 0xFFFF == 0


@cocotb.test()
async def not_released(dut):
    """Functions that firmware has not released answer Configuration Request Retry Status."""
    setup = await Setup.make(dut, released=0b010, enabled=False)
    await setup.root.link.fc_state[0].initialized.wait()
    setup.devices = [type("Device", (), {"pcie_id": PcieId(1, 0, 0)})]
    for number in (0, 2):
        assert await setup.status_of(setup.configuration(number, 0)) == CplStatus.CRS
        write = setup.configuration(number, 4, b"\x06\x00\x00\x00")
        assert await setup.status_of(write) == CplStatus.CRS
    # Until the first reset is over, released functions answer likewise.
    await ClockCycles(dut.clk, 1500)
    assert await setup.status_of(setup.configuration(1, 0)) == CplStatus.SC
    dut.released.value = 0b111
    devices = await setup.root.enumerate()
    assert len(devices) == len(FUNCTIONS)
    assert await setup.read_configuration(2, 4) & 0xFFFF == 0


@cocotb.test()
async def unknown_functions(dut):
    """Functions that do not exist, and requests of type 1, are refused."""
    setup = await Setup.make(dut)
    for number in (3, 7):
        assert await setup.status_of(setup.configuration(number, 0)) == CplStatus.UR
    tlp = setup.configuration(0, 0)
    tlp.fmt_type = TlpType.CFG_READ_1
    assert await setup.status_of(tlp) == CplStatus.UR
    for number in range(3):
        assert await setup.device_status(number) & 0b1001 == 0b1001
    assert not setup.root.link.messages, "advisory errors send no message"


@cocotb.test()
async def power_states(dut):
    """D3hot stops memory and bus mastering, D1 and D2 do not exist, state survives."""
    setup = await Setup.make(dut)
    address = setup.bar(1) + 0x100
    setup.engine(1).memory[(1, 0, 0x100)] = 0x5A
    await setup.write_configuration(1, POWER + 4, 1)
    assert await setup.read_configuration(1, POWER + 4) == 0x8
    assert await setup.status_of(setup.memory(address)) == CplStatus.SC
    await setup.write_configuration(1, POWER + 4, 3)
    assert await setup.read_configuration(1, POWER + 4) == 0xB
    assert await setup.status_of(setup.memory(address)) == CplStatus.UR
    assert await setup.status_of(setup.memory(setup.bar(2))) == CplStatus.SC
    await setup.write_configuration(1, POWER + 4, 0)
    completion = (await setup.ask(setup.memory(address)))[0]
    assert completion.data[0] == 0x5A
    assert await setup.read_configuration(1, 4) & 6 == 6


@cocotb.test()
async def window(dut):
    """Registers can be reached through the window in configuration space."""
    setup = await Setup.make(dut)
    at, number = VENDOR + 16, 2
    memory = setup.engine(number).memory
    random = rng("window")

    async def choose(bar: int, offset: int, length: int) -> None:
        await setup.write_configuration(number, at + 4, bar, 0b0001)
        await setup.write_configuration(number, at + 8, offset)
        await setup.write_configuration(number, at + 12, length)

    for _ in range(12):
        bar, length = random.choice((0, 2)), random.choice((1, 2, 4))
        offset = random.randrange(0, 0x1000, length)
        await choose(bar, offset, length)
        value = random.getrandbits(8 * length)
        await setup.write_configuration(number, at + 16, value | 0xA5 << 24)
        stored = bytes(memory[(number, bar, offset + n)] for n in range(length))
        expected = (value | 0xA5 << 24) & (1 << 8 * length) - 1
        assert int.from_bytes(stored, "little") == expected, (bar, offset, length)
        fresh = random.randbytes(length)
        memory.update({(number, bar, offset + n): fresh[n] for n in range(length)})
        word = await setup.read_configuration(number, at + 16)
        assert word & (1 << 8 * length) - 1 == int.from_bytes(fresh, "little")
    seen = len(setup.engine(number).log)
    for bar, offset, length in ((1, 0, 4), (4, 0, 4), (0, 0x4000, 4), (0, 0, 0), (0, 0, 3)):
        await choose(bar, offset, length)
        await setup.write_configuration(number, at + 16, 0xFFFF_FFFF)
        assert await setup.read_configuration(number, at + 16) == 0
    assert len(setup.engine(number).log) == seen, "nonsense has reached a register"
    # The MSI-X table can be reached too.
    await choose(0, 0x2000 + 16 * 3 + 8, 4)
    await setup.write_configuration(number, at + 16, 0x1234_5678)
    completion = (await setup.ask(setup.memory(setup.bar(number) + 0x2038)))[0]
    assert completion.data == (0x1234_5678).to_bytes(4, "little")


@cocotb.test()
async def function_level_reset(dut):
    """A reset ends one function's life and starts it again; the others do not notice."""
    setup = await Setup.make(dut)
    engine = setup.engine(1)
    before = dict(engine.resets)
    engine.reset_cycles = 400
    await setup.write_configuration(1, 0x3C, 0x17)
    await setup.write_configuration(1, EXPRESS + 8, 0x2830)
    await setup.write_configuration(1, EXPRESS + 8, 0x8000 | 0x2830, 0b0011)
    assert not setup.state(1).master, "bus mastering must end at once"
    assert await setup.status_of(setup.configuration(1, 0)) == CplStatus.CRS
    assert await setup.status_of(setup.memory(setup.bar(1))) == CplStatus.UR
    assert await setup.status_of(setup.memory(setup.bar(0))) == CplStatus.SC
    while await setup.status_of(setup.configuration(1, 0)) == CplStatus.CRS:
        await ClockCycles(dut.clk, 50)
    assert engine.resets[1] == before[1] + 1
    assert engine.resets[0] == before[0]
    assert await setup.read_configuration(1, 4) & 0xFFFF == 0
    assert await setup.read_configuration(1, 0x3C) == 0
    assert await setup.read_configuration(1, 0x10) == 0x4
    control = await setup.read_configuration(1, EXPRESS + 8)
    assert control & 0xFFFF == 0x2830, "Max_Payload_Size survives, the rest has its defaults"
    assert await setup.read_configuration(0, 4) & 6 == 6


@cocotb.test()
async def link_down(dut):
    """While the link is down all functions are in reset; then they start from their defaults."""
    setup = await Setup.make(dut)
    before = [dict(engine.resets) for engine in setup.engines]
    # A read is under way when it happens, and its answer goes nowhere.
    stuck = setup.memory(setup.bar(2))
    stuck.tag = 200
    await setup.send(stuck)
    await setup.settle(3)
    sent = setup.root.link.sent
    dut.up.value = 0
    await setup.settle(200)
    assert not any(setup.state(n).master or setup.state(n).memory for n in range(3))
    assert setup.root.link.sent == sent
    dut.up.value = 1
    while await setup.status_of(setup.configuration(0, 0)) == CplStatus.CRS:
        await ClockCycles(dut.clk, 100)
    await setup.settle(1500)
    for number, engine in ((0, 0), (1, 0), (2, 1)):
        assert setup.engines[engine].resets[number] == before[engine][number] + 1
        assert await setup.read_configuration(number, 4) & 0xFFFF == 0
        control = await setup.read_configuration(number, EXPRESS + 8)
        assert control & 0xFFFF == 0x2810, "nothing survives"
    devices = await setup.root.enumerate()
    assert len(devices) == len(FUNCTIONS)

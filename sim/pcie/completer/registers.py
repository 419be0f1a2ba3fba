"""Tests of memory requests: the functions' registers."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time
from cocotbext.pcie.core.tlp import CplStatus, TlpAttr, TlpTc

from sim.harness import record, rng
from sim.models.streams import stalls

from .setup import Setup

__all__ = [
    "byte_enables",
    "doorbells",
    "engine_refuses",
    "long_reads",
    "long_writes",
    "posted_pass",
    "sizes_and_alignments",
    "writes_in_a_row",
]


def lanes(first: int, last: int, length: int) -> list[int]:
    """Offsets of the bytes that a request's byte enables select."""
    enables = [first] if length == 1 else [first, *[0xF] * (length - 2), last]
    return [4 * dword + n for dword, e in enumerate(enables) for n in range(4) if e >> n & 1]


def byte_count(first: int, last: int, length: int) -> int:
    """Byte Count of a completion for the whole request (table 2-39)."""
    chosen = lanes(first, last, length)
    return chosen[-1] - chosen[0] + 1 if chosen else 1


async def read_and_check(setup: Setup, number: int, bar: int, at: int, tlp) -> None:
    """Read, and compare data, byte count and lower address with the engine's memory."""
    memory = setup.engine(number).memory
    completion = (await setup.ask(tlp))[0]
    assert completion.status == CplStatus.SC, repr(completion)
    chosen = lanes(tlp.first_be, tlp.last_be, tlp.length)
    assert len(completion.data) == 4 * tlp.length
    for offset in chosen:
        assert completion.data[offset] == memory[(number, bar, at + offset)], repr(completion)
    assert completion.byte_count == byte_count(tlp.first_be, tlp.last_be, tlp.length)
    lowest = chosen[0] if chosen else 0
    assert completion.lower_address == (tlp.address + lowest) & 0x7F
    assert completion.completer_id == setup.identifier(number)


@cocotb.test()
async def sizes_and_alignments(dut):
    """Accesses of 1, 2, 4 and 8 bytes at every byte of an aligned 16-byte block."""
    setup = await Setup.make(dut, rx_stalls=stalls(rng("rx"), 0.3, 6))
    random = rng("sizes")
    for number, bar in ((0, 0), (1, 2), (2, 0)):
        base, memory = setup.bar(number, bar), setup.engine(number).memory
        for size in (1, 2, 4, 8):
            for at in range(0x100, 0x110):
                data = random.randbytes(size)
                await setup.rc.mem_write(base + at, data)
                read = await setup.rc.mem_read(base + at, size)
                assert read == data, f"{size} at {at:#x}: {data.hex()} → {read.hex()}"
                assert bytes(memory[(number, bar, at + n)] for n in range(size)) == data
    for engine in setup.engines:
        assert all(access.mask for access in engine.log)


@cocotb.test()
async def byte_enables(dut):
    """Byte enables in every combination, holes and none at all included."""
    setup = await Setup.make(dut, latency=6, rx_stalls=stalls(rng("rx"), 0.5, 4))
    random = rng("enables")
    number = 1
    memory = setup.engine(number).memory
    for bar, index in ((0, 0x200), (2, 0x204)):
        base = setup.bar(number, bar)
        for first in range(16):
            data = random.randbytes(4)
            before = [memory[(number, bar, index + n)] for n in range(4)]
            await setup.send(setup.memory(base + index, first=first, data=data))
            tlp = setup.memory(base + index, first=first)
            tlp.tc, tlp.attr = TlpTc.TC3, TlpAttr.RO
            await read_and_check(setup, number, bar, index, tlp)
            for n in range(4):
                expected = data[n] if first >> n & 1 else before[n]
                assert memory[(number, bar, index + n)] == expected
    for _ in range(40):
        bar = random.choice((0, 2))
        length = random.choice((2, 2, 3))
        index = random.randrange(0x300, 0x340, 4)
        first = random.choice((0xF, 0xE, 0xC, 0x8))
        last = random.choice((0xF, 0x7, 0x3, 0x1))
        if length == 2 and index % 8 == 0:
            first, last = random.randrange(1, 16), random.randrange(1, 16)
        base = setup.bar(number, bar)
        data = random.randbytes(4 * length)
        before = {n: memory[(number, bar, index + n)] for n in range(4 * length)}
        await setup.send(setup.memory(base + index, first=first, last=last, data=data))
        tlp = setup.memory(base + index, length, first, last)
        await read_and_check(setup, number, bar, index, tlp)
        written = lanes(first, last, length)
        for n in range(4 * length):
            expected = data[n] if n in written else before[n]
            assert memory[(number, bar, index + n)] == expected, (index, length, first, last)


@cocotb.test()
async def long_writes(dut):
    """A write of many doublewords arrives whole, whatever its alignment."""
    setup = await Setup.make(
        dut,
        max_payload=256,
        stalls=stalls(rng("engine stalls"), 0.2, 4),
        rx_stalls=stalls(rng("rx"), 0.3, 4),
    )
    random = rng("long")
    number, bar = 2, 2
    base, memory = setup.bar(number, bar), setup.engine(number).memory
    for length in (3, 4, 5, 8, 15, 16, 31, 32, 33, 63, 64):
        for low in (0, 4):
            at = random.randrange(0, 0x800, 8) + low
            data = random.randbytes(4 * length)
            await setup.send(setup.memory(base + at, first=0xF, last=0xF, data=data))
            await setup.ask(setup.memory(base))
            stored = bytes(memory[(number, bar, at + n)] for n in range(4 * length))
            assert stored == data, f"{length} doublewords at {at:#x}"


@cocotb.test()
async def long_reads(dut):
    """Reads of up to three doublewords are answered, longer ones with Completer Abort."""
    setup = await Setup.make(dut)
    random = rng("reads")
    number, bar = 0, 0
    base = setup.bar(number, bar)
    for n in range(64):
        setup.engine(number).memory[(number, bar, 0x400 + n)] = random.randrange(256)
    for low in (0, 4):
        for length in (1, 2, 3, 4, 5, 8, 32, 128, 1024 - low):
            # The longest reads have a page to themselves.
            page = 0x1000 if length > 128 else 0x400
            tlp = setup.memory(base + page + low, length, last=0xF)
            if length <= 3:
                await read_and_check(setup, number, bar, 0x400 + low, tlp)
                continue
            await setup.device_status(number)
            completion = (await setup.ask(tlp))[0]
            assert completion.status == CplStatus.CA and not completion.data
            assert completion.byte_count == 4 * length
            assert await setup.device_status(number) & 0b1001 == 0b0001
            assert await setup.read_configuration(number, 4) >> 27 & 1, "Signaled Target Abort"


@cocotb.test()
async def engine_refuses(dut):
    """An engine's error is a Completer Abort, and the next request is served."""
    setup = await Setup.make(dut)
    number, bar = 1, 0
    base = setup.bar(number, bar)
    setup.engine(number).broken |= {(number, bar, 0x500), (number, bar, 0x518)}
    assert await setup.status_of(setup.memory(base + 0x504)) == CplStatus.CA
    # Either half of an access that lies across two words.
    assert await setup.status_of(setup.memory(base + 0x504, 2, last=0xF)) == CplStatus.CA
    assert await setup.status_of(setup.memory(base + 0x514, 2, last=0xF)) == CplStatus.CA
    assert await setup.status_of(setup.memory(base + 0x508)) == CplStatus.SC


@cocotb.test()
async def posted_pass(dut):
    """Writes pass a read that an engine does not answer, and a read waits for writes before it."""
    setup = await Setup.make(dut, latency=1)
    slow, base = setup.engine(2), setup.bar(0)
    slow.latency = 1000
    slow.rng.randint = lambda least, most: most  # type: ignore[method-assign]
    start = get_sim_time("ns")
    read = cocotb.start_soon(setup.ask(setup.memory(setup.bar(2))))
    await ClockCycles(dut.clk, 40)
    for n in range(64):
        await setup.send(setup.memory(base + 8 * n, data=n.to_bytes(4, "little")))
    await ClockCycles(dut.clk, 500)
    assert not read.done()
    assert len([a for a in setup.engine(0).log if a.write]) == 64
    await read
    assert get_sim_time("ns") - start > 1000 * 16
    slow.latency = 1
    for n in range(20):
        await setup.send(setup.memory(setup.bar(2) + 0x40, data=n.to_bytes(4, "little")))
        completion = (await setup.ask(setup.memory(setup.bar(2) + 0x40)))[0]
        assert completion.data == n.to_bytes(4, "little")


@cocotb.test()
async def doorbells(dut):
    """How fast doorbells are taken, and how long a register read takes inside."""
    setup = await Setup.make(dut, latency=1)
    link = setup.root.link
    count = 64
    engine = setup.engine(0)
    seen = len(engine.log)
    # Straight to the port, as fast as beats go: half of the credits that are granted.
    tlps = [setup.memory(setup.bar(0), data=n.to_bytes(4, "little")) for n in range(16)]
    for n in range(count // 16):
        start = get_sim_time("ns")
        for tlp in tlps:
            link.inject(tlp.pack())
        while len(engine.log) < seen + 16 * (n + 1):
            await ClockCycles(dut.clk, 1)
        cycles = (get_sim_time("ns") - start) / 16
    assert cycles <= 16 * 4 + 16, f"{cycles} cycles for 16 doorbells"
    record("pcie_doorbells", value=cycles / 16, unit="cycles", frames=16, cycles=int(cycles))
    tlp = setup.memory(setup.bar(0), 2, last=0xF)
    tlp.tag = await setup.rc.alloc_tag()
    sent = link.sent
    link.inject(tlp.pack())
    cycles = 0
    while link.sent == sent:
        await ClockCycles(dut.clk, 1)
        cycles += 1
    record("pcie_register_read", value=cycles, unit="cycles", cycles=cycles)
    assert cycles <= 24, f"a register read takes {cycles} cycles from first to last beat"


@cocotb.test()
async def writes_in_a_row(dut):
    """Writes of all shapes that follow each other without a gap, with bubbles anywhere."""
    setup = await Setup.make(dut, rx_stalls=stalls(rng("rx"), 0.4, 5))
    random = rng("row")
    for _ in range(20):
        expected = {}
        for _ in range(12):
            number, bar = random.randrange(3), random.choice((0, 2))
            length = random.choice((1, 1, 1, 2, 3, 4))
            at = random.randrange(0, 0x100, 4)
            data = random.randbytes(4 * length)
            tlp = setup.memory(setup.bar(number, bar) + at, data=data, last=0xF)
            setup.root.link.inject(bytes(tlp.pack()))
            expected.update({(number, bar, at + n): data[n] for n in range(4 * length)})
        await setup.settle(300)
        for key, value in expected.items():
            assert setup.engine(key[0]).memory[key] == value, key

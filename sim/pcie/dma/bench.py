"""The whole transaction layer behind cocotbext-pcie's root complex."""

import cocotb
from cocotb.triggers import ClockCycles, Combine, Timer
from cocotbext.pcie.core.caps import PciCapId
from cocotbext.pcie.core.tlp import TlpType

from sim.harness import rng
from sim.models.root import Perturbation
from sim.pcie.dma.credits import *  # noqa: F403
from sim.pcie.dma.rig import CLOCK_NS, PORTS, READS, TIMEOUT, WRITES, Setup
from sim.pcie.dma.traffic import BENCH, everything, span

__all__ = ["BENCH"]


@cocotb.test()
@cocotb.parametrize(
    (
        ("payload", "request", "delay", "stalled"),
        [(128, 128, 0, False), (128, 512, 2000, True), (256, 512, 2000, False)],
    )
)
async def any_span_any_port(dut, payload, request, delay, stalled):
    """Spans of any length and alignment, with completions in any order."""
    perturbation = Perturbation(rng("perturbation"), delay_ns=(0, delay))
    setup = await Setup.make(
        BENCH, dut, max_payload=payload, request=request, perturbation=perturbation, stalled=stalled
    )
    setup.rc.split_on_all_rcb = setup.rng.random() < 0.5
    await everything(setup)


@cocotb.test()
async def bus_master_off(dut):
    """A function without Bus Master Enable is answered with errors and sends nothing."""
    setup = await Setup.make(BENCH, dut)
    mute = setup.devices[1]
    await mute.clear_master()
    setup.sent.clear()
    address, content = setup.memory.filled(600)
    silent = setup.memory.buffer(600)
    for n in range(PORTS):
        setup.writers[n].write(silent, bytes(600), 1)
        setup.writers[n].interrupt(0, 1)
        assert (await setup.readers[n].read(address, 600, 1)).error
        assert (await setup.readers[n].read(address, 600, 0)).data == content
    await setup.settle()
    assert not setup.tlps(WRITES | READS, 1)
    assert setup.memory.get(silent, 600) == b"\xee" * 600


@cocotb.test()
@cocotb.parametrize(kind=["unsupported", "abort", "poison", "lost"])
async def failing_completions(dut, kind):
    """A read that fails ends in an error, and the others do not notice."""
    setup = await Setup.make(BENCH, dut)
    setup.root.link.perturbation = Perturbation(rng("perturbation"), stray=0.1, **{kind: 0.1})
    failures = 0
    for n, reader in enumerate(setup.readers):
        expected = []
        for _ in range(20):
            address, content = setup.memory.filled(span(setup.rng, 600))
            reader.issue(address, len(content), n)
            expected.append(content)
        for content in expected:
            answer = await reader.answer()
            failures += answer.error
            assert len(answer.data) <= len(content)
            assert answer.error or answer.data == content
    assert failures
    setup.root.link.perturbation = None
    await Timer(2 * TIMEOUT * CLOCK_NS, "ns")
    await everything(setup, 4)


@cocotb.test()
async def refused_addresses(dut):
    """The root complex knows no memory there."""
    setup = await Setup.make(BENCH, dut)
    good, content = setup.memory.filled(1000)
    for reader in setup.readers:
        reader.issue(0x6660_0000_0000, 1000)
        reader.issue(good, 1000)
        assert (await reader.answer()).error
        answer = await reader.answer()
        assert not answer.error and answer.data == content


@cocotb.test()
async def writes_then_interrupt(dut):
    """An interrupt stays behind all writes that were accepted before it, on any port."""
    setup = await Setup.make(BENCH, dut, stalled=True)
    device = setup.devices[0]
    await device.alloc_irq_vectors(1, 8)
    vectors = {}
    for number in range(8):
        entry = 0x2000 + 16 * number
        target = setup.memory.buffer(4, align=4)
        vectors[number] = target
        window = device.bar_window[0]
        await window.write_dword(entry, target & 0xFFFF_FFFF)
        await window.write_dword(entry + 4, target >> 32)
        await window.write_dword(entry + 8, number)
        await window.write_dword(entry + 12, 0)
        assert await window.read_dword(entry) == target & 0xFFFF_FFFF
    setup.sent.clear()
    done = 0
    for number in range(24):
        writers = setup.rng.sample(setup.writers, 2)
        length = span(setup.rng, 700)
        address = setup.memory.buffer(length)
        writers[0].write(address, setup.rng.randbytes(length))
        await writers[0].idle()
        await ClockCycles(dut.clk, 1)
        writers[1].interrupt(number % 8)
        await writers[1].idle()
        for _ in range(2000):
            raised = [t.address for t in setup.sent if t.address in vectors.values()]
            if len(raised) > number:
                break
            await ClockCycles(dut.clk, 1)
        assert len(raised) == number + 1, f"interrupt {number} did not come"
        assert raised[-1] == vectors[number % 8]
        at = len(setup.sent) - 1
        covered = sum(
            t.get_be_byte_count()
            for t in setup.sent[:at]
            if address & ~3 <= t.address < address + length
        )
        assert covered == length, "the interrupt passed a write"
        done += 1
    assert done == 24


@cocotb.test()
async def writes_then_register_read(dut):
    """A register's value reaches the host after the writes that the engine had done before."""
    setup = await Setup.make(BENCH, dut, stalled=True)
    window = setup.devices[0].bar_window[0]
    stop = False

    async def load(writer):
        while not stop:
            length = span(setup.rng, 1500)
            writer.write(setup.memory.buffer(length), setup.rng.randbytes(length))
            await writer.idle()

    tasks = [cocotb.start_soon(load(writer)) for writer in setup.writers]
    for _ in range(40):
        await window.read(setup.rng.randrange(0, 0x1000, 4), 4)
        # Every write accepted before the reply is in memory or already on its way.
        await ClockCycles(dut.clk, setup.rng.randrange(60))
    stop = True
    await Combine(*tasks)
    replied = setup.replies.times_ns
    completions = [at for at, tlp in enumerate(setup.sent) if tlp.fmt_type == TlpType.CPL_DATA]
    for moment, at in zip(replied, completions, strict=True):
        covered = [
            (t.address, t.address + 4 * t.length) for t in setup.sent[:at] if t.fmt_type in WRITES
        ]
        for writer in setup.writers:
            for write in writer.accepted:
                if write.time_ns < moment:
                    last = write.address + write.length - 1
                    assert any(low <= last < high for low, high in covered), "passed a write"


@cocotb.test()
async def function_level_reset(dut):
    """A reset in the middle of traffic leaves no access behind it, nor disturbs another."""
    setup = await Setup.make(BENCH, dut, latency_ns=2000)
    victim = setup.devices[1]

    def in_reset() -> bool:
        return bool(int(dut.engine__0__reset.value) >> 1 & 1)

    for _ in range(2):
        for reader, writer in zip(setup.readers, setup.writers, strict=True):
            for _ in range(4):
                length = setup.rng.randint(1, 3000)
                address, _ = setup.memory.filled(length)
                reader.issue(address, length, 1)
                writer.write(setup.memory.buffer(length), bytes(length), 1)
        bystander = cocotb.start_soon(_bystander(setup))
        await ClockCycles(dut.clk, setup.rng.randrange(1500))
        control = await victim.capability_read_word(PciCapId.EXP, 8)
        await victim.capability_write_word(PciCapId.EXP, 8, control | 1 << 15)
        while not in_reset():
            await ClockCycles(dut.clk, 1)
        while in_reset():
            await ClockCycles(dut.clk, 1)
        setup.sent.clear()
        answers = [await reader.answer() for reader in setup.readers for _ in range(4)]
        assert any(answer.error for answer in answers)
        for writer in setup.writers:
            await writer.idle()
        await bystander
        await setup.settle()
        assert not setup.tlps(WRITES | READS, 1), "an access after the reset"
        await victim.enable_device()
        await victim.set_master()
        address, content = setup.memory.filled(1000)
        assert (await setup.readers[0].read(address, 1000, 1)).data == content


async def _bystander(setup: Setup) -> None:
    """Function 0 writes on as if nothing had happened."""
    expected = []
    for _ in range(20):
        content = setup.rng.randbytes(500)
        expected.append((setup.memory.buffer(500), content))
        setup.writers[2].write(*expected[-1])
    await setup.writers[2].idle()
    await setup.settle()
    for address, content in expected:
        assert setup.memory.get(address, 500) == content

"""What the transaction layer counts, against the events that it was shown."""

import random
from functools import partial

import pytest
from amaranth.sim import Simulator

from niter.pcie.tl.layouts import Refused, TlpErrors
from niter.pcie.tl.statistics import COUNTERS, TransactionStatistics
from tests.pcie.host import beats_of
from tests.pcie.test_transmit import SOURCES, make
from tests.support.csr import read, read64
from tests.support.stream import SEEDS


def address_of(dut: TransactionStatistics, *path: str) -> int:
    return next(r.start for r in dut.csr.memory_map.all_resources() if r.path[: len(path)] == path)


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_every_tlp_byte_and_stall_is_counted_once(seed):
    rng = random.Random(seed)
    dut = TransactionStatistics()
    expected = dict.fromkeys(COUNTERS, 0)
    running = []

    async def traffic(ctx, side, port):
        running.append(side)
        for number in range(150):
            tlp = make(rng.choice(SOURCES), number, rng)
            expected[f"{side}_tlps"] += 1
            expected[f"{side}_payload_bytes"] += len(tlp.data)
            for beat in beats_of(tlp):
                ctx.set(port.payload, beat)
                ctx.set(port.valid, 1)
                await ctx.tick()
                ctx.set(port.valid, 0)
                for _ in range(rng.randrange(2) * rng.randrange(4)):
                    await ctx.tick()
        running.remove(side)

    async def stalls(ctx):
        names = [name for name in COUNTERS if name.endswith("stalls")]
        while running:
            value = rng.randrange(8)
            for bit, name in enumerate(names):
                expected[name] += value >> bit & 1
            ctx.set(dut.starved, value)
            await ctx.tick()
        ctx.set(dut.starved, 0)
        await ctx.tick().repeat(300)
        for index, name in enumerate(COUNTERS):
            assert await read64(ctx, dut.csr, 2 * index) == expected[name], name

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for side in ("sent", "received"):
        port = getattr(dut, side)
        sim.add_testbench(partial(traffic, side=side, port=port))
    sim.add_testbench(stalls)
    sim.run()


def test_errors_are_counted_by_kind_and_the_header_is_kept():
    dut = TransactionStatistics()
    kinds = {
        "unsupported_requests": ("unsupported_request", "advisory_unsupported"),
        "completer_aborts": ("advisory_abort",),
        "poisoned": ("poisoned", "advisory_poisoned"),
        "unexpected_completions": ("unexpected_completion",),
        "completion_timeouts": ("completion_timeout",),
        "malformed": ("malformed",),
        "refused_reads": ("received_master_abort", "received_target_abort"),
    }
    assert {name for names in kinds.values() for name in names} | {"data_parity"} == set(
        TlpErrors.as_shape().members
    )

    async def process(ctx):
        async def strobe(**errors):
            ctx.set(dut.errors, errors)
            await ctx.tick()
            ctx.set(dut.errors, {})

        for names in kinds.values():
            for name in names:
                await strobe(**{name: 1})
                await strobe(**{name: 1, "data_parity": name == "poisoned"})
                await ctx.tick().repeat(150)
        # Five of a kind at once: three are counted at a visit.
        for _ in range(5):
            await strobe(malformed=1)
        await ctx.tick().repeat(300)
        for name, of_kind in kinds.items():
            count = await read64(ctx, dut.csr, 2 * COUNTERS.index(name))
            extra = (3, 4, 5) if name == "malformed" else (0,)
            assert count - 2 * len(of_kind) in extra, name

        header = bytes(range(16))
        ctx.set(
            dut.refused,
            Refused.const(
                {
                    "first": int.from_bytes(header[:8], "little"),
                    "second": int.from_bytes(header[8:], "little"),
                    "poisoned": 1,
                }
            ),
        )
        ctx.set(dut.refuse, 1)
        await ctx.tick()
        ctx.set(dut.refuse, 0)
        ctx.set(dut.refused, Refused.const({}))
        base = address_of(dut, "header")
        words = [await read(ctx, dut.csr, base + n) for n in range(4)]
        assert b"".join(word.to_bytes(4, "little") for word in words) == header
        assert await read(ctx, dut.csr, address_of(dut, "refused")) == 0b10
        await ctx.tick()
        assert ctx.get(dut.csr.r_data) == 0

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(process)
    sim.run()

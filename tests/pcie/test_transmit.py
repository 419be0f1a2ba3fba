"""The way to the link: order of precedence, credits, and what must wait for what.

Credits are counted here from the TLPs as cocotbext-pcie unpacks them.
"""

import random

import pytest
from amaranth.sim import Simulator
from cocotbext.pcie.core.tlp import FcType, Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId

from niter.pcie.tl.transmit import TransmitArbiter
from tests.pcie.host import beats_of, unpack
from tests.support.stream import SEEDS

CLASSES = {FcType.P: "posted", FcType.NP: "nonposted", FcType.CPL: "completion"}
SOURCES = ("i_posted", "i_nonposted", "i_completion", "i_message")


def make(source: str, number: int, rng: random.Random) -> Tlp:
    """A TLP of the kind that a source sends; ``number`` can be told from it."""
    tlp = Tlp()
    tlp.requester_id = PcieId.from_int(number)
    tlp.first_be = 0xF
    if source == "i_completion":
        tlp.fmt_type = TlpType.CPL_DATA if rng.random() < 0.7 else TlpType.CPL
        if tlp.fmt_type == TlpType.CPL_DATA:
            tlp.set_data(rng.randbytes(4 * rng.randint(1, 2)))
    elif source == "i_nonposted":
        tlp.fmt_type, tlp.length = TlpType.MEM_READ_64, rng.randint(2, 32)
        tlp.last_be = 0xF
    else:
        tlp.fmt_type = rng.choice((TlpType.MEM_WRITE, TlpType.MEM_WRITE_64))
        tlp.set_data(rng.randbytes(4 * (1 if source == "i_message" else rng.randint(1, 64))))
    return tlp


class Bench:
    """An arbiter, sources before it, and a link that grants credits behind it."""

    def __init__(self, seed, *, stall=0.0, link=True):
        self.rng = random.Random(seed)
        self.dut = TransmitArbiter()
        self.stall = stall
        self.sent = []
        self.limit = {}
        self.used = {}
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        if link:
            self.sim.add_testbench(self._link, background=True)

    def grant(self, ctx, name, amount):
        """Add to a limit."""
        self.limit[name] = self.limit.get(name, 0) + amount
        field = self.dut.limit[name]
        ctx.set(field, self.limit[name] % (1 << len(field)))

    async def _link(self, ctx):
        raw, inside, held = b"", False, None
        while True:
            ready = self.rng.random() >= self.stall
            ctx.set(self.dut.o.ready, ready)
            _, _, valid, beat = await ctx.tick().sample(self.dut.o.valid, self.dut.o.payload)
            assert held is None or (valid and beat == held)
            assert valid or not inside, "a bubble inside a TLP"
            held = beat if valid and not ready else None
            if not (valid and ready):
                continue
            raw += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
            inside = not beat.last
            if beat.last:
                tlp = unpack(raw)
                raw = b""
                self._charge(tlp)
                self.sent.append(tlp)

    def _charge(self, tlp):
        kind = CLASSES[tlp.get_fc_type()]
        for name, cost in (("header", 1), ("data", tlp.get_data_credits())):
            name = f"{kind}_{name}"
            self.used[name] = self.used.get(name, 0) + cost
            endless = self.limit.get(name) is None
            assert endless or self.used[name] <= self.limit[name], f"{name} overdrawn"

    def send(self, source, tlps):
        """Send TLPs without a gap inside, and random ones between them."""
        port = getattr(self.dut, source)
        rng = random.Random(self.rng.random())

        async def process(ctx):
            for tlp in tlps:
                while rng.random() < self.stall:
                    await ctx.tick()
                for beat in beats_of(tlp):
                    ctx.set(port.payload, beat)
                    ctx.set(port.valid, 1)
                    await ctx.tick().until(port.ready)
                    ctx.set(port.valid, 0)

        self.sim.add_testbench(process)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_each_source_keeps_its_order_and_no_credit_is_overdrawn(seed, stall):
    bench = Bench(seed, stall=stall)
    plans = {name: [make(name, n, bench.rng) for n in range(15)] for name in SOURCES}
    for name, tlps in plans.items():
        bench.send(name, tlps)

    async def partner(ctx):
        ctx.set(bench.dut.up, 1)
        names = [f"{kind}_{what}" for kind in CLASSES.values() for what in ("header", "data")]
        for name in names:
            bench.grant(ctx, name, 0)
        for _ in range(2000):
            if len(bench.sent) == 4 * 15:
                break
            name = bench.rng.choice(names)
            left = bench.limit[name] - bench.used.get(name, 0)
            if left < 60:
                bench.grant(ctx, name, bench.rng.randint(1, 3 if "header" in name else 12))
            await ctx.tick().repeat(bench.rng.randint(1, 12))

    bench.sim.add_testbench(partner)
    bench.sim.run()
    assert len(bench.sent) == 4 * 15
    for tlps in plans.values():
        images = [bytes(tlp.pack()) for tlp in tlps]
        assert [i for i in (bytes(t.pack()) for t in bench.sent) if i in images] == images


def test_infinite_credits_need_no_limit():
    bench = Bench(1)
    bench.send("i_posted", [make("i_posted", n, bench.rng) for n in range(10)])

    async def partner(ctx):
        ctx.set(bench.dut.up, 1)
        ctx.set(bench.dut.infinite, 0b11)
        await ctx.tick().repeat(600)

    bench.sim.add_testbench(partner)
    bench.sim.run()
    assert len(bench.sent) == 10


def test_posted_and_completions_pass_what_lacks_credits():
    bench = Bench(1)
    for name in SOURCES:
        bench.send(name, [make(name, n, bench.rng) for n in range(3)])

    async def partner(ctx):
        ctx.set(bench.dut.up, 1)
        bench.grant(ctx, "nonposted_header", 0)
        ctx.set(bench.dut.infinite, 0b110011)
        await ctx.tick().repeat(400)
        assert len(bench.sent) == 9
        for count in range(1, 4):
            bench.grant(ctx, "nonposted_header", 1)
            await ctx.tick().repeat(30)
            assert len(bench.sent) == 9 + count

    bench.sim.add_testbench(partner)
    bench.sim.run()
    assert [tlp.fmt_type for tlp in bench.sent[9:]] == [TlpType.MEM_READ_64] * 3


def test_completions_wait_for_the_writes_accepted_before_them():
    bench = Bench(1)
    bench.send("i_completion", [make("i_completion", 0, bench.rng)])

    async def partner(ctx):
        ctx.set(bench.dut.up, 1)
        ctx.set(bench.dut.infinite, 0b111111)
        ctx.set(bench.dut.order, {"accepted": 5, "retired": 3})
        await ctx.tick().repeat(50)
        ctx.set(bench.dut.order, {"accepted": 7, "retired": 4})
        await ctx.tick().repeat(50)
        assert not bench.sent
        ctx.set(bench.dut.order, {"accepted": 0, "retired": 5})
        await ctx.tick().repeat(20)

    bench.sim.add_testbench(partner)
    bench.sim.run()
    assert len(bench.sent) == 1


@pytest.mark.parametrize("cut", range(3, 24, 4))
def test_a_dropped_link_leaves_nothing_of_a_tlp_behind(cut):
    bench = Bench(1, link=False)
    before = make("i_posted", 0, bench.rng)
    before.set_data(bench.rng.randbytes(128))
    after = [make("i_posted", n, bench.rng) for n in (1, 2)]
    bench.send("i_posted", [before])
    seen = []

    async def partner(ctx):
        ctx.set(bench.dut.o.ready, 1)
        ctx.set(bench.dut.infinite, 0b111111)
        ctx.set(bench.dut.up, 1)
        await ctx.tick().repeat(cut)
        ctx.set(bench.dut.up, 0)
        await ctx.tick().repeat(1)
        ctx.set(bench.dut.up, 1)
        await ctx.tick().repeat(60)
        for tlp in after:
            for beat in beats_of(tlp):
                ctx.set(bench.dut.i_posted.payload, beat)
                ctx.set(bench.dut.i_posted.valid, 1)
                await ctx.tick().until(bench.dut.i_posted.ready)
            ctx.set(bench.dut.i_posted.valid, 0)
        await ctx.tick().repeat(10)

    async def watch(ctx):
        raw = b""
        while True:
            _, _, valid, ready, up, beat = await ctx.tick().sample(
                bench.dut.o.valid, bench.dut.o.ready, bench.dut.up, bench.dut.o.payload
            )
            if not up:
                raw = b""
            elif valid and ready:
                raw += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                if beat.last:
                    seen.append(raw)
                    raw = b""

    bench.sim.add_testbench(watch, background=True)
    bench.sim.add_testbench(partner)
    bench.sim.run()
    images = [bytes(tlp.pack()) for tlp in (before, *after)]
    assert seen[-2:] == images[1:]
    assert seen[:-2] in ([], images[:1])

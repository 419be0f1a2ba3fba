"""The read ports against a root complex in plain Python."""

import random

import pytest
from amaranth.sim import Simulator
from cocotbext.pcie.core.tlp import CplStatus, Tlp

from niter.interface import MAX_FUNCTIONS
from niter.pcie.tl.read import ReadDma
from niter.pcie.tl.slots import SlotMap
from tests.pcie.host import BUS, DEVICE, Host, Link
from tests.support.stream import SEEDS


class Bench:
    """A ``ReadDma`` with a host before it and commands behind it."""

    def __init__(self, seed, *, shares=(1, 1, 2), timeout=4000, stall=0.0, **host):
        self.rng = random.Random(seed)
        self.dut = ReadDma(shares=shares, timeout=timeout)
        self.host = Host(self.rng, **host)
        self.link = Link(self.host, stall=stall)
        self.errors = []
        self.answers = [[] for _ in shares]
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        self.sim.add_testbench(self._setup)
        self.sim.add_testbench(self.link.requests(self.dut.o), background=True)
        self.sim.add_testbench(self.link.completions(self.dut.completions), background=True)
        self.sim.add_testbench(self._report, background=True)
        self.open = 0

    async def _setup(self, ctx):
        ctx.set(self.dut.link.bus, BUS)
        ctx.set(self.dut.link.device, DEVICE)
        for function in range(MAX_FUNCTIONS - 1):
            ctx.set(self.dut.states[function].master, 1)

    async def _report(self, ctx):
        while True:
            _, _, report = await ctx.tick().sample(self.dut.error)
            kinds = {name for name, _ in report.errors.shape() if report.errors[name]}
            if kinds:
                self.errors.append(kinds)

    def commands(self, port, commands, stall=0.0):
        """Issue (address, length, function) on ``port``, with a running context, at any lane."""
        stream = self.dut.read[port].command
        rng = random.Random(self.rng.random())
        lanes = []

        async def process(ctx):
            for context, (address, length, function) in enumerate(commands):
                while rng.random() < stall:
                    await ctx.tick()
                lane = rng.choice((0, rng.randrange(8)))
                lanes.append(lane)
                ctx.set(
                    stream.payload,
                    {
                        "address": address,
                        "length": length,
                        "function": function,
                        "context": context,
                        "lane": lane,
                    },
                )
                ctx.set(stream.valid, 1)
                await ctx.tick().until(stream.ready)
                ctx.set(stream.valid, 0)

        async def sink(ctx):
            answer = self.dut.read[port].answer
            gathered, held = b"", None
            while len(self.answers[port]) < len(commands):
                ready = rng.random() >= stall
                ctx.set(answer.ready, ready)
                _, _, valid, payload = await ctx.tick().sample(answer.valid, answer.payload)
                assert held is None or (valid and payload == held)
                held = payload if valid and not ready else None
                if not (valid and ready):
                    continue
                beat = payload.packet
                assert payload.context == len(self.answers[port]), "answer out of order"
                assert beat.last or not (beat.empty or beat.error)
                gathered += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                if beat.last:
                    lane = lanes[len(self.answers[port])]
                    self.answers[port].append((gathered[lane:], bool(beat.error)))
                    gathered = b""

        self.sim.add_testbench(process)
        self.sim.add_testbench(sink)

    def run(self, limit=100_000):
        """Run until every command is answered, and the counters have settled."""

        async def watch(ctx):
            for _ in range(limit):
                await ctx.tick()
            raise AssertionError("stuck")

        self.sim.add_testbench(watch, background=True)
        self.sim.run()

    def spans(self, count, longest, function=0, low=0x1_0000, high=1 << 40):
        """Random commands, with memory for them that is surrounded by nothing."""
        commands = []
        for number in range(count):
            base = low + number * 0x3000 if self.rng.random() < 0.5 else high + number * 0x3000
            length = self.rng.choice((self.rng.randint(1, 16), self.rng.randint(1, longest)))
            address = base + self.rng.choice((0, 4096 - 64, 0x1000)) + self.rng.randint(0, 200)
            self.host.put(address, self.rng.randbytes(length))
            commands.append((address, length, function))
        return commands

    def expect(self, commands, port):
        """Good answers are what memory holds."""
        for (address, length, _), (content, error) in zip(
            commands, self.answers[port], strict=True
        ):
            assert not error
            assert content == self.host.get(address, length)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("stall", "payload"), [(0.0, 128), (0.3, 256)])
def test_any_span_from_any_port(seed, stall, payload):
    bench = Bench(seed, stall=stall, payload=payload)
    plans = [
        bench.spans(8, longest, port, low=0x100_0000 * (port + 1), high=1 << (40 + port))
        for port, longest in enumerate((200, 64, 1000))
    ]
    for port, commands in enumerate(plans):
        bench.commands(port, commands, stall)
    bench.run()
    for port, commands in enumerate(plans):
        bench.expect(commands, port)
    assert not bench.errors


@pytest.mark.parametrize("status", [CplStatus.UR, CplStatus.CA])
def test_a_refused_read_fails_and_its_neighbours_do_not(status):
    bench = Bench(1)
    commands = [(0x1000 * n + 0x7E, 300, 0) for n in range(1, 5)]
    for address, length, _ in commands:
        bench.host.put(address, bench.rng.randbytes(length))
    bench.host.refused[0x2080] = status
    bench.commands(2, commands)
    bench.run()
    (first, second, *rest) = bench.answers[2]
    assert second[1] and len(second[0]) <= 300
    for (content, error), (address, length, _) in zip(
        [first, *rest], [commands[0], *commands[2:]], strict=True
    ):
        assert not error and content == bench.host.get(address, length)
    abort = "received_target_abort" if status == CplStatus.CA else "received_master_abort"
    assert bench.errors == [{abort}]


def _poisoned(tlp):
    tlp.ep = 1
    return [(tlp, False)]


def _twice_nullified(tlp):
    return [(tlp, True), (tlp, True), (tlp, False)]


def _strangers_between(tlp):
    strangers = []
    for change in (
        {"tag": (tlp.tag + 1) % 32},
        {"tag": tlp.tag + 32},
        {"lower_address": tlp.lower_address ^ 4},
        {"lower_address": tlp.lower_address ^ 1},
        {"byte_count": tlp.byte_count + 1},
        {"tc": 1},
        {"attr": 2},
    ):
        stranger = Tlp(tlp)
        stranger.data = bytearray(len(tlp.data))
        for name, value in change.items():
            setattr(stranger, name, value)
        strangers.append((stranger, False))
    empty = Tlp.create_completion_for_tlp(tlp, tlp.completer_id)
    empty.requester_id, empty.lower_address = tlp.requester_id, tlp.lower_address
    empty.byte_count = tlp.byte_count
    longer = Tlp(tlp)
    longer.set_data(bytes(4 * 33))
    strangers += [(empty, False), (longer, False)]
    # One that ends within eight bytes, though more is to come: no read completion boundary.
    dwords = 1 + tlp.lower_address // 4 % 2
    if len(tlp.data) > 4 * dwords:
        cut = Tlp(tlp)
        cut.set_data(bytes(4 * dwords))
        strangers.append((cut, False))
    return [*strangers, (tlp, False)]


@pytest.mark.parametrize(
    ("transform", "error", "kinds"),
    [
        (_poisoned, True, {"poisoned", "data_parity"}),
        (_twice_nullified, False, None),
        (_strangers_between, False, {"unexpected_completion"}),
    ],
)
def test_what_is_wrong_with_a_completion(transform, error, kinds):
    bench = Bench(3)
    commands = bench.spans(6, 30)
    bench.link.transform = transform
    bench.commands(0, commands[:3])
    bench.commands(1, commands[3:])
    bench.run()
    for (content, failed), (address, length, _) in zip(
        bench.answers[0] + bench.answers[1], commands, strict=True
    ):
        assert failed == error
        assert failed or content == bench.host.get(address, length)
    assert bool(bench.errors) == bool(kinds)
    assert all(kind == kinds for kind in bench.errors)


def test_a_read_that_is_never_answered_times_out_and_frees_its_tag():
    bench = Bench(1, timeout=500)
    commands = bench.spans(12, 100)
    bench.link.transform = lambda tlp: [] if bench.rng.random() < 0.3 else [(tlp, False)]
    bench.commands(0, commands)
    bench.run()
    failures = 0
    for (content, error), (address, length, _) in zip(bench.answers[0], commands, strict=True):
        failures += error
        assert error or content == bench.host.get(address, length)
    assert failures
    assert {"completion_timeout"} in bench.errors
    assert all(kinds <= {"completion_timeout", "unexpected_completion"} for kinds in bench.errors)


def test_with_completion_timeout_disable_a_read_waits_for_ever():
    bench = Bench(1, timeout=300)
    commands = bench.spans(3, 100)
    bench.link.held = True

    async def answer_late(ctx):
        ctx.set(bench.dut.states[0].no_timeout, 1)
        await ctx.tick().repeat(2000)
        bench.link.held = False

    bench.sim.add_testbench(answer_late)
    bench.commands(0, commands)
    bench.run()
    bench.expect(commands, 0)
    assert not bench.errors


def test_a_function_that_may_not_send_is_answered_with_an_error():
    bench = Bench(1)
    good = bench.spans(6, 500)
    bad = [(0x5000, 4096, MAX_FUNCTIONS - 1)] * 3
    bench.commands(0, [*good[:3], *bad, *good[3:]])
    bench.run()
    errors = [error for _, error in bench.answers[0]]
    assert errors == [False] * 3 + [True] * 3 + [False] * 3
    assert all(tlp.requester_id.function == 0 for tlp in bench.host.log)
    assert not bench.errors


def test_a_port_that_waits_for_the_host_does_not_hold_up_another():
    bench = Bench(1, timeout=20_000)
    bench.host.put(0x1000, bytes(range(64)))
    bench.host.put(0x9000, bytes(range(64)))
    bench.commands(1, [(0x9000, 64, 0)] * 12)

    async def blocked(ctx):
        stream = bench.dut.read[0].command
        ctx.set(stream.payload, {"address": 0x1000, "length": 64})
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)

    bench.sim.add_testbench(blocked)
    lost = set(range(SlotMap((1, 1, 2)).bases[0], SlotMap((1, 1, 2)).bases[0] + 8))
    bench.link.transform = lambda tlp: [] if tlp.tag in lost else [(tlp, False)]
    bench.run()
    assert len(bench.answers[1]) == 12 and not bench.answers[0]


def test_a_lone_answer_takes_as_long_whichever_port_waits_for_it():
    bench = Bench(1, shares=(1, 1, 1, 1))
    bench.host.put(0x1000, bytes(range(64)))
    dut, took = bench.dut, []

    async def one_by_one(ctx):
        for port in (3, 0, 1, 1, 3, 2, 0, 2, 3):
            read = dut.read[port]
            ctx.set(read.command.payload, {"address": 0x1000, "length": 64})
            ctx.set(read.command.valid, 1)
            await ctx.tick().until(read.command.ready)
            ctx.set(read.command.valid, 0)
            ctx.set(read.answer.ready, 1)
            arrival = dut.completions
            await ctx.tick().until(arrival.valid & arrival.payload.last)
            cycles = 0
            while not ctx.get(read.answer.valid):
                await ctx.tick()
                cycles += 1
            took.append(cycles)
            await ctx.tick().until(read.answer.valid & read.answer.payload.packet.last)
            await ctx.tick().repeat(20)

    bench.sim.add_testbench(one_by_one)
    bench.run()
    assert len(set(took)) == 1, took

"""Several requesters on one port of the PCIe room, against what each asked for."""

import random

import pytest
from amaranth.sim import Simulator

from niter.card.ports import host_ports
from niter.card.share import FunctionShift, MailboxShift, ReadShare, WriteShare
from niter.interface import WriteKind
from tests.support.stream import SEEDS, STALLS, Bench, Packet

FIRSTS = (0, 2, 5)


def command(rng, **more):
    """A command of an engine, with functions as it counts them."""
    given = {"address": rng.getrandbits(64), "length": rng.randint(1, 64), **more}
    return {**given, "function": rng.randrange(3), "lane": 0}


def as_card(each, first):
    """The command, with functions as the card counts them."""
    return {**each, "function": each["function"] + first}


def fields(payload, names):
    return {name: int(payload[name].value if name == "kind" else payload[name]) for name in names}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_each_gets_its_own_answers(seed, stall):
    dut = ReadShare(FIRSTS)
    bench = Bench(dut, seed)
    rng = bench.rng()
    asked = [[command(rng, context=rng.getrandbits(16)) for _ in range(30)] for _ in FIRSTS]
    got = [bench.receive(port.answer, 30, stall=stall) for port in dut.i]
    for port, commands in zip(dut.i, asked, strict=True):
        bench.put(port.command, commands, stall=stall)
    seen = []

    async def host(ctx):
        """Answers begin while the command is still offered, as those of a long one do."""
        port = dut.o
        for _ in range(30 * len(FIRSTS)):
            payload, *_ = await ctx.tick().sample(port.command.payload).until(port.command.valid)
            given = fields(payload, ("address", "length", "function", "context"))
            seen.append(given)
            beats = rng.randint(1, 3)
            accept = rng.randrange(beats + 1)
            for beat in range(beats):
                if beat == accept:
                    ctx.set(port.command.ready, 1)
                    await ctx.tick()
                    ctx.set(port.command.ready, 0)
                packet = {"data": given["address"], "last": beat == beats - 1, "empty": 0}
                ctx.set(port.answer.payload, {"packet": packet, "context": given["context"]})
                ctx.set(port.answer.valid, 1)
                await ctx.tick().until(port.answer.ready)
                ctx.set(port.answer.valid, 0)
            if accept == beats:
                ctx.set(port.command.ready, 1)
                await ctx.tick()
                ctx.set(port.command.ready, 0)

    bench.add(host)
    bench.run()
    for commands, answers, first in zip(asked, got, FIRSTS, strict=True):
        expected = [as_card(each, first) for each in commands]
        mine = [each for each in seen if {**each, "lane": 0} in expected]
        assert [{**each, "lane": 0} for each in mine] == expected
        for each, packet in zip(commands, answers, strict=True):
            assert packet.data[:8] == each["address"].to_bytes(8, "little")
            assert packet.sideband == {"context": each["context"]}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("source", "sink"), STALLS)
def test_writes_keep_their_data(seed, source, sink):
    """Commands and packets of each requester run ahead of each other; interrupts in between."""
    dut = WriteShare(FIRSTS)
    bench = Bench(dut, seed)
    rng = bench.rng()
    asked, packets = [], []
    for port in dut.i:
        commands = []
        for number in range(40):
            kind = rng.choice(list(WriteKind))
            # The last one is a write: an interrupt behind its data would have to wait.
            kind = WriteKind.MEMORY if number == 39 else kind
            vector = rng.randrange(256) if kind == WriteKind.INTERRUPT else 0
            commands.append(command(rng, kind=kind, vector=vector))
        writes = [each for each in commands if each["kind"] == WriteKind.MEMORY]
        asked.append(commands)
        packets.append([Packet(rng.randbytes(each["length"])) for each in writes])
        bench.put(port.command, commands, stall=source)
        bench.send(port.data, packets[-1], stall=source)
    total = sum(map(len, asked))
    seen = bench.get(dut.o.command, total, stall=sink)
    data = bench.receive(dut.o.data, sum(map(len, packets)), stall=sink)

    async def accept(ctx):
        """What the port accepts, one requester sees accepted in the same cycle, and vice versa."""
        while len(seen) < total:
            sampled = []
            for port in (dut.o, *dut.i):
                for stream in (port.command, port.data):
                    sampled += [stream.valid & stream.ready]
            _, _, *moved = await ctx.tick().sample(*sampled)
            assert moved[0] == sum(moved[2::2]) and moved[1] == sum(moved[3::2])

    bench.add(accept)
    bench.run()
    names = ("address", "length", "function", "kind", "vector")
    seen = [fields(each, names) for each in seen]
    data = iter(data)
    written = [next(data).data if each["kind"] == WriteKind.MEMORY.value else b"" for each in seen]
    for commands, mine, first in zip(asked, packets, FIRSTS, strict=True):
        expected = [{**as_card(each, first), "kind": each["kind"].value} for each in commands]
        for each in expected:
            del each["lane"]
        places = [seen.index(each) for each in expected]
        assert places == sorted(places)
        assert [written[at] for at in places if written[at]] == [each.data for each in mine]


def test_nobody_is_passed_over():
    """Of three who always want to write, each has a third of the port."""
    dut = WriteShare(FIRSTS)
    bench = Bench(dut, 1)
    rng = random.Random(1)
    raised = {**command(rng, kind=WriteKind.INTERRUPT), "function": 0}
    for port in dut.i:
        bench.put(port.command, [raised] * 10)
    seen = bench.get(dut.o.command, 30)
    bench.run()
    assert [each.function for each in seen] == [*FIRSTS] * 10


@pytest.mark.parametrize("share", [ReadShare, WriteShare])
def test_one_requester_has_the_port(share):
    """Alone, it is only counted elsewhere, at once."""
    dut = share((4,))
    given = command(random.Random(1))

    async def testbench(ctx):
        ctx.set(dut.i[0].command.payload, given)
        ctx.set(dut.i[0].command.valid, 1)
        assert ctx.get(dut.o.command.valid) and not ctx.get(dut.i[0].command.ready)
        payload = ctx.get(dut.o.command.payload)
        assert fields(payload, ("address", "length", "function")) == {
            name: as_card(given, 4)[name] for name in ("address", "length", "function")
        }
        ctx.set(dut.o.command.ready, 1)
        assert ctx.get(dut.i[0].command.ready)

    combinational(dut, testbench)


def combinational(dut, testbench):
    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()


def test_functions_are_counted_from_the_first():
    dut = FunctionShift(2)

    async def testbench(ctx):
        ctx.set(dut.i.request.payload, {"function": 3, "address": 0x40, "write": 1})
        ctx.set(dut.i.request.valid, 1)
        ctx.set(dut.i.reset, 0b0110)
        ctx.set(dut.o.reset_done, 0b0001)
        ctx.set(dut.o.reply.payload, {"data": 77, "error": 1})
        assert ctx.get(dut.o.reset) == 0b01 and ctx.get(dut.i.reset_done) == 0b0100
        assert ctx.get(dut.i.reply.payload.data) == 77
        assert not ctx.get(dut.o.request.valid)
        await ctx.tick()
        assert ctx.get(dut.o.request.payload.function) == 1
        assert ctx.get(dut.o.request.payload.address) == 0x40 and ctx.get(dut.o.request.valid)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


PORTS = {
    "net": (3, 4),
    "nvme": (3, 2),
    "blk": (3, 4),
    "mailbox": (1, 1),
}


@pytest.mark.parametrize(
    "card",
    [
        {"net": "net"},
        {"storage": "nvme", "mailbox": "mailbox"},
        {"storage": "blk"},
        {"net": "net", "storage": "nvme", "mailbox": "mailbox"},
        {"net": "net", "storage": "blk"},
    ],
)
def test_every_port_has_its_place(card):
    """All ports of all engines, each once, on four; pairs stay pairs, payload is alone."""
    reads, writes = host_ports(
        {name: PORTS[kind][0] for name, kind in card.items()},
        {name: PORTS[kind][1] for name, kind in card.items()},
    )
    for rows, which in ((reads, 0), (writes, 1)):
        assert len(rows) <= 4
        wanted = [(name, n) for name, kind in card.items() for n in range(PORTS[kind][which])]
        assert sorted(each for row in rows for each in row) == sorted(wanted)
        for name in card.keys() - {"mailbox"}:
            assert ((name, 1),) in rows
    places = [{each: at for at, row in enumerate(rows) for each in row} for rows in (reads, writes)]
    for each in places[0].keys() & places[1].keys():
        assert places[0][each] == places[1][each]


def test_an_engine_behind_another_at_the_mailbox():
    """Messages, credit and resets of its functions 0 and 1 are those of 3 and 4."""
    dut = MailboxShift(3)
    sim = Simulator(dut)

    async def test(ctx):
        ctx.set(dut.i.request.payload.header.function, 1)
        ctx.set(dut.o.reply.payload.header.function, 4)
        ctx.set(dut.o.credit, 0b0001_0111)
        ctx.set(dut.i.reset, 0b01)
        ctx.set(dut.o.reset_done, 0b0001_0001)
        await ctx.delay(1e-9)
        assert ctx.get(dut.o.request.payload.header.function) == 4
        assert ctx.get(dut.i.reply.payload.header.function) == 1
        assert ctx.get(dut.i.credit) == 0b10
        assert ctx.get(dut.o.reset) == 0b1000
        assert ctx.get(dut.i.reset_done) == 0b10

    sim.add_testbench(test)
    sim.run()

"""The mapping table: as full as it is meant to get, every key is found and no other."""

import random
from ipaddress import ip_address

import pytest
from amaranth.sim import Simulator

from niter.net import KeyKind, Lookup, OverlayConfig
from sim.models.overlay import OverlayTables, TableFullError, mac
from tests.support.stream import SEEDS

CONFIG = OverlayConfig(ipv6=True)


def random_mac(rng):
    return ":".join(f"{byte:02x}" for byte in rng.randbytes(6))


def entries(rng, count):
    """Entries of all kinds: (kind, network, key, value)."""
    for _ in range(count):
        # Few networks, so that entries differ in their keys alone as well.
        vni = rng.choice([1, 0x10001, rng.choice([5, 0xABCDEF, 77])])
        kind = rng.choices(["mac", "ipv4", "ipv6"], [5, 5, 1])[0]
        if kind == "mac":
            yield KeyKind.MAC, vni, random_mac(rng), rng.randrange(64)
        elif kind == "ipv4":
            yield KeyKind.IPV4, vni, str(ip_address(rng.randrange(1 << 32))), random_mac(rng)
        else:
            yield (
                KeyKind.IPV6,
                vni,
                str(ip_address(rng.randrange(1 << 127, 1 << 128))),
                random_mac(rng),
            )


def fill(rng, count):
    tables = OverlayTables(CONFIG)
    known = []
    for kind, vni, key, value in entries(rng, count):
        if kind == KeyKind.MAC:
            tables.forward(vni, key, value)
        else:
            tables.neighbour(vni, key, value)
        known.append((kind, vni, key, value))
    return tables, known


@pytest.mark.parametrize("seed", SEEDS)
def test_finds_every_entry_and_nothing_else(seed):
    rng = random.Random(seed)
    tables, known = fill(rng, 640)
    dut = Lookup(CONFIG.slots, ipv6=True)
    questions = rng.sample(known, 120)
    # Keys that differ from a known one in a single bit, or in the network.
    questions = [(kind, tables.network(vni), key, value) for kind, vni, key, value in questions]
    strangers = []
    for kind, vni, key, _ in rng.sample(known, 60):
        strangers.append((kind, 0x80 ^ tables.network(vni), key, None))
    for kind, vni, key, _ in rng.sample([entry for entry in known if entry[0] != KeyKind.MAC], 60):
        bit = rng.randrange(32 if kind == KeyKind.IPV4 else 128)
        stranger = type(ip_address(key))(int(ip_address(key)) ^ 1 << bit)
        strangers.append((kind, tables.network(vni), str(stranger), None))
    for _, vni, key, _ in rng.sample([entry for entry in known if entry[0] == KeyKind.MAC], 60):
        stranger = f"{mac(key) ^ 1 << rng.randrange(48):012x}"
        strangers.append((KeyKind.MAC, tables.network(vni), stranger, None))

    def numbers(kind, key):
        return {"mac": mac(key)} if kind == KeyKind.MAC else {"ip": int(ip_address(key))}

    async def bench(ctx):
        for path, word, value in tables.writes:
            if path == "transmit.classify.mapping.words":
                ctx.set(dut.bus.addr, word)
                ctx.set(dut.bus.w_data, value)
                ctx.set(dut.bus.w_stb, 1)
                await ctx.tick()
        ctx.set(dut.bus.w_stb, 0)
        longest = 0
        for kind, network, key, value in questions + strangers:
            ctx.set(dut.kind, kind)
            ctx.set(dut.network, network)
            ctx.set(dut.network_known, 0)
            ctx.set(dut.mac, 0)
            ctx.set(dut.ip, 0)
            for port, number in numbers(kind, key).items():
                ctx.set(getattr(dut, port), number)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(rng.randint(1, 6))
            ctx.set(dut.network_known, 1)
            cycles, done = 0, 0
            while not done:
                _, _, done, hit = await ctx.tick().sample(dut.done, dut.hit)
                cycles += 1
                assert cycles < 80, f"no end (seed {seed})"
            longest = max(longest, cycles)
            assert hit == (value is not None), (kind, network, key, seed)
            if kind == KeyKind.MAC and hit:
                assert ctx.get(dut.destination) == value
            elif hit:
                assert ctx.get(dut.neighbour) == mac(value)
        assert longest < 20

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("slots", [16, 64])
def test_software_reads_back_what_it_wrote(slots):
    """Also beside a search; without a strobe nothing is shown."""
    rng = random.Random(slots)
    dut = Lookup(slots, ipv6=True)
    words = [rng.randrange(1 << 18) for _ in range(6 * slots)]

    async def bench(ctx):
        ctx.set(dut.bus.w_stb, 1)
        for at, word in enumerate(words):
            ctx.set(dut.bus.addr, at)
            ctx.set(dut.bus.w_data, word)
            await ctx.tick()
        ctx.set(dut.bus.w_stb, 0)
        ctx.set(dut.network_known, 1)
        for at in rng.sample(range(6 * slots), 60):
            ctx.set(dut.bus.addr, at)
            ctx.set(dut.bus.r_stb, asked := rng.getrandbits(1))
            ctx.set(dut.start, rng.getrandbits(1))
            await ctx.tick()
            assert ctx.get(dut.bus.r_data) == (words[at] if asked else 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_takes_five_hundred_and_twelve_entries_whatever_they_are():
    for seed in range(20):
        fill(random.Random(seed), 512)


def test_a_full_table_says_so():
    with pytest.raises(TableFullError):
        fill(random.Random(1), 1200)

"""Headers of the block device taken apart, and what is judged of them."""

import random

import pytest
from amaranth.sim import Simulator

from niter.interface import BlockOpcode
from niter.virtio.blk.check import Check, Outcome
from niter.virtio.blk.header import HeaderParser
from niter.virtio.blk.layouts import Kind
from tests.support.stream import SEEDS, STALLS, Bench, Packet

IN, OUT, FLUSH, GET_ID, LIFETIME, DISCARD, ZEROES, ERASE = 0, 1, 4, 8, 10, 11, 13, 14


def request(kind, sector, reserved=0):
    """``struct virtio_blk_req`` as the specification lays it out (5.2.6)."""
    fields = ((kind, 4), (reserved, 4), (sector, 8))
    return b"".join(value.to_bytes(size, "little") for value, size in fields)


def span(sector, sectors, flags):
    """``struct virtio_blk_discard_write_zeroes`` (5.2.6)."""
    fields = ((sector, 8), (sectors, 4), (flags, 4))
    return b"".join(value.to_bytes(size, "little") for value, size in fields)


@pytest.mark.parametrize(("source", "sink"), STALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_headers_are_taken_apart(seed, source, sink):
    rng = random.Random(seed)
    known = {IN: "IN", OUT: "OUT", FLUSH: "FLUSH", GET_ID: "GET_ID"}
    known |= {DISCARD: "DISCARD", ZEROES: "WRITE_ZEROES"}
    packets, expected = [], []
    for number in range(60):
        kind = rng.choice([*known, LIFETIME, ERASE, 2, 257, 1 << 31, rng.getrandbits(32)])
        sector, first = rng.getrandbits(64), rng.getrandbits(64)
        sectors = rng.choice([0, 1, 32768, 32769, 65536, 65537, rng.getrandbits(32)])
        flags = rng.choice([0, 1, 2, 3, 1 << 31])
        ranged, failed = number % 2, rng.random() < 0.2
        content = request(kind, sector, rng.getrandbits(32))
        if ranged:
            content += span(first, sectors, flags)
        if failed:
            content = content[: rng.randint(1, len(content))]
        packets.append(Packet(content, error=failed))
        fields = {"failed": failed}
        if not failed:
            fields |= {
                "kind": Kind[known.get(kind, "UNKNOWN")],
                "sector": first if ranged else sector,
                "ranged": ranged,
            }
            if ranged:
                fields["sectors"] = sectors if sectors <= 32768 else 0
                fields |= {"unmap": flags & 1, "reserved": flags > 1}
        expected.append(fields)
    bench = Bench(dut := HeaderParser(), seed)
    bench.send(dut.i, packets, stall=source)
    got = bench.get(dut.o, len(packets), stall=sink)
    bench.run()
    for header, fields in zip(got, expected, strict=True):
        assert {name: getattr(header, name) for name in fields} == fields


def judged(facts, total, header, features):
    """What the specification and the device's page say of a request."""
    kind = header["kind"]
    into, out, ranged = facts["reads"], facts["writes"], header["ranged"]
    if facts["headless"] or facts["excess"] or header["failed"]:
        return "IOERR"
    ranges = kind in (Kind.DISCARD, Kind.WRITE_ZEROES)
    if kind == Kind.UNKNOWN or (ranges and kind not in features):
        return "UNSUPP"
    if ranges and ranged and (header["reserved"] or (kind == Kind.DISCARD and header["unmap"])):
        return "UNSUPP"
    good = {
        Kind.IN: into and not out and not ranged and total and total % 512 == 0,
        Kind.OUT: out and not into and total and total % 512 == 0,
        Kind.FLUSH: not into,
        Kind.GET_ID: into and not out and not ranged and total == 20,
        Kind.DISCARD: ranged and header["sectors"] and not into,
        Kind.WRITE_ZEROES: ranged and header["sectors"] and not into,
    }[kind]
    if not good:
        return "IOERR"
    if kind == Kind.GET_ID:
        return "IDENTITY"
    return "REQUEST" if header["sector"] < 1 << 56 else "IOERR"


def test_requests_are_judged_as_the_specification_says():
    rng = random.Random(1)
    seen = set()
    dut = Check()

    async def process(ctx):
        for _ in range(3000):
            bit = lambda odds=0.5: int(rng.random() < odds)  # noqa: E731
            kind = rng.choice(list(Kind))
            total = rng.choice([0, 1, 19, 20, 21, 511, 512, 513, 1024, 4096, (1 << 25) - 512])
            facts = {"reads": bit(), "writes": bit(0.3)}
            facts |= {"headless": bit(0.05), "excess": bit(0.05)}
            header = {
                "kind": kind,
                "sector": rng.choice([0, 7, 1 << 55, 1 << 56, 1 << 63]),
                "ranged": bit(),
                "sectors": rng.choice([0, 1, 32768]),
                "unmap": bit(0.3),
                "reserved": bit(0.2),
                "failed": bit(0.05),
            }
            features = {k for k in (Kind.DISCARD, Kind.WRITE_ZEROES) if bit(0.8)}
            ctx.set(dut.facts, facts)
            ctx.set(dut.total, total)
            ctx.set(dut.header, header)
            ctx.set(dut.discard, Kind.DISCARD in features)
            ctx.set(dut.write_zeroes, Kind.WRITE_ZEROES in features)
            await ctx.delay(1e-6)
            expected = judged(facts, total, header, features)
            assert Outcome(ctx.get(dut.outcome)) == Outcome[expected]
            seen.add((kind, expected))
            if expected == "REQUEST":
                ranges = kind in (Kind.DISCARD, Kind.WRITE_ZEROES)
                if kind != Kind.FLUSH:
                    assert ctx.get(dut.sectors) == (header["sectors"] if ranges else total // 512)
                opcode = {Kind.IN: "READ", Kind.OUT: "WRITE"}.get(kind, kind.name)
                assert BlockOpcode(ctx.get(dut.opcode)) == BlockOpcode[opcode]

    sim = Simulator(dut)
    sim.add_testbench(process)
    sim.run()
    assert {(k, "IOERR") for k in Kind} <= seen
    assert {(k, "REQUEST") for k in Kind if k not in (Kind.GET_ID, Kind.UNKNOWN)} <= seen

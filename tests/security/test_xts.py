import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from niter.security.xts import Xts
from tests.security.records import records
from tests.support.stream import SEEDS, STALLS, Bench


def words(data):
    """A data unit as the words that carry it."""
    return [
        {"data": int.from_bytes(data[at : at + 8], "little"), "last": at + 8 == len(data)}
        for at in range(0, len(data), 8)
    ]


def run(keys, units, stalls=(0.0, 0.0), seed=1):
    """What becomes of ``units``: (slot, decrypt, number, data); and the cycles it took."""
    dut = Xts()
    bench = Bench(dut, seed)
    loaded = []

    async def load(ctx):
        ctx.set(dut.usable, 0xFFFF)
        for slot, key in keys.items():
            for index in range(16):
                word = int.from_bytes(key[4 * index : 4 * index + 4], "little")
                payload = {"slot": slot, "index": index, "erase": 0, "data": word}
                await bench._put(ctx, dut.keys, payload)
            await ctx.tick().until(dut.good.bit_select(slot, 1))
        loaded.append(bench.cycles)
        payloads = [
            {"slot": slot, "decrypt": decrypt, "number": number}
            for slot, decrypt, number, _ in units
        ]
        for payload in payloads:
            await bench._put(ctx, dut.unit, payload)

    bench.add(load)
    sent = [word for *_, data in units for word in words(data)]
    bench.put(dut.i, sent, stall=stalls[0])
    taken = bench.get(dut.o, len(sent), stall=stalls[1])

    async def ends(ctx):
        while len(taken) < len(sent):
            await ctx.tick()
        await ctx.tick().repeat(3)
        assert ctx.get(dut.empty)

    bench.add(ends)
    cycles = bench.run(100_000) - loaded[0]
    found, data = [], b""
    for word in taken:
        data += int(word.data).to_bytes(8, "little")
        if word.last:
            found.append(data)
            data = b""
    assert not data
    return found, cycles


def oracle(key, decrypt, number, data):
    """An independent library's answer."""
    cipher = Cipher(algorithms.AES(key), modes.XTS(number.to_bytes(16, "little")))
    one = cipher.decryptor() if decrypt else cipher.encryptor()
    return one.update(data)


@pytest.mark.parametrize("section", ["ENCRYPT", "DECRYPT"])
def test_official_vectors(section):
    found = [r for r in records("XTSGenAES256.rsp") if r["section"] == section and "CT" in r]
    assert len(found) == 8
    source, target = ("PT", "CT") if section == "ENCRYPT" else ("CT", "PT")
    keys = {n: bytes.fromhex(record["Key"]) for n, record in enumerate(found)}
    units = [
        (n, section == "DECRYPT", int(r["DataUnitSeqNumber"]), bytes.fromhex(r[source]))
        for n, r in enumerate(found)
    ]
    assert [data.hex() for data in run(keys, units)[0]] == [record[target] for record in found]


@pytest.mark.parametrize("seed, stalls", list(enumerate(STALLS, SEEDS[0])))
def test_both_directions_mixed(seed, stalls):
    rng = random.Random(seed)
    keys = {slot: rng.randbytes(64) for slot in (0, 9)}
    units = [
        (
            rng.choice((0, 9)),
            rng.random() < 0.5,
            rng.choice((0, 1, rng.getrandbits(57))),
            rng.randbytes(16 * rng.choice((1, 1, 2, 3, 5, 9))),
        )
        for _ in range(14)
    ]
    wanted = [oracle(keys[slot], *rest) for slot, *rest in units]
    assert run(keys, units, stalls, seed)[0] == wanted


def test_rate():
    """More than a gigabit a second at 62.5 MHz, in sectors that go in turn both ways."""
    rng = random.Random(3)
    keys = {0: rng.randbytes(64)}
    units = [(0, n & 1, n, rng.randbytes(512)) for n in range(6)]
    found, cycles = run(keys, units)
    assert found == [oracle(keys[0], *rest) for _, *rest in units]
    # The way in and out of the first one is no part of the rate.
    assert 8 * 512 * len(units) * 62.5e6 / (cycles - 100) > 1e9

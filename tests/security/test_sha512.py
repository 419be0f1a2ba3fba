import hashlib
import random

import pytest

from niter.security.sha512 import Sha512
from tests.security.records import records
from tests.support.stream import SEEDS, STALLS, Bench

MARKS = (0, 1, 7, 8, 9, 16, 103, 104, 111, 112, 119, 120, 121, 127, 128, 129, 239, 240, 256, 300)


def pieces(message: bytes, long: bool) -> list[dict]:
    chunks = [message[at : at + 8] for at in range(0, len(message), 8)] or [b""]
    return [
        {
            "data": int.from_bytes(chunk, "little"),
            "bytes": len(chunk),
            "last": index == len(chunks) - 1,
            "long": long,
        }
        for index, chunk in enumerate(chunks)
    ]


def digests(messages: list[tuple[bytes, bool]], stalls=(0.0, 0.0), seed=1) -> tuple[list, int]:
    dut = Sha512()
    bench = Bench(dut, seed)
    sent = [piece for message, long in messages for piece in pieces(message, long)]
    words = sum(8 if long else 6 for _, long in messages)
    bench.put(dut.i, sent, stall=stalls[0])
    taken = bench.get(dut.o, words, stall=stalls[1])
    cycles = bench.run(200_000)
    found, digest = [], b""
    for word in taken:
        digest += int(word.data).to_bytes(8, "little")
        if word.last:
            found.append(digest)
            digest = b""
    assert not digest
    return found, cycles


def oracle(messages: list[tuple[bytes, bool]]) -> list[bytes]:
    return [(hashlib.sha512 if long else hashlib.sha384)(m).digest() for m, long in messages]


@pytest.mark.parametrize("bits", [384, 512])
@pytest.mark.parametrize("file", ["ShortMsg.rsp", "LongMsg.rsp", "Monte.txt"])
def test_official_vectors(file, bits):
    found = [r for r in records(f"SHA{bits}{file}") if "MD" in r or "MDi" in r]
    messages = []
    for record in found:
        message = bytes.fromhex(record.get("Msg") or record["M"])
        messages.append((message[: int(record.get("Len", 8 * len(message))) // 8], bits == 512))
    wanted = [record.get("MD") or record["MDi"] for record in found]
    assert len(wanted) >= 2
    assert [digest.hex() for digest in digests(messages)[0]] == wanted


@pytest.mark.parametrize("seed, stalls", list(enumerate(STALLS, SEEDS[0])))
def test_any_length_and_stalls(seed, stalls):
    rng = random.Random(seed)
    messages = [(rng.randbytes(size), rng.random() < 0.5) for size in rng.sample(MARKS, 7)]
    assert digests(messages, stalls, seed)[0] == oracle(messages)


def test_cycles_of_a_message():
    for blocks in (1, 3):
        _, cycles = digests([(bytes(128 * blocks - 17), False)])
        assert cycles <= 91 * blocks + 12 + 8

import hashlib
import random
import struct
from functools import cache
from pathlib import Path

import pytest

from firmware.boot.layout import FLASH, Memory
from firmware.build import DEVELOPMENT_KEY, public_key, sign
from tests.firmware.boot_host import Host

A, B, GOLDEN = range(3)
PLACES = (FLASH.slot_a, FLASH.slot_b, FLASH.golden)
HEADER = 32
#: Where a slot's attempts and its confirmation stand.
STATE = FLASH.slot_bytes - 8


@cache
def image(*, content=bytes(range(256)) * 2, key=DEVELOPMENT_KEY, counter=1, version="1.0.0"):
    folder = Path(__file__).parents[2] / "build" / "firmware" / "test-images"
    return sign(
        content,
        folder / hashlib.sha256(content).hexdigest()[:8],
        key=key,
        counter=counter,
        version=version,
    )[0]


@pytest.fixture(scope="module")
def other_key(tmp_path_factory):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = tmp_path_factory.mktemp("keys") / "other.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def choose(*flashes):
    return Host(public_key(DEVELOPMENT_KEY)).choose(list(flashes))


def flash(a=None, b=None, golden=None, **more):
    slots = zip(PLACES, (a, b, golden), strict=True)
    return {at: piece for at, piece in slots if piece} | {int(k[1:]): v for k, v in more.items()}


def state(slot, attempts, confirmed=0xFFFFFFFF):
    return {f"_{PLACES[slot] + STATE}": struct.pack("<II", attempts, confirmed)}


def counter(count):
    """The card's security counter: so many zero bits."""
    bits = (1 << 2048) - 1 >> count << count
    return {f"_{FLASH.counter}": bits.to_bytes(256, "little")}


def test_a_good_image_is_started_and_measured():
    one = image()
    (found,) = choose(flash(a=one))
    (length,) = struct.unpack_from("<I", one, 12)
    (protected,) = struct.unpack_from("<H", one, 10)
    expected = hashlib.sha384(one[: HEADER + length + protected]).hexdigest()
    assert (found["slot"], found["digest"]) == (A, expected)
    assert (found["counter"], found["version"]) == (1, 1 << 24)
    # It is not confirmed: the attempt is noted, in one bit.
    assert found["programmed"] == [[FLASH.slot_a + STATE, "feffffff"]]


def test_which_slot_comes_first(other_key):
    old, new = image(version="1.2.3"), image(version="1.3.0")
    low, high = image(counter=4), image(counter=5)
    foreign = image(key=other_key, version="9.0.0")
    cases = (
        (flash(a=old, b=new), B, ["not tried", "started", "not tried"]),
        (flash(a=new, b=old), A, ["started", "not tried", "not tried"]),
        (flash(a=new, b=new), A, ["started", "not tried", "not tried"]),
        (flash(a=old, b=foreign), A, ["started", "signature", "not tried"]),
        (flash(b=old), B, ["not tried", "started", "not tried"]),
        (flash(golden=old), GOLDEN, ["absent", "absent", "started"]),
        (flash(a=foreign, b=foreign, golden=old), GOLDEN, ["signature", "signature", "started"]),
        (flash(a=foreign, b=foreign, golden=foreign), -1, ["signature"] * 3),
        (flash(), -1, ["absent"] * 3),
        (flash(a=low, **counter(4)), A, ["started", "not tried", "not tried"]),
        (flash(a=low, b=high, **counter(5)), B, ["rollback", "started", "not tried"]),
        (flash(a=low, b=low, golden=low, **counter(9)), GOLDEN, ["rollback"] * 2 + ["started"]),
        (flash(a=old, b=new, **state(B, 0xFFFFFFF8)), A, ["started", "failed", "not tried"]),
        (flash(a=old, b=new, **state(B, 0xFFFFFFFC)), B, ["not tried", "started", "not tried"]),
        (flash(a=old, b=new, **state(B, 0, 0)), B, ["not tried", "started", "not tried"]),
    )
    results = choose(*(each for each, _, _ in cases))
    for (_, slot, verdicts), found in zip(cases, results, strict=True):
        assert (found["slot"], found["verdicts"]) == (slot, verdicts)
    assert results[-1]["programmed"] == [], "a confirmed image wears nothing"
    assert results[-2]["programmed"] == [[FLASH.slot_b + STATE, "f8ffffff"]]


def test_every_byte_counts():
    """One bit changed anywhere in the image, or its end cut off: it is not started."""
    good = image(content=bytes(range(64)))
    signed = HEADER + 64 + struct.unpack_from("<H", good, 10)[0]
    total = signed + struct.unpack_from("<H", good, signed + 2)[0]
    rand = random.Random(1)
    changed = []
    for at in range(total):
        copy = bytearray(good[:total])
        copy[at] ^= 1 << rand.randrange(8)
        changed.append(bytes(copy))
    cut = [good[:length] for length in range(0, total, 3)]
    key_hash = _values(good, signed, total)
    for number, found in enumerate(choose(*(flash(a=each) for each in changed + cut))):
        # The digest of the key is a hint for other loaders: this one has its key.
        if number < total and number in key_hash:
            assert found["slot"] == A
        else:
            assert found["slot"] == -1, (number, found)
            assert found["verdicts"][0] not in ("started", "not tried")


def _values(good, at, end):
    """Bytes of what the loader does not look at: the value of KEYHASH, its type's second byte."""
    found = set()
    at += 4
    while at < end:
        kind, length = struct.unpack_from("<HH", good, at)
        if kind == 0x01:
            found |= set(range(at + 4, at + 4 + length)) | {at, at + 1}
        at += 4 + length
    return found


def test_lengths_beyond_all_bounds():
    good = image()
    longest = Memory(64 * 1024).longest_image
    cases = []
    for offset, form, values in (
        (8, "<H", (0, 16, 64, 0xFFFF)),
        (10, "<H", (0, 4, 257, 0xFFFF)),
        (12, "<I", (0, 1, 510, longest + 4, 0xFFFFFFFC, 0xFFFFFFFF)),
    ):
        for value in values:
            copy = bytearray(good)
            struct.pack_into(form, copy, offset, value)
            cases.append(flash(a=bytes(copy)))
    rand = random.Random(2)
    for _ in range(200):
        copy = bytearray(good)
        start = 544 + rand.randrange(200)
        copy[start : start + 4] = rand.randbytes(4)
        cases.append(flash(a=bytes(copy)))
    for found in choose(*cases):
        assert found["slot"] in (-1, A)
        assert (found["slot"] == A) == (found["verdicts"][0] == "started")


def test_the_longest_image_fits():
    longest = Memory(64 * 1024).longest_image
    assert choose(flash(a=image(content=bytes(longest))))[0]["slot"] == A

"""The arithmetic that takes the place of the libraries' own, against Python's integers.

Signatures and keys are tried elsewhere, with numbers as they come; here limbs are at the ends of
what the libraries let them be, where a carry that is one bit short would show.
"""

import ctypes
import hashlib
import random
import subprocess
from itertools import product
from pathlib import Path

import pytest

from firmware.packages import BEARSSL, MONOCYPHER, fetch

_FIRMWARE = Path(__file__).parents[2] / "firmware"
_BUILD = Path(__file__).parents[2] / "build" / "firmware" / "arithmetic"

P = 2**255 - 19
#: Where each limb's bits begin.
PLACES = [(51 * n + 1) // 2 for n in range(10)]
#: What Monocypher lets a limb be at most: 1.65 times 2^26, and 2^25.
BOUNDS = [int(1.65 * 2 ** (26 - n % 2)) - 1 for n in range(10)]

P384 = 2**384 - 2**128 - 2**96 + 2**32 - 1
ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)

_GLUE = """
#include "monocypher.c"
void mul(i32 *h, const i32 *f, const i32 *g);
void sq(i32 *h, const i32 *f);
void small(i32 *h, const i32 *f, i32 g);
void mul(i32 *h, const i32 *f, const i32 *g) { fe_mul(h, f, g); }
void sq(i32 *h, const i32 *f) { fe_sq(h, f); }
void small(i32 *h, const i32 *f, i32 g) { fe_mul_small(h, f, g); }
"""


@pytest.fixture(scope="module")
def library():
    """Both, for this machine; a wrong shift or an overflow ends the test."""
    monocypher, bearssl = fetch(MONOCYPHER), fetch(BEARSSL)
    headers = [_FIRMWARE / "crypto" / f"{name}.h" for name in ("field", "montgomery")]
    text = b"".join(path.read_bytes() for path in headers) + _GLUE.encode()
    place = _BUILD / f"{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not place.exists():
        _BUILD.mkdir(parents=True, exist_ok=True)
        glue = _BUILD / "glue.c"
        glue.write_text(_GLUE)
        files = [glue, *(bearssl / "src/int" / f"i31_{name}.c" for name in ("montmul", "sub"))]
        flags = ["-std=c11", "-w", "-O1", "-shared", "-fPIC", f"-I{_FIRMWARE}", f"-I{monocypher}"]
        flags += [f"-I{bearssl}/inc", f"-I{bearssl}/src"]
        flags += ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
        subprocess.run(["gcc", *flags, *map(str, files), "-o", str(place)], check=True)
    return ctypes.CDLL(str(place))


def limbs(values):
    return (ctypes.c_int32 * 10)(*values)


def number(element):
    return sum(limb << place for limb, place in zip(element, PLACES, strict=True))


def extremes(draw):
    """Every sign at the bound, and some of what is between."""
    yield from (
        [sign * bound for sign, bound in zip(signs, BOUNDS, strict=True)]
        for signs in product((-1, 1), repeat=10)
    )
    for _ in range(1000):
        yield [draw.choice([0, 1, -1, bound, draw.randint(-bound, bound)]) for bound in BOUNDS]


def within(element):
    """What the library expects of a product: hardly more than half of a limb."""
    return all(abs(limb) < 1.01 * 2 ** (25 - n % 2) for n, limb in enumerate(element))


def test_products_are_those_of_integers(library):
    draw, before = random.Random(1), [1] + [0] * 9
    for values in extremes(draw):
        f, g, h = limbs(values), limbs(before), limbs([0] * 10)
        for left, right in ((f, g), (g, f), (f, f)):
            library.mul(h, left, right)
            assert within(h) and (number(h) - number(left) * number(right)) % P == 0
        library.sq(h, f)
        assert within(h) and (number(h) - number(f) ** 2) % P == 0
        for factor in (121666, 2**31 - 1, -(2**31)):
            library.small(h, f, ctypes.c_int32(factor))
            assert (number(h) - number(f) * factor) % P == 0
        # A product may be written over what it is of.
        library.mul(f, f, f)
        assert list(f) == list(squared(library, values))
        before = values


def squared(library, values):
    f, h = limbs(values), limbs([0] * 10)
    library.mul(h, f, f)
    return h


def words(value, bits):
    """A number as BearSSL has it: the announced length, and words of 31 bits."""
    count = (bits + 30) // 31
    return (ctypes.c_uint32 * (count + 1))(
        bits // 31 << 5 | bits % 31, *(value >> 31 * n & 0x7FFFFFFF for n in range(count))
    )


@pytest.mark.parametrize("modulus", [P384, ORDER, 2**403 - 1, 2**62 - 1, 2**62 + 1, 2**93 - 1, 11])
def test_montgomery_products_are_those_of_integers(library, modulus):
    bits = modulus.bit_length()
    count = (bits + 30) // 31
    inverse = pow(2, -31 * count, modulus)
    low = ctypes.c_uint32(-pow(modulus, -1, 2**31) % 2**31)
    m = words(modulus, bits)
    draw = random.Random(2)
    some = [0, 1, modulus - 1, modulus // 2, *(draw.randrange(modulus) for _ in range(40))]
    for x, y in product(some, repeat=2):
        d = words(0, bits)
        library.br_i31_montymul(d, words(x, bits), words(y, bits), m, low)
        found = sum(word << 31 * n for n, word in enumerate(d[1:]))
        assert found == x * y * inverse % modulus
        assert d[0] == m[0]

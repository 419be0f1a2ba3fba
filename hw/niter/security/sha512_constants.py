"""The constants of SHA-384 and SHA-512 (FIPS 180-4, 4.2.3, 5.3.4 and 5.3.5).

They are what the standard says they are: the first 64 bits of the fractional parts of roots of
the first primes. Computing them takes less space than the tables, and no typing error.
"""

from math import isqrt

__all__ = ["INITIAL_384", "INITIAL_512", "ROUND"]

_MASK = (1 << 64) - 1


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(value: int) -> int:
    """The integer part of the cube root."""
    root = 1 << -(-value.bit_length() // 3)
    while root**3 > value:
        root = (2 * root + value // root**2) // 3
    return root


_PRIMES = _primes(80)

#: One word for each round.
ROUND = [_cube_root(prime << 192) & _MASK for prime in _PRIMES]

#: What hashing begins with.
INITIAL_512 = [isqrt(prime << 128) & _MASK for prime in _PRIMES[:8]]
INITIAL_384 = [isqrt(prime << 128) & _MASK for prime in _PRIMES[8:16]]

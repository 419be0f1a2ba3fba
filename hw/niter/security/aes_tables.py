"""The tables of AES (FIPS 197, 5.1.1 and 5.3.2), computed from their definition."""

__all__ = ["INVERSE_SBOX", "LOOKUP", "SBOX", "multiply"]


def multiply(a: int, b: int) -> int:
    """Product in GF(2**8) modulo x**8 + x**4 + x**3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _sbox() -> list[int]:
    inverse = [0] * 256
    for value in range(1, 256):
        power = value
        # The inverse is the 254th power.
        for _ in range(253):
            power = multiply(power, value)
        inverse[value] = power
    spread = [value * 0x01010101 for value in inverse]
    return [
        (value >> 8 ^ value >> 7 ^ value >> 6 ^ value >> 5 ^ value >> 4 ^ 0x63) & 0xFF
        for value in spread
    ]


SBOX = _sbox()
INVERSE_SBOX = [SBOX.index(value) for value in range(256)]

#: What a round looks up: the S-box in the low byte, and from 256 on, for decryption, five and
#: four times the inverse S-box in the low and the high byte. Inverse MixColumns is MixColumns
#: behind the matrix that has 5 on its diagonal and 4 two places beside it; so the table does
#: half of it, and the sum of both bytes is the inverse S-box itself.
LOOKUP = SBOX + [multiply(value, 5) | multiply(value, 4) << 8 for value in INVERSE_SBOX]

/*
 * Montgomery multiplication for words of 31 bits: takes the place of BearSSL's (firmware/packages.py),
 * for a core whose multiplications are cheap against its loads.
 *
 * Two words of x are multiplied in one pass: a word of y, of m and of the sum, once loaded, serves
 * both, and one carry does. Four products, a word and the carry stay below 2^64:
 * 4 (2^31 - 1)^2 + 2^31 + 2^33. Results, bounds and constant time are BearSSL's.
 */
#ifndef CRYPTO_MONTGOMERY_H
#define CRYPTO_MONTGOMERY_H

void br_i31_montymul(
    uint32_t *d, const uint32_t *x, const uint32_t *y, const uint32_t *m, uint32_t m0i
)
{
    enum { WORD = 0x7fffffff };
    size_t length = (m[0] + 31) >> 5, n = 1;
    uint64_t sum, high = 0;
    br_i31_zero(d, m[0]);
    for (; n < length; n += 2) {
        uint32_t x0 = x[n], x1 = x[n + 1], y0 = y[1], m0 = m[1];
        /* What is added makes the lowest word zero; then the next. */
        uint32_t f0 = MUL31_lo(d[1] + MUL31_lo(x0, y0), m0i);
        uint64_t carry = (d[1] + MUL31(x0, y0) + MUL31(f0, m0)) >> 31;
        sum = d[2] + MUL31(x0, y[2]) + MUL31(f0, m[2]) + carry;
        uint32_t second = (uint32_t)sum & WORD;
        uint32_t f1 = MUL31_lo(second + MUL31_lo(x1, y0), m0i);
        carry = (sum >> 31) + ((second + MUL31(x1, y0) + MUL31(f1, m0)) >> 31);
        y0 = y[2];
        m0 = m[2];
        for (size_t at = 3; at <= length; at++) {
            uint32_t y1 = y[at], m1 = m[at];
            sum = d[at] + MUL31(x0, y1) + MUL31(f0, m1) + MUL31(x1, y0) + MUL31(f1, m0) + carry;
            d[at - 2] = (uint32_t)sum & WORD;
            carry = sum >> 31;
            y0 = y1;
            m0 = m1;
        }
        sum = high + MUL31(x1, y0) + MUL31(f1, m0) + carry;
        d[length - 1] = (uint32_t)sum & WORD;
        sum >>= 31;
        d[length] = (uint32_t)sum & WORD;
        high = sum >> 31;
    }
    if (n == length) {
        uint32_t f = MUL31_lo(d[1] + MUL31_lo(x[n], y[1]), m0i);
        uint64_t carry = (d[1] + MUL31(x[n], y[1]) + MUL31(f, m[1])) >> 31;
        for (size_t at = 2; at <= length; at++) {
            sum = d[at] + MUL31(x[n], y[at]) + MUL31(f, m[at]) + carry;
            d[at - 1] = (uint32_t)sum & WORD;
            carry = sum >> 31;
        }
        sum = high + carry;
        d[length] = (uint32_t)sum & WORD;
        high = sum >> 31;
    }
    br_i31_sub(d, m, NEQ((uint32_t)high, 0) | NOT(br_i31_sub(d, m, 0)));
}

#endif

/*
 * Products modulo 2^255 - 19 in little room: they take the place of Monocypher's, whose text includes
 * this (firmware/packages.py). Those are longer than half of the instruction cache each, so that a
 * point's addition fetches them anew from memory; these stay there together.
 *
 * The representation and its bounds are Monocypher's: ten signed limbs, in turn of 26 and 25 bits. A
 * product of two odd limbs counts twice; what leaves at the top comes back 19 times.
 */
#ifndef CRYPTO_FIELD_H
#define CRYPTO_FIELD_H

/*
 * Limbs of sums that are below 2^62: each keeps what is nearest to zero and carries the rest, which
 * is below 2^37, to the next. What comes back to the first moves the second by less than 2^17.
 */
static __attribute__((noinline)) void fe_carry(fe h, const i64 sums[10])
{
    i64 carry = 0;
    for (int n = 0; n < 10; n += 2) {
        i64 even = sums[n] + carry;
        carry = (even + (1 << 25)) >> 26;
        h[n] = (i32)((u32)even - ((u32)carry << 26));
        i64 odd = sums[n + 1] + carry;
        carry = (odd + (1 << 24)) >> 25;
        h[n + 1] = (i32)((u32)odd - ((u32)carry << 25));
    }
    i64 first = h[0] + carry * 19;
    carry = (first + (1 << 25)) >> 26;
    h[0] = (i32)((u32)first - ((u32)carry << 26));
    h[1] += (i32)carry;
}

static void fe_mul_small(fe h, const fe f, i32 g)
{
    i64 sums[10];
    for (int n = 0; n < 10; n++)
        sums[n] = f[n] * (i64)g;
    fe_carry(h, sums);
}

/* A limb of the product: those of f, which stay in registers, against those of g from here downwards. */
#define FIELD_LIMB(at) \
    (f0 * (i64)(at)[0] + f1 * (i64)(at)[-1] + f2 * (i64)(at)[-2] + f3 * (i64)(at)[-3] \
     + f4 * (i64)(at)[-4] + f5 * (i64)(at)[-5] + f6 * (i64)(at)[-6] + f7 * (i64)(at)[-7] \
     + f8 * (i64)(at)[-8] + f9 * (i64)(at)[-9])

static void fe_mul(fe h, const fe f, const fe g)
{
    i32 limbs[20];
    i64 sums[10];
    for (int n = 0; n < 10; n++) {
        limbs[n] = g[n] * 19;
        limbs[n + 10] = g[n];
    }
    i32 f0 = f[0], f2 = f[2], f4 = f[4], f6 = f[6], f8 = f[8];
    i32 f1 = f[1], f3 = f[3], f5 = f[5], f7 = f[7], f9 = f[9];
    for (int n = 1; n < 10; n += 2)
        sums[n] = FIELD_LIMB(limbs + 10 + n);
    /* Where the sum of two places is even, both are even, or both are odd. */
    f1 *= 2, f3 *= 2, f5 *= 2, f7 *= 2, f9 *= 2;
    for (int n = 0; n < 10; n += 2)
        sums[n] = FIELD_LIMB(limbs + 10 + n);
    fe_carry(h, sums);
}

/* Half of the products would do, at twice the room. */
static void fe_sq(fe h, const fe f)
{
    fe_mul(h, f, f);
}

#endif

/*
 * Multiplication modulo 2^255 - 19, as a loop: takes the place of Monocypher's, whose text includes
 * this (firmware/packages.py). That one is a row of a hundred products, as long as the instruction
 * cache, so that each call fetches it anew from memory; this one stays in the cache.
 *
 * The representation, its bounds and the carries are Monocypher's: ten signed limbs, in turn of 26 and
 * 25 bits. A product of two odd limbs counts twice; what leaves at the top comes back 19 times.
 */
#ifndef CRYPTO_FIELD_H
#define CRYPTO_FIELD_H

static void fe_mul(fe h, const fe f, const fe g)
{
    i32 doubled[10], wrapped[20];
    i64 sums[10];
    for (int n = 0; n < 10; n++) {
        doubled[n] = f[n] * (1 + (n & 1));
        wrapped[n] = g[n] * 19;
        wrapped[n + 10] = g[n];
    }
    for (int n = 0; n < 10; n++) {
        const i32 *left = n & 1 ? f : doubled, *right = wrapped + 10 + n;
        i64 sum = 0;
        for (int k = 0; k < 10; k++)
            sum += *left++ * (i64)*right--;
        sums[n] = sum;
    }
    i64 t0 = sums[0], t1 = sums[1], t2 = sums[2], t3 = sums[3], t4 = sums[4];
    i64 t5 = sums[5], t6 = sums[6], t7 = sums[7], t8 = sums[8], t9 = sums[9];
    FE_CARRY;
}

#endif

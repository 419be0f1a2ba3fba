#include "p384.h"

#include <string.h>

#include <monocypher.h>

#include "hash.h"
#include "kdf.h"

static br_ec_private_key key_of(uint8_t secret[P384_SECRET])
{
    return (br_ec_private_key){.curve = BR_EC_secp384r1, .x = secret, .xlen = P384_SECRET};
}

/* Whether it is from 1 to the order of the curve less one. */
static bool valid(const uint8_t secret[P384_SECRET])
{
    size_t length;
    const uint8_t *order = br_ec_prime_i31.order(BR_EC_secp384r1, &length);
    uint8_t any = 0;
    int less = 0;
    for (int n = P384_SECRET - 1; n >= 0; n--) {
        any |= secret[n];
        if (secret[n] != order[n])
            less = secret[n] < order[n];
    }
    return any && less;
}

void p384_secret(const uint8_t seed[P384_SEED], uint8_t secret[P384_SECRET])
{
    uint8_t info[] = {'P', '-', '3', '8', '4', 0};
    do {
        kdf(NULL, 0, seed, P384_SEED, info, sizeof info, secret, P384_SECRET);
        info[5]++;
    } while (!valid(secret));
}

bool p384_public(const uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC])
{
    if (!valid(secret))
        return false;
    return br_ec_prime_i31.mulgen(public_key, secret, P384_SECRET, BR_EC_secp384r1) == P384_PUBLIC;
}

bool p384_sign(
    const uint8_t secret[P384_SECRET], const uint8_t digest[48], uint8_t signature[P384_SIGNATURE]
)
{
    uint8_t copy[P384_SECRET];
    memcpy(copy, secret, sizeof copy);
    br_ec_private_key key = key_of(copy);
    size_t length = br_ecdsa_i31_sign_raw(&br_ec_prime_i31, &hash_sha384, digest, &key, signature);
    crypto_wipe(copy, sizeof copy);
    return length == P384_SIGNATURE;
}

#include "ed25519.h"

#include <monocypher.h>

#include "hal/sha.h"

/* The two halves of a seed's hash: the clamped scalar, and the prefix of the nonce's hash. */
static void expand(const uint8_t seed[ED25519_SEED], uint8_t expanded[SHA512_BYTES])
{
    sha_begin(SHA512);
    sha_update(seed, ED25519_SEED);
    sha_finish(expanded);
    crypto_eddsa_trim_scalar(expanded, expanded);
}

/* The hash of one or two pieces of 32 bytes and the message, reduced to a scalar. */
static void hash_to_scalar(
    const uint8_t *first,
    const uint8_t *second,
    const void *message,
    size_t length,
    uint8_t scalar[32]
)
{
    uint8_t digest[SHA512_BYTES];
    sha_begin(SHA512);
    sha_update(first, 32);
    if (second)
        sha_update(second, 32);
    sha_update(message, length);
    sha_finish(digest);
    crypto_eddsa_reduce(scalar, digest);
    crypto_wipe(digest, sizeof digest);
}

void ed25519_public(const uint8_t seed[ED25519_SEED], uint8_t public_key[ED25519_PUBLIC])
{
    uint8_t expanded[SHA512_BYTES];
    expand(seed, expanded);
    crypto_eddsa_scalarbase(public_key, expanded);
    crypto_wipe(expanded, sizeof expanded);
}

void ed25519_sign(
    const uint8_t seed[ED25519_SEED],
    const uint8_t public_key[ED25519_PUBLIC],
    const void *message,
    size_t length,
    uint8_t signature[ED25519_SIGNATURE]
)
{
    uint8_t expanded[SHA512_BYTES], nonce[32], challenge[32];
    expand(seed, expanded);
    hash_to_scalar(expanded + 32, NULL, message, length, nonce);
    crypto_eddsa_scalarbase(signature, nonce);
    hash_to_scalar(signature, public_key, message, length, challenge);
    crypto_eddsa_mul_add(signature + 32, challenge, expanded, nonce);
    crypto_wipe(expanded, sizeof expanded);
    crypto_wipe(nonce, sizeof nonce);
}

bool ed25519_verify(
    const uint8_t public_key[ED25519_PUBLIC],
    const void *message,
    size_t length,
    const uint8_t signature[ED25519_SIGNATURE]
)
{
    uint8_t challenge[32];
    hash_to_scalar(signature, public_key, message, length, challenge);
    return crypto_eddsa_check_equation(signature, public_key, challenge) == 0;
}

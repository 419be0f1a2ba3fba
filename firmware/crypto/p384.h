/* ECDSA over P-384 with SHA-384, deterministic (RFC 6979), by BearSSL. */
#ifndef CRYPTO_P384_H
#define CRYPTO_P384_H

#include <stdbool.h>
#include <stdint.h>

enum { P384_SECRET = 48, P384_PUBLIC = 97, P384_SIGNATURE = 96, P384_SEED = 48 };

/* The private key that belongs to a secret seed: HKDF of it, until a valid scalar comes out. */
void p384_secret(const uint8_t seed[P384_SEED], uint8_t secret[P384_SECRET]);

/* The public key, uncompressed: 04, X, Y. False when the secret is no private key. */
bool p384_public(const uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC]);

/* The signature of a message with this SHA-384 digest: r, s. False as above. */
bool p384_sign(
    const uint8_t secret[P384_SECRET], const uint8_t digest[48], uint8_t signature[P384_SIGNATURE]
);

#endif

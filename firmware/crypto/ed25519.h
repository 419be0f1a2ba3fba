/* Ed25519 (RFC 8032): curve arithmetic by Monocypher, SHA-512 by the HAL. */
#ifndef CRYPTO_ED25519_H
#define CRYPTO_ED25519_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ED25519_SEED = 32, ED25519_PUBLIC = 32, ED25519_SIGNATURE = 64 };

void ed25519_public(const uint8_t seed[ED25519_SEED], uint8_t public_key[ED25519_PUBLIC]);

void ed25519_sign(
    const uint8_t seed[ED25519_SEED],
    const uint8_t public_key[ED25519_PUBLIC],
    const void *message,
    size_t length,
    uint8_t signature[ED25519_SIGNATURE]
);

bool ed25519_verify(
    const uint8_t public_key[ED25519_PUBLIC],
    const void *message,
    size_t length,
    const uint8_t signature[ED25519_SIGNATURE]
);

#endif

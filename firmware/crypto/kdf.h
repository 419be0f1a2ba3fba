/* HKDF with SHA-384 (RFC 5869), by BearSSL. */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

/* `salt` has fewer than 64 bytes. */
void kdf(
    const void *salt,
    size_t salt_length,
    const void *secret,
    size_t secret_length,
    const void *info,
    size_t info_length,
    void *output,
    size_t length
);

#endif

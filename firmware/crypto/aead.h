/* ChaCha20-Poly1305 (RFC 8439), by Monocypher. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AEAD_KEY = 32, AEAD_NONCE = 12, AEAD_TAG = 16 };

/* Encrypt `length` bytes at `text` in place and write their tag, which stands behind them in COSE. */
void aead_seal(
    const uint8_t key[AEAD_KEY],
    const uint8_t nonce[AEAD_NONCE],
    const void *associated,
    size_t associated_length,
    uint8_t *text,
    size_t length,
    uint8_t tag[AEAD_TAG]
);

/* Decrypt `length` bytes at `text` in place. False, and nothing changed, when they are not genuine. */
bool aead_open(
    const uint8_t key[AEAD_KEY],
    const uint8_t nonce[AEAD_NONCE],
    const void *associated,
    size_t associated_length,
    uint8_t *text,
    size_t length,
    const uint8_t tag[AEAD_TAG]
);

#endif

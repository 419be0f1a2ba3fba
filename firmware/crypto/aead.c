#include "aead.h"

#include <monocypher.h>

/*
 * Monocypher's incremental interface replaces its key after each message; the first message of a
 * context is that of RFC 8439, so each gets a context of its own.
 */

void aead_seal(
    const uint8_t key[AEAD_KEY],
    const uint8_t nonce[AEAD_NONCE],
    const void *associated,
    size_t associated_length,
    uint8_t *text,
    size_t length,
    uint8_t tag[AEAD_TAG]
)
{
    crypto_aead_ctx context;
    crypto_aead_init_ietf(&context, key, nonce);
    crypto_aead_write(&context, text, tag, associated, associated_length, text, length);
    crypto_wipe(&context, sizeof context);
}

bool aead_open(
    const uint8_t key[AEAD_KEY],
    const uint8_t nonce[AEAD_NONCE],
    const void *associated,
    size_t associated_length,
    uint8_t *text,
    size_t length,
    const uint8_t tag[AEAD_TAG]
)
{
    crypto_aead_ctx context;
    crypto_aead_init_ietf(&context, key, nonce);
    int bad = crypto_aead_read(&context, text, tag, associated, associated_length, text, length);
    crypto_wipe(&context, sizeof context);
    return bad == 0;
}

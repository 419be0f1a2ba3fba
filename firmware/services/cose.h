/*
 * The COSE messages (RFC 9052) that the management protocol uses: COSE_Sign1 with EdDSA and
 * COSE_Encrypt0 with ChaCha20-Poly1305, tagged, deterministically encoded, with all headers protected.
 *
 * What is decoded must be what this would encode: other headers, another order, a key twice, a length
 * that is not the shortest, or bytes behind the end are refused.
 */
#ifndef SERVICES_COSE_H
#define SERVICES_COSE_H

#include <zcbor_decode.h>
#include <zcbor_encode.h>

#include "crypto/aead.h"
#include "crypto/ed25519.h"

enum { COSE_SESSION = 4, COSE_COUNTER = 4, COSE_SCRATCH = 640, ENCRYPT0_HEADERS = 48 };

struct sign1 {
    struct zcbor_string protected, payload;
    const uint8_t *key;       /* The signer's public key, which is its key identifier. */
    const uint8_t *signature;
};

bool sign1_decode(const uint8_t *from, size_t length, struct sign1 *message);

/* Whether the signature is that of the key in the message, over it and `external`. */
bool sign1_verify(const struct sign1 *message, const void *external, size_t external_length);

/* Sign and encode; returns the length, 0 when it does not fit. */
size_t sign1_encode(
    const uint8_t seed[ED25519_SEED],
    const uint8_t key[ED25519_PUBLIC],
    const void *payload,
    size_t payload_length,
    const void *external,
    size_t external_length,
    uint8_t *to,
    size_t room
);

struct encrypt0 {
    struct zcbor_string protected;
    const uint8_t *session;
    uint32_t counter;
    uint8_t *text; /* Ciphertext in the message; after opening, what it says. */
    size_t length; /* Of the text, without its tag. */
};

bool encrypt0_decode(uint8_t *from, size_t length, struct encrypt0 *message);

/* Decrypt in place. False when it is not genuine. */
bool encrypt0_open(
    struct encrypt0 *message, const uint8_t key[AEAD_KEY], const uint8_t base_iv[AEAD_NONCE]
);

/*
 * Encrypt `text`, behind which AEAD_TAG bytes of room must follow, and encode; returns the length, 0
 * when it does not fit. The text may stand in `to`, ENCRYPT0_HEADERS behind its beginning or further.
 */
size_t encrypt0_encode(
    const uint8_t session[COSE_SESSION],
    uint32_t counter,
    const uint8_t key[AEAD_KEY],
    const uint8_t base_iv[AEAD_NONCE],
    const uint8_t *text,
    size_t length,
    uint8_t *to,
    size_t room
);

#endif

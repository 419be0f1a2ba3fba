#include "cose.h"

#include <string.h>

#include "bytes.h"

enum {
    TAG_ENCRYPT0 = 16,
    TAG_SIGN1 = 18,
    HEADER_ALGORITHM = 1,
    HEADER_KEY = 4,
    HEADER_PARTIAL_IV = 6,
    ALGORITHM_EDDSA = -8,
    ALGORITHM_CHACHA20_POLY1305 = 24,
    NESTING = 4,
};

/* A byte string of just this length. */
static bool exactly(zcbor_state_t *state, size_t length, const uint8_t **found)
{
    struct zcbor_string string;
    if (!zcbor_bstr_decode(state, &string) || string.len != length)
        return false;
    *found = string.value;
    return true;
}

static bool no_headers(zcbor_state_t *state)
{
    return zcbor_map_start_decode(state) && zcbor_map_end_decode(state);
}

static bool put_bytes(zcbor_state_t *state, const void *from, size_t length)
{
    return zcbor_bstr_encode_ptr(state, from, length);
}

bool sign1_decode(const uint8_t *from, size_t length, struct sign1 *message)
{
    ZCBOR_STATE_D(state, NESTING, from, length, 1, 0);
    return zcbor_tag_expect(state, TAG_SIGN1) && zcbor_list_start_decode(state)
        && zcbor_bstr_start_decode(state, &message->protected) && zcbor_map_start_decode(state)
        && zcbor_int32_expect(state, HEADER_ALGORITHM) && zcbor_int32_expect(state, ALGORITHM_EDDSA)
        && zcbor_int32_expect(state, HEADER_KEY) && exactly(state, ED25519_PUBLIC, &message->key)
        && zcbor_map_end_decode(state) && zcbor_bstr_end_decode(state) && no_headers(state)
        && zcbor_bstr_decode(state, &message->payload)
        && exactly(state, ED25519_SIGNATURE, &message->signature) && zcbor_list_end_decode(state)
        && zcbor_payload_at_end(state);
}

/* End the protected headers. zcbor moves them as it does so, and says where they were before. */
static bool end_protected(zcbor_state_t *state, struct zcbor_string *protected)
{
    if (!zcbor_bstr_end_encode(state, protected))
        return false;
    protected->value = state->payload - protected->len;
    return true;
}

/* Sig_structure (RFC 9052, 4.4); returns its length, 0 when it does not fit. */
static size_t to_be_signed(
    const struct zcbor_string *protected,
    const struct zcbor_string *payload,
    const void *external,
    size_t external_length,
    uint8_t to[COSE_SCRATCH]
)
{
    ZCBOR_STATE_E(state, NESTING, to, COSE_SCRATCH, 1);
    bool good = zcbor_list_start_encode(state, 4) && zcbor_tstr_put_lit(state, "Signature1")
        && zcbor_bstr_encode(state, protected) && put_bytes(state, external, external_length)
        && zcbor_bstr_encode(state, payload) && zcbor_list_end_encode(state, 4);
    return good ? (size_t)(state->payload - to) : 0;
}

bool sign1_verify(const struct sign1 *message, const void *external, size_t external_length)
{
    uint8_t text[COSE_SCRATCH];
    size_t length = to_be_signed(&message->protected, &message->payload, external, external_length, text);
    return length && ed25519_verify(message->key, text, length, message->signature);
}

size_t sign1_encode(
    const uint8_t seed[ED25519_SEED],
    const uint8_t key[ED25519_PUBLIC],
    const void *payload,
    size_t payload_length,
    const void *external,
    size_t external_length,
    uint8_t *to,
    size_t room
)
{
    uint8_t text[COSE_SCRATCH], signature[ED25519_SIGNATURE];
    struct zcbor_string protected, content = {payload, payload_length};
    ZCBOR_STATE_E(state, NESTING, to, room, 1);
    if (!(zcbor_tag_put(state, TAG_SIGN1) && zcbor_list_start_encode(state, 4)
          && zcbor_bstr_start_encode(state) && zcbor_map_start_encode(state, 2)
          && zcbor_int32_put(state, HEADER_ALGORITHM) && zcbor_int32_put(state, ALGORITHM_EDDSA)
          && zcbor_int32_put(state, HEADER_KEY) && put_bytes(state, key, ED25519_PUBLIC)
          && zcbor_map_end_encode(state, 2) && end_protected(state, &protected)
          && zcbor_map_start_encode(state, 0) && zcbor_map_end_encode(state, 0)
          && zcbor_bstr_encode(state, &content)))
        return 0;
    size_t length = to_be_signed(&protected, &content, external, external_length, text);
    if (!length)
        return 0;
    ed25519_sign(seed, key, text, length, signature);
    if (!put_bytes(state, signature, sizeof signature) || !zcbor_list_end_encode(state, 4))
        return 0;
    return (size_t)(state->payload - to);
}

bool encrypt0_decode(uint8_t *from, size_t length, struct encrypt0 *message)
{
    const uint8_t *counter;
    struct zcbor_string text;
    ZCBOR_STATE_D(state, NESTING, from, length, 1, 0);
    bool good = zcbor_tag_expect(state, TAG_ENCRYPT0) && zcbor_list_start_decode(state)
        && zcbor_bstr_start_decode(state, &message->protected) && zcbor_map_start_decode(state)
        && zcbor_int32_expect(state, HEADER_ALGORITHM)
        && zcbor_int32_expect(state, ALGORITHM_CHACHA20_POLY1305)
        && zcbor_int32_expect(state, HEADER_KEY) && exactly(state, COSE_SESSION, &message->session)
        && zcbor_int32_expect(state, HEADER_PARTIAL_IV) && exactly(state, COSE_COUNTER, &counter)
        && zcbor_map_end_decode(state) && zcbor_bstr_end_decode(state) && no_headers(state)
        && zcbor_bstr_decode(state, &text) && text.len >= AEAD_TAG && zcbor_list_end_decode(state)
        && zcbor_payload_at_end(state);
    if (!good)
        return false;
    message->counter = get32(counter);
    message->text = from + (text.value - from);
    message->length = text.len - AEAD_TAG;
    return true;
}

/* Enc_structure (RFC 9052, 5.3). It always fits: the headers have a fixed length. */
static size_t associated(const struct zcbor_string *protected, uint8_t to[64])
{
    ZCBOR_STATE_E(state, NESTING, to, 64, 1);
    bool good = zcbor_list_start_encode(state, 3) && zcbor_tstr_put_lit(state, "Encrypt0")
        && zcbor_bstr_encode(state, protected) && put_bytes(state, "", 0)
        && zcbor_list_end_encode(state, 3);
    return good ? (size_t)(state->payload - to) : 0;
}

/* The nonce (RFC 9052, 3.1): the base IV with the counter, its partial IV, over its last bytes. */
static void nonce_of(const uint8_t base_iv[AEAD_NONCE], uint32_t counter, uint8_t nonce[AEAD_NONCE])
{
    memcpy(nonce, base_iv, AEAD_NONCE);
    put32(nonce + AEAD_NONCE - COSE_COUNTER, get32(nonce + AEAD_NONCE - COSE_COUNTER) ^ counter);
}

bool encrypt0_open(
    struct encrypt0 *message, const uint8_t key[AEAD_KEY], const uint8_t base_iv[AEAD_NONCE]
)
{
    uint8_t extra[64], nonce[AEAD_NONCE], tag[AEAD_TAG];
    size_t length = associated(&message->protected, extra);
    nonce_of(base_iv, message->counter, nonce);
    memcpy(tag, message->text + message->length, AEAD_TAG);
    return length && aead_open(key, nonce, extra, length, message->text, message->length, tag);
}

size_t encrypt0_encode(
    const uint8_t session[COSE_SESSION],
    uint32_t counter,
    const uint8_t key[AEAD_KEY],
    const uint8_t base_iv[AEAD_NONCE],
    const uint8_t *text,
    size_t length,
    uint8_t *to,
    size_t room
)
{
    struct zcbor_string protected;
    uint8_t partial_iv[COSE_COUNTER], extra[64], nonce[AEAD_NONCE];
    put32(partial_iv, counter);
    ZCBOR_STATE_E(state, NESTING, to, room, 1);
    if (!(zcbor_tag_put(state, TAG_ENCRYPT0) && zcbor_list_start_encode(state, 3)
          && zcbor_bstr_start_encode(state) && zcbor_map_start_encode(state, 3)
          && zcbor_int32_put(state, HEADER_ALGORITHM)
          && zcbor_int32_put(state, ALGORITHM_CHACHA20_POLY1305)
          && zcbor_int32_put(state, HEADER_KEY) && put_bytes(state, session, COSE_SESSION)
          && zcbor_int32_put(state, HEADER_PARTIAL_IV)
          && put_bytes(state, partial_iv, sizeof partial_iv) && zcbor_map_end_encode(state, 3)
          && end_protected(state, &protected) && zcbor_map_start_encode(state, 0)
          && zcbor_map_end_encode(state, 0)))
        return 0;
    size_t extra_length = associated(&protected, extra);
    if (!extra_length || !put_bytes(state, text, length + AEAD_TAG) || !zcbor_list_end_encode(state, 3))
        return 0;
    uint8_t *end = to + (state->payload - to);
    uint8_t *cipher = end - AEAD_TAG - length;
    nonce_of(base_iv, counter, nonce);
    aead_seal(key, nonce, extra, extra_length, cipher, length, end - AEAD_TAG);
    return (size_t)(end - to);
}

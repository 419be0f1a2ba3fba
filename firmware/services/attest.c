#include "attest.h"

#include <string.h>
#include <zcbor_encode.h>

#include "boot_layout.h"
#include "clock.h"
#include "command.h"
#include "crypto/certificate.h"
#include "crypto/certify.h"
#include "crypto/p384.h"
#include "crypto/record.h"
#include "hal/measurement.h"
#include "hal/sha.h"
#include "health.h"
#include "log.h"
#include "policy.h"

enum {
    CHAIN = 0x4e434841,
    CHAIN_LONGEST = 1536,
    DOCUMENT_LONGEST = 3584,
    NONCE_LEAST = 8,
    NONCE_MOST = 64,
    USER_DATA_MOST = 256,
    NESTING = 6,
};

static uint8_t alias[P384_SECRET];
static uint8_t document[DOCUMENT_LONGEST];
static size_t document_length;

/* COSE's protected headers {1: -35}, ES384; and Sig_structure up to its payload (RFC 9052, 4.4). */
static const uint8_t headers[] = {0xa1, 0x01, 0x38, 0x22};
static const uint8_t to_be_signed[] = {
    0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1', 0x44, 0xa1, 0x01, 0x38, 0x22, 0x40};

/*
 * Records are read to where the document ends, and from there encoded to where they belong: further
 * down, if the document has come no further than `from`. NULL when there is no room, or no record.
 */
static const uint8_t *
load(uint32_t place, uint32_t magic, size_t longest, const uint8_t *from, size_t *length)
{
    uint32_t number;
    size_t room = longest + RECORD_EXTRA;
    uint8_t *buffer = document + sizeof document - room;
    if (from > buffer)
        return NULL;
    *length = record_load(place, magic, buffer, room, &number);
    return *length ? buffer + RECORD_HEADER : NULL;
}

static const uint8_t *load_chain(const uint8_t *from, size_t *length)
{
    return load(BOOT_CHAIN_AT, CHAIN, CHAIN_LONGEST, from, length);
}

static const uint8_t *load_certificate(const uint8_t *from, size_t *length)
{
    return load(BOOT_CERTIFICATE_AT, CERTIFY_RECORD, CERTIFICATE_LONGEST, from, length);
}

void attest_open(const struct boot_keys *keys)
{
    size_t length;
    p384_secret(keys->alias, alias);
    if (!load_chain(document, &length) || !load_certificate(document, &length))
        health_set(HEALTH_CERTIFICATE_MISSING);
}

static bool put_text(zcbor_state_t *out, const char *text)
{
    return zcbor_tstr_put_term(out, text, 64);
}

static bool put_bytes(zcbor_state_t *out, const void *from, size_t length)
{
    return zcbor_bstr_encode_ptr(out, from, length);
}

static bool put_measurements(zcbor_state_t *out)
{
    uint8_t value[MEASUREMENT_BYTES];
    if (!put_text(out, "pcrs") || !zcbor_map_start_encode(out, MEASUREMENT_REGISTERS))
        return false;
    for (unsigned n = 0; n < MEASUREMENT_REGISTERS; n++) {
        measurement_read((enum measurement)n, value);
        if (!zcbor_uint32_put(out, n) || !put_bytes(out, value, sizeof value))
            return false;
    }
    return zcbor_map_end_encode(out, MEASUREMENT_REGISTERS);
}

/* The bundle is in flash as the document has it: an array of the root's and the device's. */
static bool put_bundle(zcbor_state_t *out)
{
    struct zcbor_string root, device;
    size_t length = 0;
    const uint8_t *chain = load_chain(out->payload, &length);
    ZCBOR_STATE_D(in, 2, chain, length, 1, 0);
    return chain && zcbor_list_start_decode(in) && zcbor_bstr_decode(in, &root)
        && zcbor_bstr_decode(in, &device) && zcbor_list_end_decode(in) && zcbor_payload_at_end(in)
        && put_text(out, "cabundle") && zcbor_list_start_encode(out, 2)
        && zcbor_bstr_encode(out, &root) && zcbor_bstr_encode(out, &device)
        && zcbor_list_end_encode(out, 2);
}

static bool put_certificate(zcbor_state_t *out)
{
    size_t length;
    const uint8_t *certificate = load_certificate(out->payload, &length);
    return certificate && put_text(out, "certificate") && put_bytes(out, certificate, length);
}

/* The payload; its keys stand in the order of a deterministic encoding. */
static bool put_payload(
    zcbor_state_t *out, const struct zcbor_string *nonce, const struct zcbor_string *user_data
)
{
    enum { KEYS = 8 };
    return zcbor_map_start_encode(out, KEYS) && put_measurements(out) && put_text(out, "nonce")
        && zcbor_bstr_encode(out, nonce) && put_text(out, "digest") && put_text(out, "SHA384")
        && put_bundle(out) && put_text(out, "module_id") && put_text(out, policy()->name)
        && put_text(out, "timestamp") && zcbor_uint64_put(out, clock_now_ms())
        && (!user_data->len
            || (put_text(out, "user_data") && zcbor_bstr_encode(out, user_data)))
        && put_certificate(out) && zcbor_map_end_encode(out, KEYS);
}

static bool make(const struct zcbor_string *nonce, const struct zcbor_string *user_data)
{
    uint8_t digest[SHA384_BYTES], signature[P384_SIGNATURE];
    ZCBOR_STATE_E(out, NESTING, document, sizeof document, 1);
    if (!zcbor_list_start_encode(out, 4) || !put_bytes(out, headers, sizeof headers)
        || !zcbor_map_start_encode(out, 0) || !zcbor_map_end_encode(out, 0))
        return false;
    const uint8_t *payload = out->payload;
    if (!zcbor_bstr_start_encode(out) || !put_payload(out, nonce, user_data)
        || !zcbor_bstr_end_encode(out, NULL))
        return false;
    sha_begin(SHA384);
    sha_update(to_be_signed, sizeof to_be_signed);
    sha_update(payload, (size_t)(out->payload - payload));
    sha_finish(digest);
    if (!p384_sign(alias, digest, signature) || !put_bytes(out, signature, sizeof signature)
        || !zcbor_list_end_encode(out, 4))
        return false;
    document_length = (size_t)(out->payload - document);
    return true;
}

enum status attest_begin(zcbor_state_t *in, zcbor_state_t *out)
{
    struct zcbor_string nonce, user_data;
    if (!zcbor_bstr_decode(in, &nonce) || !zcbor_bstr_decode(in, &user_data) || !command_end(in))
        return STATUS_MALFORMED;
    if (nonce.len < NONCE_LEAST || nonce.len > NONCE_MOST || user_data.len > USER_DATA_MOST)
        return STATUS_RANGE;
    /* A document has a time, and no other certificates than these. */
    if (!clock_now_ms() || health() & HEALTH_CERTIFICATE_MISSING)
        return STATUS_STATE;
    document_length = 0;
    if (!make(&nonce, &user_data))
        return STATUS_STATE;
    log_event(EVENT_ATTEST, 0);
    return zcbor_uint32_put(out, (uint32_t)document_length) ? STATUS_OK : STATUS_RANGE;
}

enum status attest_read(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t first;
    if (!zcbor_uint32_decode(in, &first) || !command_end(in))
        return STATUS_MALFORMED;
    if (first >= document_length)
        return STATUS_MISSING;
    size_t length = document_length - first;
    if (length > CHUNK_LONGEST)
        length = CHUNK_LONGEST;
    return put_bytes(out, document + first, length) ? STATUS_OK : STATUS_RANGE;
}

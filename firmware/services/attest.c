#include "attest.h"

#include <string.h>
#include <zcbor_encode.h>

#include "boot_layout.h"
#include "clock.h"
#include "command.h"
#include "crypto/certificate.h"
#include "crypto/certify.h"
#include "crypto/job.h"
#include "crypto/p384.h"
#include "crypto/record.h"
#include "hal/flash.h"
#include "hal/measurement.h"
#include "hal/sha.h"
#include "health.h"
#include "log.h"
#include "policy.h"

enum {
    CHAIN = 0x4e434841,
    CHAIN_LONGEST = 1536,
    OWN_LONGEST = 1408,
    NONCE_LEAST = 8,
    NONCE_MOST = 64,
    USER_DATA_MOST = 256,
    NESTING = 6,
    KEYS = 8, /* Of the payload. */
    PARTS = 5,
};

static uint8_t alias[P384_SECRET];
/* Lengths of both records' content. */
static size_t bundle_length, certificate_length;

/*
 * A document, in parts: what is its own, the bundle, its own, the certificate, its own. Certificates stay
 * in flash, and are read where they are needed; what is its own stands in `own`, without gaps.
 */
static uint8_t own[OWN_LONGEST];
static struct part {
    uint32_t place; /* In flash; 0: it is the document's own. */
    size_t length;
} parts[PARTS];
static size_t document_length;

/*
 * COSE_Sign1 up to the payload's length, which has two bytes: protected headers {1: -35}, ES384, and no
 * others; and its Sig_structure up to the payload (RFC 9052, 4.4).
 */
static const uint8_t message[] = {0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59};
static const uint8_t to_be_signed[] = {
    0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1', 0x44, 0xa1, 0x01, 0x38, 0x22, 0x40};
enum { PAYLOAD_HEAD = sizeof message - 1, PAYLOAD = sizeof message + 2 };

void attest_open(const struct boot_keys *keys)
{
    p384_secret(keys->alias, alias);
    if (!record_find(BOOT_CHAIN_AT, CHAIN, CHAIN_LONGEST, &bundle_length)
        || !record_find(
            BOOT_CERTIFICATE_AT, CERTIFY_RECORD, CERTIFICATE_LONGEST, &certificate_length
        ))
        health_set(HEALTH_CERTIFICATE_MISSING);
}

/* Up to `count` bytes of the document from `first` on; returns how many, 0 when flash cannot be read. */
static size_t read(size_t first, uint8_t *to, size_t count)
{
    const uint8_t *next = own;
    size_t done = 0;
    record_settle();
    for (unsigned n = 0; n < PARTS && done < count; n++) {
        const struct part *part = &parts[n];
        if (first < part->length) {
            size_t size = part->length - first < count - done ? part->length - first : count - done;
            if (!part->place)
                memcpy(to + done, next + first, size);
            else if (!flash_read(part->place + (uint32_t)first, to + done, size))
                return 0;
            done += size;
            first = 0;
        } else {
            first -= part->length;
        }
        next += part->place ? 0 : part->length;
    }
    return done;
}

static bool put_text(zcbor_state_t *out, const char *text)
{
    return zcbor_tstr_put_term(out, text, 64);
}

static bool put_measurements(zcbor_state_t *out)
{
    uint8_t value[MEASUREMENT_BYTES];
    if (!put_text(out, "pcrs") || !zcbor_map_start_encode(out, MEASUREMENT_REGISTERS))
        return false;
    for (unsigned n = 0; n < MEASUREMENT_REGISTERS; n++) {
        job_point();
        measurement_read((enum measurement)n, value);
        if (!zcbor_uint32_put(out, n) || !command_put_bytes(out, value, sizeof value))
            return false;
    }
    return zcbor_map_end_encode(out, MEASUREMENT_REGISTERS);
}

/*
 * What is the document's own of the payload, whose keys stand in the order of a deterministic encoding.
 * The bundle belongs behind `*bundle`, and is in flash as the document has it: an array of the root's
 * and the device's certificate. The alias key's belongs to the end, and is longer than 255 bytes.
 */
static bool put_payload(
    zcbor_state_t *out,
    const struct zcbor_string *nonce,
    const struct zcbor_string *user_data,
    const uint8_t **bundle
)
{
    if (!put_measurements(out) || !put_text(out, "nonce") || !zcbor_bstr_encode(out, nonce)
        || !put_text(out, "digest") || !put_text(out, "SHA384") || !put_text(out, "cabundle"))
        return false;
    *bundle = out->payload;
    return put_text(out, "module_id") && put_text(out, policy()->name)
        && put_text(out, "timestamp") && zcbor_uint64_put(out, clock_now_ms())
        && (!user_data->len
            || (put_text(out, "user_data") && zcbor_bstr_encode(out, user_data)))
        && put_text(out, "certificate");
}

static void put_head(uint8_t to[2], size_t length)
{
    to[0] = (uint8_t)(length >> 8);
    to[1] = (uint8_t)length;
}

/* Put a document together from its parts, but for its signature. */
static bool assemble(const struct zcbor_string *nonce, const struct zcbor_string *user_data)
{
    enum { MAP = 1, STRING = 3 };
    const uint8_t *bundle;
    memcpy(own, message, sizeof message);
    own[PAYLOAD] = (uint8_t)(0xa0 | (user_data->len ? KEYS : KEYS - 1));
    ZCBOR_STATE_E(out, NESTING, own + PAYLOAD + MAP, sizeof own - PAYLOAD - MAP - STRING, 1);
    if (!put_payload(out, nonce, user_data, &bundle))
        return false;
    uint8_t *end = own + (out->payload - own);
    *end++ = 0x59;
    put_head(end, certificate_length);
    end += 2;
    parts[0] = (struct part){0, (size_t)(bundle - own)};
    parts[1] = (struct part){BOOT_CHAIN_AT + RECORD_HEADER, bundle_length};
    parts[2] = (struct part){0, (size_t)(end - bundle)};
    parts[3] = (struct part){BOOT_CERTIFICATE_AT + RECORD_HEADER, certificate_length};
    parts[4] = (struct part){0, 0};
    document_length = (size_t)(end - own) + bundle_length + certificate_length;
    put_head(own + sizeof message, document_length - PAYLOAD);
    return true;
}


/* Sign what there is of a document, from its payload on, and complete it. */
static bool sign(void)
{
    enum { STRING = 2 };
    uint8_t piece[128], digest[SHA384_BYTES];
    uint8_t *to = own + parts[0].length + parts[2].length;
    if (to + STRING + P384_SIGNATURE > own + sizeof own)
        return false;
    sha_begin(SHA384);
    sha_update(to_be_signed, sizeof to_be_signed);
    for (size_t at = PAYLOAD_HEAD, count; at < document_length; at += count) {
        count = read(at, piece, sizeof piece);
        if (!count)
            return false;
        sha_update(piece, count);
        job_point();
    }
    sha_finish(digest);
    to[0] = 0x58;
    to[1] = P384_SIGNATURE;
    parts[4].length = STRING + P384_SIGNATURE;
    document_length += parts[4].length;
    return p384_sign(alias, digest, to + STRING);
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
    job_point();
    if (!assemble(&nonce, &user_data) || !sign()) {
        document_length = 0;
        return STATUS_STATE;
    }
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
    uint8_t piece[PIECE_LONGEST];
    size_t length = read(first, piece, sizeof piece);
    return length && command_put_bytes(out, piece, length) ? STATUS_OK : STATUS_RANGE;
}

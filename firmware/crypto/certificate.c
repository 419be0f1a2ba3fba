#include "certificate.h"

#include <string.h>

#include "certificate_template.h"
#include "hal/sha.h"

enum {
    HEADER = 4, /* A sequence with a length of two bytes. */
    SEQUENCE = 0x30,
    INTEGER = 0x02,
    BIT_STRING = 0x03,
    HALF = P384_SIGNATURE / 2,
};

_Static_assert(CERTIFICATE_KEY_BYTES == P384_PUBLIC, "the template has an uncompressed point");

/* ecdsa-with-SHA384 (RFC 5758), without parameters. */
static const uint8_t algorithm[] = {
    SEQUENCE, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};

/* The first bytes of a key's SHA-384, as hexadecimal digits and as they are. */
static void name(const uint8_t key[P384_PUBLIC], uint8_t *digits, uint8_t digest[SHA384_BYTES])
{
    static const char all[] = "0123456789abcdef";
    sha_begin(SHA384);
    sha_update(key, P384_PUBLIC);
    sha_finish(digest);
    for (unsigned n = 0; n < CERTIFICATE_SUBJECT_BYTES; n++)
        digits[n] = (uint8_t)all[n & 1 ? digest[n / 2] & 15 : digest[n / 2] >> 4];
}

/* A positive INTEGER (X.690, 8.3): no leading zeros but one where the first bit is set. */
static uint8_t *put_integer(uint8_t *to, const uint8_t value[HALF])
{
    unsigned skip = 0;
    while (skip < HALF - 1 && !value[skip])
        skip++;
    bool pad = value[skip] >> 7;
    *to++ = INTEGER;
    *to++ = (uint8_t)(HALF - skip + pad);
    if (pad)
        *to++ = 0;
    memcpy(to, value + skip, HALF - skip);
    return to + HALF - skip;
}

size_t certificate_make(
    const uint8_t device_secret[P384_SECRET],
    const uint8_t device[P384_PUBLIC],
    const uint8_t alias[P384_PUBLIC],
    const uint8_t firmware[48],
    uint8_t to[CERTIFICATE_LONGEST]
)
{
    uint8_t digest[SHA384_BYTES], signature[P384_SIGNATURE];
    uint8_t *signed_part = to + HEADER, *end = signed_part + sizeof certificate_template;
    memcpy(signed_part, certificate_template, sizeof certificate_template);
    name(device, signed_part + CERTIFICATE_ISSUER, digest);
    name(alias, signed_part + CERTIFICATE_SUBJECT, digest);
    memcpy(signed_part + CERTIFICATE_KEY, alias, P384_PUBLIC);
    memcpy(signed_part + CERTIFICATE_FWID, firmware, CERTIFICATE_FWID_BYTES);
    /* A serial number is positive, and its first byte is not zero. */
    memcpy(signed_part + CERTIFICATE_SERIAL, digest, CERTIFICATE_SERIAL_BYTES);
    signed_part[CERTIFICATE_SERIAL] = (digest[0] & 0x3f) | 0x40;

    sha_begin(SHA384);
    sha_update(signed_part, sizeof certificate_template);
    sha_finish(digest);
    if (!p384_sign(device_secret, digest, signature))
        return 0;

    memcpy(end, algorithm, sizeof algorithm);
    end += sizeof algorithm;
    /* BIT STRING { no unused bits, SEQUENCE { r, s } }: both lengths are below 128. */
    uint8_t *inner = end + 5, *last = put_integer(put_integer(inner, signature), signature + HALF);
    end[0] = BIT_STRING;
    end[1] = (uint8_t)(last - end - 2);
    end[2] = 0;
    end[3] = SEQUENCE;
    end[4] = (uint8_t)(last - inner);
    size_t length = (size_t)(last - to);
    to[0] = SEQUENCE;
    to[1] = 0x82;
    to[2] = (uint8_t)((length - HEADER) >> 8);
    to[3] = (uint8_t)(length - HEADER);
    return length;
}

#include "image.h"

#include <monocypher.h>
#include <stdbool.h>
#include <stddef.h>

#include "boot_layout.h"
#include "crypto/job.h"
#include "hal/flash.h"
#include "hal/words.h"

/* Of MCUboot's image format. */
enum {
    HEADER = IMAGE_HEADER,
    TLV_INFO = 4,
    TLV_HEAD = 4,
    TLV_SHA512 = 0x12,
    TLV_ED25519 = 0x24,
    TLV_COUNTER = 0x50,
    INFO_MAGIC = 0x6907,
    PROTECTED_MAGIC = 0x6908,
};
static const uint32_t IMAGE_MAGIC = 0x96f3b83d;

/* Longest protected area, and longest of all: digest, key's digest, signature and a few more. */
enum { PROTECTED_LONGEST = 128, TLV_LONGEST = 448 };

/* Bytes that are hashed at once of what stays in flash. */
enum { PIECE = 128 };

struct header {
    uint32_t header_bytes, protected_bytes, content_bytes;
};

static uint32_t half(const uint8_t *at) { return word_of(at, 2); }

static bool read(uint32_t from, void *to, size_t length) {
    while (flash_busy()) {}
    return flash_read(from, to, length);
}

static enum boot_verdict parse(const uint8_t raw[HEADER], struct header *header, struct image *image) {
    if (word_of(raw, 4) != IMAGE_MAGIC) return BOOT_ABSENT;
    header->header_bytes = half(raw + 8);
    header->protected_bytes = half(raw + 10);
    header->content_bytes = word_of(raw + 12, 4);
    image->version = (uint32_t)raw[20] << 24 | (uint32_t)raw[21] << 16 | half(raw + 22);
    bool good = header->header_bytes == HEADER && header->content_bytes % 4 == 0 &&
        header->content_bytes && header->content_bytes <= BOOT_IMAGE_LONGEST &&
        header->protected_bytes <= PROTECTED_LONGEST;
    return good ? BOOT_STARTED : BOOT_MALFORMED;
}

enum boot_verdict image_peek(uint32_t slot, struct image *image) {
    uint8_t raw[HEADER];
    struct header header;
    if (!read(slot, raw, sizeof raw)) return BOOT_ABSENT;
    return parse(raw, &header, image);
}

/*
 * The value of the only entry of `type` with `length` bytes in an area that begins with `magic`; NULL
 * when there is none, or two, or the area is not well formed.
 */
static const uint8_t *
find(const uint8_t *area, size_t size, uint32_t magic, uint32_t type, size_t length) {
    const uint8_t *found = NULL;
    if (size < TLV_INFO || half(area) != magic || half(area + 2) != size) return NULL;
    for (size_t at = TLV_INFO; at < size;) {
        if (size - at < TLV_HEAD) return NULL;
        size_t here = half(area + at + 2);
        if (size - at - TLV_HEAD < here) return NULL;
        if (half(area + at) == type) {
            if (found || here != length) return NULL;
            found = area + at + TLV_HEAD;
        }
        at += TLV_HEAD + here;
    }
    return found;
}

static bool same(const uint8_t *left, const uint8_t *right, size_t length) {
    uint8_t different = 0;
    while (length--) different |= left[length] ^ right[length];
    return !different;
}

/* Ed25519 (RFC 8032) of a digest, the hash being the hardware's. */
static bool
signed_by(const uint8_t key[32], const uint8_t signature[64], const uint8_t digest[SHA512_BYTES]) {
    uint8_t wide[SHA512_BYTES], reduced[32];
    sha_begin(SHA512);
    sha_update(signature, 32);
    sha_update(key, 32);
    sha_update(digest, SHA512_BYTES);
    sha_finish(wide);
    crypto_eddsa_reduce(reduced, wide);
    return crypto_eddsa_check_equation(signature, key, reduced) == 0;
}

/* The image's parts, with the content in memory, or NULL and a place in flash. */
struct parts {
    const uint8_t *head, *content, *guarded;
    uint32_t place;
};

static void hash(
    enum sha_kind kind, const struct parts *parts, const struct header *header, uint8_t *digest
) {
    sha_begin(kind);
    sha_update(parts->head, HEADER);
    if (parts->content) sha_update(parts->content, header->content_bytes);
    for (size_t at = 0, next; !parts->content && at < header->content_bytes; at = next) {
        uint8_t piece[PIECE];
        next = header->content_bytes - at < PIECE ? header->content_bytes : at + PIECE;
        if (!read(parts->place + (uint32_t)at, piece, next - at)) break;
        sha_update(piece, next - at);
        job_point();
    }
    sha_update(parts->guarded, header->protected_bytes);
    sha_finish(digest);
}

static enum boot_verdict check(
    uint32_t slot,
    const uint8_t raw[HEADER],
    uint8_t *content,
    uint32_t least,
    const uint8_t key[32],
    struct image *image
) {
    uint8_t tail[TLV_LONGEST];
    uint8_t digest[SHA512_BYTES];
    struct header header;

    enum boot_verdict verdict = parse(raw, &header, image);
    if (verdict != BOOT_STARTED) return verdict;
    struct parts parts = {raw, content, tail, slot + HEADER};
    uint32_t end = slot + HEADER + header.content_bytes;
    if (content && !read(parts.place, content, header.content_bytes)) return BOOT_ABSENT;
    if (!read(end, tail, sizeof tail)) return BOOT_ABSENT;

    /* The protected area first, then the one with digest and signature. */
    const uint8_t *values = tail + header.protected_bytes;
    size_t size = half(values + 2);
    if (size > sizeof tail - header.protected_bytes) return BOOT_MALFORMED;
    const uint8_t *counter = find(tail, header.protected_bytes, PROTECTED_MAGIC, TLV_COUNTER, 4);
    const uint8_t *stated = find(values, size, INFO_MAGIC, TLV_SHA512, SHA512_BYTES);
    const uint8_t *signature = find(values, size, INFO_MAGIC, TLV_ED25519, 64);
    if (!counter || !stated || !signature) return BOOT_MALFORMED;
    image->counter = word_of(counter, 4);
    if (image->counter < least) return BOOT_ROLLBACK;

    hash(SHA512, &parts, &header, digest);
    if (!same(digest, stated, sizeof digest)) return BOOT_SIGNATURE;
    if (!signed_by(key, signature, digest)) return BOOT_SIGNATURE;
    /* What was only looked at is not measured. */
    if (content) hash(SHA384, &parts, &header, image->digest);
    return BOOT_STARTED;
}

enum boot_verdict image_load(
    uint32_t slot, uint32_t least, const uint8_t key[32], struct image *image
) {
    uint8_t raw[HEADER];
    if (!read(slot, raw, HEADER)) return BOOT_ABSENT;
    return check(slot, raw, (uint8_t *)BOOT_IMAGE_BASE, least, key, image);
}

enum boot_verdict image_check(
    uint32_t slot,
    const uint8_t head[IMAGE_HEADER],
    uint32_t least,
    const uint8_t key[32],
    struct image *image
) {
    return check(slot, head, NULL, least, key, image);
}

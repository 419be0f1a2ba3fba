#include "record.h"

#include <string.h>

#include "hal/flash.h"
#include "hal/sha.h"
#include "job.h"

void record_settle(void)
{
    while (flash_busy())
        job_pause();
}

static uint32_t get(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void put(uint8_t *to, uint32_t value)
{
    for (int n = 3; n >= 0; n--, value >>= 8)
        to[n] = (uint8_t)value;
}

static void digest_of(const uint8_t *buffer, size_t length, uint8_t *digest)
{
    job_point();
    sha_begin(SHA384);
    sha_update(buffer, RECORD_HEADER + length);
    sha_finish(digest);
}

size_t record_load(uint32_t place, uint32_t magic, uint8_t *buffer, size_t room, uint32_t *number)
{
    uint8_t digest[RECORD_DIGEST];
    job_point();
    record_settle();
    if (!flash_read(place, buffer, RECORD_HEADER) || get(buffer) != magic)
        return 0;
    size_t length = get(buffer + 8);
    if (!length || length > room - RECORD_EXTRA
        || !flash_read(place + RECORD_HEADER, buffer + RECORD_HEADER, length + RECORD_DIGEST))
        return 0;
    digest_of(buffer, length, digest);
    *number = get(buffer + 4);
    return memcmp(digest, buffer + RECORD_HEADER + length, sizeof digest) ? 0 : length;
}

bool record_find(uint32_t place, uint32_t magic, size_t longest, size_t *length)
{
    uint8_t piece[RECORD_DIGEST], digest[RECORD_DIGEST];
    record_settle();
    if (!flash_read(place, piece, RECORD_HEADER) || get(piece) != magic)
        return false;
    *length = get(piece + 8);
    if (!*length || *length > longest)
        return false;
    size_t end = RECORD_HEADER + *length;
    sha_begin(SHA384);
    for (size_t at = 0, size; at < end; at += size) {
        size = end - at < sizeof piece ? end - at : sizeof piece;
        if (!flash_read(place + (uint32_t)at, piece, size))
            return false;
        sha_update(piece, size);
    }
    sha_finish(digest);
    return flash_read(place + (uint32_t)end, piece, sizeof piece)
        && !memcmp(digest, piece, sizeof digest);
}

bool record_store(uint32_t place, uint32_t magic, uint32_t number, uint8_t *buffer, size_t length)
{
    put(buffer, magic);
    put(buffer + 4, number);
    put(buffer + 8, (uint32_t)length);
    digest_of(buffer, length, buffer + RECORD_HEADER + length);
    size_t whole = length + RECORD_EXTRA;
    record_settle();
    if (!flash_erase(place))
        return false;
    record_settle();
    for (size_t at = 0; at < whole; at += FLASH_PAGE) {
        size_t piece = whole - at < FLASH_PAGE ? whole - at : FLASH_PAGE;
        if (!flash_program(place + (uint32_t)at, buffer + at, piece))
            return false;
        record_settle();
    }
    for (size_t at = 0; at < whole; at += RECORD_DIGEST) {
        uint8_t stored[RECORD_DIGEST];
        size_t piece = whole - at < sizeof stored ? whole - at : sizeof stored;
        if (!flash_read(place + (uint32_t)at, stored, piece) || memcmp(stored, buffer + at, piece))
            return false;
    }
    return true;
}

/*
 * SHA-384 and SHA-512 in hardware, one hash at a time.
 *
 * sha_begin() abandons a hash that has not been finished. A block of 128 bytes takes about a hundred
 * cycles beyond what it takes to hand it over.
 */
#ifndef HAL_SHA_H
#define HAL_SHA_H

#include <stddef.h>
#include <stdint.h>

enum { SHA384_BYTES = 48, SHA512_BYTES = 64 };

enum sha_kind { SHA384, SHA512 };

void sha_begin(enum sha_kind kind);
void sha_update(const void *from, size_t length);

/* Writes 48 or 64 bytes. */
void sha_finish(uint8_t *digest);

#endif

/*
 * Something that is kept in a sector of flash: magic, number, length, content, and the SHA-384 of all
 * that. A record that is damaged, or was never finished, is none.
 */
#ifndef CRYPTO_RECORD_H
#define CRYPTO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORD_HEADER = 12, RECORD_DIGEST = 48, RECORD_EXTRA = RECORD_HEADER + RECORD_DIGEST };

/*
 * Read the record at `place`; returns the length of its content, which then stands at `buffer` +
 * RECORD_HEADER, 0 when there is none. Content and RECORD_EXTRA must fit into `room`.
 */
size_t record_load(uint32_t place, uint32_t magic, uint8_t *buffer, size_t room, uint32_t *number);

/*
 * The same without its content, of which only `*length` is told, and which begins at `place` +
 * RECORD_HEADER. False when there is none, or it is longer than `longest`.
 */
bool record_find(uint32_t place, uint32_t magic, size_t longest, size_t *length);

/*
 * Write `length` bytes of content, which stand at `buffer` + RECORD_HEADER and are followed by
 * RECORD_DIGEST bytes of room, and check that they stand in flash. Pauses the job while flash works.
 */
bool record_store(uint32_t place, uint32_t magic, uint32_t number, uint8_t *buffer, size_t length);

/* Pause the job until the flash can be read and written. */
void record_settle(void);

#endif

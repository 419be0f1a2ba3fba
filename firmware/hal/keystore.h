/*
 * The device secret, which software uses and never reads.
 *
 * It lies in the last 64 KiB of the flash. Until it is locked, boot code derives from it; from then
 * on hardware cuts off every read of it, until the reset that also restarts the boot ROM.
 */
#ifndef HAL_KEYSTORE_H
#define HAL_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYSTORE_DERIVED = 48 };

/*
 * Derive a key for `context` from the device secret: SHA-384 of the secret's block and the context.
 * False, with `key` all zeros, when the secret is locked or absent.
 */
bool keystore_derive(const void *context, size_t length, uint8_t key[KEYSTORE_DERIVED]);

/* Lock the device secret, and the flash's regions as they are, until the SoC is reset. */
void keystore_lock(void);

/* Wipe all keys that the hardware holds. */
void keystore_zeroise(void);

#endif

/*
 * The device secret, which software uses and never reads.
 *
 * Until it is locked, the boot ROM derives from it; from then on hardware refuses until the SoC is
 * reset. Reset, tamper and keystore_zeroise() wipe what is stored.
 */
#ifndef HAL_KEYSTORE_H
#define HAL_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYSTORE_DERIVED = 48 };

/*
 * Derive a key for `context` from the device secret: a keyed SHA-384 over it that hardware computes.
 * False, with `key` all zeros, when the secret is locked or absent.
 */
bool keystore_derive(const void *context, size_t length, uint8_t key[KEYSTORE_DERIVED]);

/* Lock the device secret until the SoC is reset. */
void keystore_lock(void);

/* Wipe everything that the store holds. */
void keystore_zeroise(void);

#endif

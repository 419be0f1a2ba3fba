/* Keys of volumes, in the key store: software gives them away and has no way to read them. */
#ifndef HAL_STORAGE_KEYS_H
#define HAL_STORAGE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum { STORAGE_KEY = 64 }; /* Of XTS-AES-256, the key of the data first. */

/* Put a key into a slot, for the cipher alone. False when the store refuses. */
bool storage_key_load(unsigned slot, const uint8_t key[STORAGE_KEY]);

/* Have store and cipher forget a slot's key. */
void storage_key_forget(unsigned slot);

#endif

/* Programs in flash whose digest stands in the one that starts them: no key can replace them. */
#ifndef BOOT_PINNED_H
#define BOOT_PINNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal/sha.h"

/*
 * Copy `length` bytes to memory, from the first of two places in flash where they have this SHA-384.
 * False when neither has. Instructions that were fetched from there before are forgotten.
 */
bool pinned_load(
    const uint32_t places[2], void *to, size_t length, const uint8_t digest[SHA384_BYTES]
);

#endif

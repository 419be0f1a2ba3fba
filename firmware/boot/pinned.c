#include "pinned.h"

#include "hal/flash.h"

static bool equal(const uint8_t *left, const uint8_t *right, size_t length) {
    uint8_t different = 0;
    while (length--) different |= left[length] ^ right[length];
    return !different;
}

bool pinned_load(
    const uint32_t places[2], void *to, size_t length, const uint8_t digest[SHA384_BYTES]
) {
    uint8_t found[SHA384_BYTES];
    for (unsigned n = 0; n < 2; n++) {
        /* A reset may have come while the flash was being written. */
        while (!flash_read(places[n], to, length)) {}
        sha_begin(SHA384);
        sha_update(to, length);
        sha_finish(found);
        if (equal(found, digest, SHA384_BYTES)) {
            __asm__ volatile("fence.i" ::: "memory");
            return true;
        }
    }
    return false;
}

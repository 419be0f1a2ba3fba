/*
 * The boot ROM: fetches the loader from flash, checks that it is the one whose digest stands here, and
 * starts it. With that digest the loader is as unchangeable as the ROM, which has one block of memory.
 */
#include <stdbool.h>
#include <stdint.h>

#include "boot_layout.h"
#include "card_registers.h"
#include "hal/flash.h"
#include "hal/measurement.h"
#include "hal/registers.h"
#include "hal/sha.h"
#include "loader_digest.h"

_Noreturn void main(void);

static bool equal(const uint8_t *left, const uint8_t *right, unsigned length) {
    uint8_t different = 0;
    while (length--) different |= left[length] ^ right[length];
    return !different;
}

static void hash(const void *from, unsigned length, uint8_t *digest) {
    sha_begin(SHA384);
    sha_update(from, length);
    sha_finish(digest);
}

_Noreturn void main(void) {
    static const uint32_t places[] = {BOOT_LOADER, BOOT_LOADER_COPY};
    uint8_t digest[SHA384_BYTES];
    uint8_t *loader = (uint8_t *)BOOT_LOADER_BASE;

    hash((const void *)BOOT_ROM_BASE, BOOT_ROM_BYTES, digest);
    measurement_extend(MEASURE_ROM, digest);
    for (unsigned n = 0; n < sizeof places / sizeof *places; n++) {
        /* A reset may have come while the flash was being written. */
        while (!flash_read(places[n], loader, LOADER_BYTES)) {}
        hash(loader, LOADER_BYTES, digest);
        if (equal(digest, LOADER_DIGEST, SHA384_BYTES)) {
            ((void (*)(void))loader)();
        }
    }
    register_write(CARD_SOC_UART_DATA, '!');
    for (;;) {}
}

/*
 * The boot ROM: fetches the loader from flash, checks that it is the one whose digest stands here, and
 * starts it. With that digest the loader is as unchangeable as the ROM, which has one block of memory.
 */
#include <stdint.h>

#include "boot_layout.h"
#include "card_registers.h"
#include "hal/measurement.h"
#include "hal/registers.h"
#include "hal/sha.h"
#include "loader_digest.h"
#include "pinned.h"

_Noreturn void main(void);

_Noreturn void main(void) {
    static const uint32_t places[] = {BOOT_LOADER, BOOT_LOADER_COPY};
    uint8_t digest[SHA384_BYTES];
    void *loader = (void *)BOOT_LOADER_BASE;

    sha_begin(SHA384);
    sha_update((const void *)BOOT_ROM_BASE, BOOT_ROM_BYTES);
    sha_finish(digest);
    measurement_extend(MEASURE_ROM, digest);
    if (pinned_load(places, loader, LOADER_BYTES, LOADER_DIGEST)) ((void (*)(void))loader)();
    register_write(CARD_SOC_UART_DATA, '!');
    for (;;) {}
}

#include "keystore.h"

#include <string.h>

#include "boot_layout.h"
#include "card_registers.h"
#include "flash.h"
#include "registers.h"
#include "sha.h"

/* The secret, and zeros to the end of a block of the hash. */
enum { SECRET = 32, BLOCK = 128 };

/* The erased flash of a card that was never given a secret. */
static bool absent(const uint8_t *secret) {
    uint8_t ones = 0xff, any = 0;
    for (size_t n = 0; n < SECRET; n++) {
        ones &= secret[n];
        any |= secret[n];
    }
    return ones == 0xff || any == 0;
}

static void wipe(volatile uint8_t *bytes, size_t length) {
    while (length--) bytes[length] = 0;
}

bool keystore_derive(const void *context, size_t length, uint8_t key[KEYSTORE_DERIVED]) {
    uint8_t block[BLOCK] = {0};
    bool good = flash_read(BOOT_SECRET_AT, block, SECRET) && !absent(block);
    memset(key, 0, KEYSTORE_DERIVED);
    if (good) {
        sha_begin(SHA384);
        sha_update(block, BLOCK);
        sha_update(context, length);
        sha_finish(key);
    }
    wipe(block, BLOCK);
    return good;
}

void keystore_lock(void) {
    register_write(
        CARD_SOC_GUARD_SECRET,
        REGISTER_FIELD(CARD_SOC_GUARD_SECRET_FIRST, BOOT_SECRET_AT / FLASH_BLOCK) |
            REGISTER_FIELD(CARD_SOC_GUARD_SECRET_LAST, BOOT_SECRET_AT / FLASH_BLOCK) |
            CARD_SOC_GUARD_SECRET_ENABLE_MASK
    );
    register_write(CARD_SOC_GUARD_LOCK, 1);
}

void keystore_zeroise(void) {
    register_write(CARD_SOC_KEYS_COMMAND, CARD_SOC_KEYS_COMMAND_CODE_ZEROISE_ALL);
}

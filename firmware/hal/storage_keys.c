#include "storage_keys.h"

#include "card_registers.h"
#include "registers.h"
#include "words.h"

/* Give a command, and wait until it is done: a hundred cycles at most. False when it is refused. */
static bool order(uint32_t command) {
    uint32_t status;
    register_write(CARD_SOC_KEYS_COMMAND, command);
    do status = register_read(CARD_SOC_KEYS_STATUS);
    while (status & CARD_SOC_KEYS_STATUS_BUSY_MASK);
    return !(status & CARD_SOC_KEYS_STATUS_REFUSED_MASK);
}

bool storage_key_load(unsigned slot, const uint8_t key[STORAGE_KEY]) {
    register_write(CARD_SOC_KEYS_SLOT, slot);
    if (!order(CARD_SOC_KEYS_COMMAND_CODE_LOAD)) return false;
    for (unsigned at = 0; at < STORAGE_KEY; at += 4) {
        register_write(CARD_SOC_KEYS_KEY, word_of(key + at, 4));
    }
    return order(CARD_SOC_KEYS_COMMAND_CODE_COMMIT | CARD_SOC_KEYS_COMMAND_STORAGE_MASK);
}

void storage_key_forget(unsigned slot) {
    register_write(CARD_SOC_KEYS_SLOT, slot);
    order(CARD_SOC_KEYS_COMMAND_CODE_ZEROISE);
}

#include "flash.h"

#include "boot_layout.h"
#include "bus.h"
#include "card_registers.h"
#include "registers.h"
#include "words.h"

enum { WRITE_IN_PROGRESS = 1 };

static void command(uint32_t address, uint32_t operation, size_t words) {
    register_write(CARD_SOC_FLASH_ADDRESS, address);
    register_write(
        CARD_SOC_FLASH_COMMAND,
        operation | REGISTER_FIELD(CARD_SOC_FLASH_COMMAND_WORDS, words)
    );
}

static void wait_ready(void) {
    while (!(*bus_at(CARD_SOC_FLASH_STATUS) & CARD_SOC_FLASH_STATUS_READY_MASK)) {}
}

static uint32_t next_word(void) {
    wait_ready();
    return *bus_at(CARD_SOC_FLASH_DATA);
}

static void finish(void) {
    while (*bus_at(CARD_SOC_FLASH_STATUS) & CARD_SOC_FLASH_STATUS_BUSY_MASK) {}
}

bool flash_busy(void) {
    command(0, CARD_SOC_FLASH_COMMAND_OPERATION_STATUS, 0);
    uint32_t word = next_word();
    finish();
    return word >> 24 & WRITE_IN_PROGRESS;
}

bool flash_read(uint32_t address, void *to, size_t length) {
    if (flash_busy()) return false;
    uint8_t *next = to;
    size_t skip = address % 4;
    command(address - (uint32_t)skip, CARD_SOC_FLASH_COMMAND_OPERATION_READ, (skip + length + 3) / 4);
    /* Whole images: not a call for each byte. */
    if (!skip && (uintptr_t)next % 4 == 0)
        for (; length >= 4; next += 4, length -= 4) *(uint32_t *)(void *)next = next_word();
    while (length) {
        size_t part = 4 - skip < length ? 4 - skip : length;
        word_to(next, next_word() >> 8 * skip, part);
        next += part;
        length -= part;
        skip = 0;
    }
    finish();
    return true;
}

/* Whether the guard let the operation before this through. */
static bool passed(void) {
    uint32_t denied = register_read(CARD_SOC_GUARD_DENIED) & CARD_SOC_GUARD_DENIED_ANY_MASK;
    register_write(CARD_SOC_GUARD_DENIED, denied);
    return !denied;
}

bool flash_program(uint32_t address, const void *from, size_t length) {
    const uint8_t *bytes = from;
    size_t before = address % 4;
    if (!length || address % FLASH_PAGE + length > FLASH_PAGE || flash_busy()) return false;
    size_t words = (before + length + 3) / 4;
    command(address - (uint32_t)before, CARD_SOC_FLASH_COMMAND_OPERATION_PROGRAM, words);
    /* Ones leave the flash as it is: what stands round the bytes is written as ones. */
    for (size_t at = 0; at < words * 4; at += 4) {
        uint32_t word = 0;
        for (size_t n = 0; n < 4; n++) {
            bool inside = at + n >= before && at + n < before + length;
            word |= (uint32_t)(inside ? bytes[at + n - before] : 0xffu) << 8 * n;
        }
        wait_ready();
        register_write(CARD_SOC_FLASH_DATA, word);
    }
    finish();
    return passed();
}

bool flash_erase(uint32_t address) {
    if (address % FLASH_SECTOR || flash_busy()) return false;
    command(address, CARD_SOC_FLASH_COMMAND_OPERATION_ERASE, 0);
    finish();
    return passed();
}

void flash_lock(uint32_t end) {
    register_write(
        CARD_SOC_GUARD_WRITABLE,
        REGISTER_FIELD(CARD_SOC_GUARD_WRITABLE_FIRST, (end + FLASH_BLOCK - 1) / FLASH_BLOCK) |
            REGISTER_FIELD(CARD_SOC_GUARD_WRITABLE_LAST, BOOT_SECRET_AT / FLASH_BLOCK - 1) |
            CARD_SOC_GUARD_WRITABLE_ENABLE_MASK
    );
}

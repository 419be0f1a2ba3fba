#include "measurement.h"

#include "card_registers.h"
#include "registers.h"
#include "words.h"

/* Bytes from one register to the next. */
enum { STRIDE = 64 };

static void wait(void) {
    while (register_read(CARD_SOC_MEASUREMENTS_COMMANDS_STATUS) &
           CARD_SOC_MEASUREMENTS_COMMANDS_STATUS_BUSY_MASK) {}
}

void measurement_extend(enum measurement which, const uint8_t digest[MEASUREMENT_BYTES]) {
    wait();
    for (size_t at = 0; at < MEASUREMENT_BYTES; at += 4) {
        register_write(CARD_SOC_MEASUREMENTS_COMMANDS_INPUT, word_of(digest + at, 4));
    }
    register_write(CARD_SOC_MEASUREMENTS_COMMANDS_EXTEND, (uint32_t)which);
    wait();
}

void measurement_read(enum measurement which, uint8_t value[MEASUREMENT_BYTES]) {
    wait();
    uint32_t base = CARD_SOC_MEASUREMENTS_REGISTERS_VALUES + (uint32_t)which * STRIDE;
    for (uint32_t at = 0; at < MEASUREMENT_BYTES; at += 4) {
        word_to(value + at, register_read(base + at), 4);
    }
}

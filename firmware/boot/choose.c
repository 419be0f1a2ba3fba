#include "choose.h"

#include <stddef.h>

#include "boot_layout.h"
#include "hal/flash.h"
#include "hal/words.h"

/* How often an image is started that was never confirmed. */
enum { ATTEMPTS = 3 };

static const uint32_t PLACES[BOOT_SLOTS] = {BOOT_SLOT_A_AT, BOOT_SLOT_B_AT, BOOT_GOLDEN_AT};

static unsigned zeros(uint32_t word) {
    unsigned count = 0;
    for (; word != 0xffffffffu; word |= word + 1) count++;
    return count;
}

static void read(uint32_t from, void *to, size_t length) {
    while (!flash_read(from, to, length)) {}
}

uint32_t boot_place(unsigned slot) { return PLACES[slot]; }

/* The bits that are zero in a page that is only ever programmed. */
uint32_t boot_least_counter(void) {
    uint32_t page[FLASH_PAGE / 4], count = 0;
    read(BOOT_COUNTER_AT, page, sizeof page);
    for (size_t n = 0; n < FLASH_PAGE / 4; n++) count += zeros(page[n]);
    return count;
}

/* Whether the image was started often enough without being confirmed. */
static bool worn(uint32_t slot) {
    uint32_t state[2];
    read(slot + BOOT_SLOT_BYTES - SLOT_STATE, state, sizeof state);
    return state[1] != 0 && zeros(state[0]) >= ATTEMPTS;
}

/* Note that the image, if it was never confirmed, is started. */
static void note_start(uint32_t slot) {
    uint32_t state[2], place = slot + BOOT_SLOT_BYTES - SLOT_STATE;
    uint8_t mark[4];
    read(place, state, sizeof state);
    word_to(mark, state[0] & (state[0] - 1), 4);
    if (state[1] != 0) flash_program(place, mark, sizeof mark);
}

static bool try_slot(
    unsigned slot, uint32_t least, const uint8_t *signer, struct image *image, struct boot_report *report
) {
    bool golden = slot == BOOT_SLOT_GOLDEN;
    uint32_t place = PLACES[slot];
    enum boot_verdict verdict = BOOT_FAILED;
    /* The golden image is the last resort: it is measured as what it is, and may be old. */
    if (golden || !worn(place)) verdict = image_load(place, golden ? 0 : least, signer, image);
    if (verdict == BOOT_STARTED && !golden) note_start(place);
    report->verdict[slot] = (uint8_t)verdict;
    return verdict == BOOT_STARTED;
}

bool boot_choose(const uint8_t signer[32], struct image *image, struct boot_report *report) {
    struct image peeked[2] = {0};
    bool has[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        has[slot] = image_peek(PLACES[slot], &peeked[slot]) == BOOT_STARTED;
    }
    unsigned first = has[1] && (!has[0] || peeked[1].version > peeked[0].version);
    const uint8_t order[BOOT_SLOTS] = {(uint8_t)first, (uint8_t)!first, BOOT_SLOT_GOLDEN};
    uint32_t least = boot_least_counter();
    for (unsigned n = 0; n < BOOT_SLOTS; n++) {
        if (try_slot(order[n], least, signer, image, report)) {
            report->slot = order[n];
            return true;
        }
    }
    return false;
}

bool boot_again(const uint8_t signer[32], struct image *image, const struct boot_report *report) {
    return image_load(PLACES[report->slot], 0, signer, image) == BOOT_STARTED;
}

/* Bring the card's counter up to this: the first word of the page that lacks zeros gets them. */
static bool raise(uint32_t counter) {
    for (uint32_t n = 0; n < FLASH_PAGE / 4 && counter; n++) {
        uint32_t place = BOOT_COUNTER_AT + 4 * n, zero = counter < 32 ? counter : 32;
        uint32_t ones = zero < 32 ? ~0u << zero : 0, found;
        uint8_t bytes[4];
        if (!flash_read(place, bytes, sizeof bytes)) return false;
        found = word_of(bytes, 4);
        if (found & ~ones) {
            word_to(bytes, found & ones, 4);
            flash_program(place, bytes, sizeof bytes);
            return false;
        }
        counter -= zero;
    }
    return true;
}

bool boot_confirm(const struct boot_report *report) {
    static const uint8_t confirmed[SLOT_CONFIRMED];
    uint32_t place = PLACES[report->slot] + BOOT_SLOT_BYTES - SLOT_CONFIRMED;
    uint8_t found[SLOT_CONFIRMED];
    if (report->slot == BOOT_SLOT_GOLDEN) return true;
    if (!flash_read(place, found, sizeof found)) return false;
    if (!word_of(found, 4)) return raise(report->counter);
    flash_program(place, confirmed, sizeof confirmed);
    return false;
}

#include "sha.h"

#include <stdbool.h>

#include "bus.h"
#include "card_registers.h"
#include "registers.h"
#include "words.h"

enum { BLOCK = 128, LENGTH_AT = BLOCK - 16 };

/* Bytes of the message so far, and those that do not yet make a word. */
static uint32_t total;
static uint8_t partial[4];
static bool longer;

/* The engine takes a block as fast as it can be written, but only from its beginning on. */
static void wait_block(void) {
    while (!(total % BLOCK) && !(register_read(CARD_SOC_HASH_STATUS) & CARD_SOC_HASH_STATUS_ROOM_MASK)) {}
}

static void put(uint32_t word) {
    wait_block();
    register_write(CARD_SOC_HASH_DATA, word);
    total += 4;
}

void sha_begin(enum sha_kind kind) {
    total = 0;
    longer = kind == SHA512;
    register_write(CARD_SOC_HASH_CONTROL, longer);
}

void sha_update(const void *from, size_t length) {
    const uint8_t *next = from;
    while (length) {
        size_t held = total % 4, words = (BLOCK - total % BLOCK) / 4;
        if (!held && length >= 4 && (uintptr_t)next % 4 == 0) {
            if (words > length / 4) words = length / 4;
            wait_block();
            total += 4 * words;
            length -= 4 * words;
            for (; words; words--, next += 4)
                *bus_at(CARD_SOC_HASH_DATA) = *(const uint32_t *)(const void *)next;
            continue;
        }
        partial[held] = *next++;
        length--;
        total++;
        if (held == 3) {
            total -= 4;
            put(word_of(partial, 4));
        }
    }
}

void sha_finish(uint8_t *digest) {
    static const uint8_t mark[] = {0x80, 0, 0, 0};
    uint32_t bits = total * 8;
    sha_update(mark, 4 - total % 4);
    while (total % BLOCK != LENGTH_AT) put(0);
    /* The upper 96 bits of the length. */
    for (int n = 0; n < 3; n++) put(0);
    register_write(CARD_SOC_HASH_FINISH, __builtin_bswap32(bits));
    while (!(register_read(CARD_SOC_HASH_STATUS) & CARD_SOC_HASH_STATUS_DONE_MASK)) {}
    for (size_t at = 0; at < (longer ? SHA512_BYTES : SHA384_BYTES); at += 4) {
        word_to(digest + at, register_read(CARD_SOC_HASH_DIGEST), 4);
    }
}

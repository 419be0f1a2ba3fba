#include "sha.h"

#include <stdbool.h>

#include "bus.h"
#include "card_registers.h"
#include "registers.h"
#include "words.h"

/* Bytes that do not yet make a word, and words that the engine's queue has room for. */
static uint8_t partial[4];
static size_t held, room;
static bool open, longer;

static void make_room(void) {
    while (!room) {
        uint32_t status = register_read(CARD_SOC_HASH_STATUS);
        room = REGISTER_GET(CARD_SOC_HASH_STATUS_ROOM, status);
    }
    room--;
}

static void put(uint32_t word) {
    make_room();
    register_write(CARD_SOC_HASH_DATA, word);
}

void sha_begin(enum sha_kind kind) {
    uint8_t ignored[SHA512_BYTES];
    if (open) sha_finish(ignored);
    held = room = 0;
    open = true;
    longer = kind == SHA512;
    register_write(CARD_SOC_HASH_CONTROL, longer);
}

void sha_update(const void *from, size_t length) {
    const uint8_t *next = from;
    if (!held && (uintptr_t)next % 4 == 0) {
        while (length >= 4) {
            make_room();
            size_t words = room + 1 < length / 4 ? room + 1 : length / 4;
            room -= words - 1;
            length -= 4 * words;
            for (; words; words--, next += 4)
                *bus_at(CARD_SOC_HASH_DATA) = *(const uint32_t *)(const void *)next;
        }
    }
    while (length--) {
        partial[held++] = *next++;
        if (held == 4) put(word_of(partial, 4));
        held %= 4;
    }
}

void sha_finish(uint8_t *digest) {
    make_room();
    register_write(
        CARD_SOC_HASH_FINISH,
        REGISTER_FIELD(CARD_SOC_HASH_FINISH_TAIL, word_of(partial, held)) |
            REGISTER_FIELD(CARD_SOC_HASH_FINISH_BYTES, held)
    );
    while (!(register_read(CARD_SOC_HASH_STATUS) & CARD_SOC_HASH_STATUS_DONE_MASK)) {}
    for (size_t at = 0; at < (longer ? SHA512_BYTES : SHA384_BYTES); at += 4) {
        word_to(digest + at, register_read(CARD_SOC_HASH_DIGEST), 4);
    }
    open = false;
}

#include "mapping.h"

#include <string.h>

#include "card_registers.h"
#include "hal/registers.h"

enum {
    SLOTS = LAYOUT_SLOTS,
    WORDS = LAYOUT_SLOT_WORDS,
    WIDE = 2 * WORDS,
    SEARCHED = 256, /* Slots that are looked at to make room for one entry. */
    NONE = 0xffff,
};

/* The low 16 bits of the gateware's words, and bits 17:16 of each, two by two. */
static struct slot {
    uint16_t words[WORDS];
    uint16_t flags;
    uint8_t wide; /* An entry of two slots: 1 in its first, 2 in its second. */
} slots[SLOTS];

unsigned mapping_key_words(unsigned kind)
{
    return kind == LAYOUT_KIND_MAC ? 3 : kind == LAYOUT_KIND_IPV4 ? 2 : 8;
}

unsigned mapping_value_words(unsigned kind)
{
    return kind == LAYOUT_KIND_MAC ? 1 : 3;
}

static uint32_t word_of(unsigned slot, unsigned word)
{
    return slots[slot].words[word] | (uint32_t)(slots[slot].flags >> 2 * word & 3) << 16;
}

static void write_word(unsigned slot, unsigned word, uint32_t value)
{
    register_write(CARD_OVERLAY_TRANSMIT_MAPPING_WORDS + 4 * (word * (unsigned)SLOTS + slot), value);
}

/* Copy a slot to the gateware: taken out of use first, its first word last. */
static void publish(unsigned slot)
{
    write_word(slot, 0, 0);
    for (unsigned word = WORDS; word--;)
        write_word(slot, word, word_of(slot, word));
}

void mapping_clear(void)
{
    memset(slots, 0, sizeof slots);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        write_word(slot, 0, 0);
}

static bool is_free(unsigned slot)
{
    return !slots[slot].flags && !slots[slot].wide;
}

static void release(unsigned slot)
{
    write_word(slot, 0, 0);
    memset(&slots[slot], 0, sizeof slots[slot]);
}

/* CRC-16 of the words, most significant bit first, as niter.net's MAPPING_HASH. */
static uint32_t hash(const uint16_t *words, unsigned count)
{
    uint32_t crc = LAYOUT_HASH_INITIAL;
    for (unsigned n = 0; n < count; n++) {
        crc ^= words[n];
        for (int bit = 0; bit < 16; bit++)
            crc = (crc << 1 ^ (crc & 0x8000 ? LAYOUT_HASH_POLYNOMIAL : 0)) & 0xffff;
    }
    return crc ^ LAYOUT_HASH_FINAL;
}

/* Both buckets of a key, given the low words of network identifier and key. */
static void buckets_of(unsigned kind, uint32_t vni, const uint16_t *low, unsigned bucket[2])
{
    uint16_t words[2 + MAPPING_KEY];
    unsigned count = 1 + mapping_key_words(kind);
    memcpy(words, low, count * sizeof *words);
    words[count++] = (uint16_t)(vni >> 16 | kind << 8);
    uint32_t digest = hash(words, count);
    unsigned bits = 0;
    while (2u << bits < SLOTS)
        bits++;
    bucket[0] = digest & ((1u << bits) - 1);
    bucket[1] = digest >> (16 - bits);
}

static unsigned kind_at(unsigned slot)
{
    return slots[slot].wide == 2 ? 0 : slots[slot].flags & 3;
}

static uint32_t vni_at(unsigned slot)
{
    return slots[slot].words[0] | (uint32_t)(slots[slot].flags >> 2 & 0xff) << 16;
}

/* The entry as the row of words that the table has: of one slot, or two. */
static unsigned row_of(const struct mapping *entry, uint16_t row[WIDE], uint16_t *flags)
{
    unsigned keys = mapping_key_words(entry->kind), values = mapping_value_words(entry->kind);
    memset(row, 0, WIDE * sizeof *row);
    row[0] = (uint16_t)entry->vni;
    memcpy(row + 1, entry->key, keys * sizeof *row);
    memcpy(row + 1 + keys, entry->value, values * sizeof *row);
    *flags = (uint16_t)(entry->kind | (entry->vni >> 16) << 2);
    return 1 + keys + values;
}

static void fill(unsigned slot, const uint16_t row[WIDE], uint16_t flags, bool wide)
{
    memcpy(slots[slot].words, row, sizeof slots[slot].words);
    slots[slot].flags = flags;
    slots[slot].wide = wide;
    if (wide) {
        memcpy(slots[slot + 1].words, row + WORDS, sizeof slots[slot + 1].words);
        slots[slot + 1].flags = 0;
        slots[slot + 1].wide = 2;
        write_word(slot, 0, 0);
        publish(slot + 1);
    }
    publish(slot);
}

static unsigned find(const struct mapping *entry)
{
    uint16_t row[WIDE], flags;
    unsigned bucket[2];
    row_of(entry, row, &flags);
    buckets_of(entry->kind, entry->vni, row, bucket);
    unsigned keys = 1 + mapping_key_words(entry->kind);
    for (unsigned n = 0; n < 4; n++) {
        unsigned slot = 2 * bucket[n >> 1] + (n & 1);
        unsigned first = keys < WORDS ? keys : WORDS;
        if (kind_at(slot) != entry->kind || vni_at(slot) != entry->vni
            || memcmp(slots[slot].words, row, first * sizeof *row))
            continue;
        if (keys <= WORDS
            || !memcmp(slots[slot + 1].words, row + WORDS, (keys - WORDS) * sizeof *row))
            return slot;
    }
    return NONE;
}

/* Move what stands in a slot to another, so that it is found in one of them at any time. */
static void move(unsigned from, unsigned to)
{
    slots[to] = slots[from];
    publish(to);
    release(from);
}

/*
 * Free one of `count` slots by the shortest row of moves, none of them into the bucket `barred`.
 * Returns the slot, NONE when there is no such row. Entries of two slots stay where they are.
 */
static unsigned vacate(const unsigned *wanted, unsigned count, unsigned barred)
{
    static uint16_t queue[SEARCHED], before[SEARCHED];
    unsigned length = 0;
    for (unsigned n = 0; n < count; n++) {
        queue[length] = (uint16_t)wanted[n];
        before[length++] = NONE;
    }
    for (unsigned at = 0; at < length; at++) {
        unsigned slot = queue[at], bucket[2];
        if (is_free(slot)) {
            unsigned step = at;
            for (; before[step] != NONE; step = before[step])
                move(queue[before[step]], queue[step]);
            return queue[step];
        }
        if (slots[slot].wide)
            continue;
        buckets_of(kind_at(slot), vni_at(slot), slots[slot].words, bucket);
        for (unsigned n = 0; n < 4; n++) {
            unsigned other = 2 * bucket[n >> 1] + (n & 1), seen = 0;
            while (seen < length && queue[seen] != other)
                seen++;
            if (bucket[n >> 1] == barred || seen < length || length == SEARCHED)
                continue;
            queue[length] = (uint16_t)other;
            before[length++] = (uint16_t)at;
        }
    }
    return NONE;
}

bool mapping_put(const struct mapping *entry)
{
    uint16_t row[WIDE], flags;
    unsigned bucket[2];
    bool wide = row_of(entry, row, &flags) > WORDS;
    unsigned slot = find(entry);
    if (slot != NONE) {
        fill(slot, row, flags, wide);
        return true;
    }
    buckets_of(entry->kind, entry->vni, row, bucket);
    if (!wide) {
        unsigned wanted[4];
        for (unsigned n = 0; n < 4; n++)
            wanted[n] = 2 * bucket[n >> 1] + (n & 1);
        slot = vacate(wanted, 4, NONE);
    } else {
        for (unsigned n = 0; n < 2 && slot == NONE; n++) {
            unsigned pair[2] = {2 * bucket[n], 2 * bucket[n] + 1};
            if (vacate(&pair[0], 1, bucket[n]) != NONE && vacate(&pair[1], 1, bucket[n]) != NONE)
                slot = pair[0];
        }
    }
    if (slot == NONE)
        return false;
    fill(slot, row, flags, wide);
    return true;
}

bool mapping_at(unsigned slot, struct mapping *entry)
{
    unsigned kind = kind_at(slot);
    if (!kind)
        return false;
    uint16_t row[WIDE] = {0};
    memcpy(row, slots[slot].words, sizeof slots[slot].words);
    if (slots[slot].wide)
        memcpy(row + WORDS, slots[slot + 1].words, sizeof slots[slot + 1].words);
    unsigned keys = mapping_key_words(kind);
    entry->kind = (uint8_t)kind;
    entry->vni = vni_at(slot);
    memcpy(entry->key, row + 1, keys * sizeof *row);
    memcpy(entry->value, row + 1 + keys, mapping_value_words(kind) * sizeof *row);
    return true;
}

bool mapping_find(struct mapping *entry)
{
    unsigned slot = find(entry);
    return slot != NONE && mapping_at(slot, entry);
}

void mapping_remove(const struct mapping *entry)
{
    unsigned slot = find(entry);
    if (slot == NONE)
        return;
    bool wide = slots[slot].wide;
    release(slot);
    if (wide)
        release(slot + 1);
}

unsigned mapping_used(void)
{
    unsigned used = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        used += !is_free(slot);
    return used;
}

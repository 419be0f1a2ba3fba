#include "mapping.h"

#include <string.h>

#include "card_registers.h"
#include "crypto/job.h"
#include "hal/registers.h"

enum {
    SLOTS = LAYOUT_MAPPING_SLOTS,
    WORDS = LAYOUT_SLOT_WORDS,
    WIDE = 2 * WORDS,
    BITS = 18, /* Of a word. */
    NETWORKS = 255,
    SEARCHED = 256, /* Slots that are looked at to make room for one entry. */
    NONE = 0xffff,
};

/* Which network each of the card's own numbers stands for, while there are entries. */
static struct {
    uint32_t vni[NETWORKS];
    uint16_t entries[NETWORKS];
} networks;

unsigned mapping_key_words(unsigned kind)
{
    return kind == LAYOUT_KIND_MAC ? 3 : kind == LAYOUT_KIND_IPV4 ? 2 : 8;
}

unsigned mapping_value_words(unsigned kind)
{
    return kind == LAYOUT_KIND_MAC ? 1 : 3;
}

static inline uint32_t address_of(unsigned slot, unsigned word)
{
    return CARD_OVERLAY_TRANSMIT_CLASSIFY_MAPPING_WORDS + 4 * (word * (unsigned)SLOTS + slot);
}

static inline uint32_t word_of(unsigned slot, unsigned word)
{
    return register_read(address_of(slot, word));
}

static void write_word(unsigned slot, unsigned word, uint32_t value)
{
    register_write(address_of(slot, word), value);
}

/* Write a slot: taken out of use first, its first word last. */
static void publish(unsigned slot, const uint32_t *row)
{
    write_word(slot, 0, 0);
    for (unsigned word = WORDS; word--;)
        write_word(slot, word, row[word]);
}

static void release(unsigned slot)
{
    write_word(slot, 0, 0);
}

void mapping_clear(void)
{
    memset(&networks, 0, sizeof networks);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        release(slot);
}

unsigned mapping_kind(unsigned slot)
{
    return word_of(slot, 0) & 3;
}

unsigned mapping_network_at(unsigned slot)
{
    return word_of(slot, 0) >> 2 & 0xff;
}

/* Nothing begins there, and the slot before has no entry of two slots. */
static bool is_free(unsigned slot)
{
    return !mapping_kind(slot) && (slot % 2 == 0 || mapping_kind(slot - 1) != LAYOUT_KIND_IPV6);
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

unsigned mapping_network(uint32_t vni)
{
    for (unsigned n = 0; n < NETWORKS; n++)
        if (networks.entries[n] && networks.vni[n] == vni)
            return n;
    return vni == LAYOUT_UNDERLAY_VNI ? LAYOUT_UNDERLAY_NETWORK : NONE;
}

/* The network's number, a new one where it has none; NONE when there are no more. */
static unsigned take_network(uint32_t vni)
{
    unsigned network = mapping_network(vni);
    for (unsigned n = 0; n < NETWORKS && network == NONE; n++)
        if (!networks.entries[n]) {
            networks.vni[n] = vni;
            network = n;
        }
    return network;
}

static void count_entry(unsigned network, int change)
{
    if (network < NETWORKS)
        networks.entries[network] = (uint16_t)(networks.entries[network] + change);
}

/* Both buckets of a key. */
static void buckets_of(const struct mapping *entry, unsigned network, unsigned bucket[2])
{
    uint16_t words[1 + MAPPING_KEY];
    unsigned count = mapping_key_words(entry->kind);
    memcpy(words, entry->key, count * sizeof *words);
    words[count++] = (uint16_t)(network | (unsigned)entry->kind << 8);
    uint32_t digest = hash(words, count);
    unsigned bits = 0;
    while (2u << bits < SLOTS)
        bits++;
    bucket[0] = digest & ((1u << bits) - 1);
    bucket[1] = digest >> (16 - bits);
}

/* Where a bit of the key, and of the value, stands in an entry's row of one or two slots. */
static unsigned key_bit(unsigned kind, unsigned bit)
{
    unsigned first = LAYOUT_IPV6_LOW_END - LAYOUT_KEY;
    return kind == LAYOUT_KIND_IPV6 && bit >= first ? WORDS * BITS + LAYOUT_KEY + bit - first
                                                    : LAYOUT_KEY + bit;
}

static unsigned value_bit(unsigned kind, unsigned bit)
{
    if (kind == LAYOUT_KIND_MAC)
        return LAYOUT_DESTINATION + bit;
    return LAYOUT_NEIGHBOUR + bit + (kind == LAYOUT_KIND_IPV6 ? WORDS * BITS : 0);
}

static unsigned value_word(unsigned kind, unsigned bit)
{
    return mapping_value_words(kind) - 1 - bit / 16;
}

/* The entry as the row of words that the table has. */
static void row_of(const struct mapping *entry, unsigned network, uint32_t row[WIDE])
{
    memset(row, 0, WIDE * sizeof *row);
    row[0] = entry->kind | network << 2;
    for (unsigned bit = 0; bit < 16 * mapping_key_words(entry->kind); bit++) {
        unsigned at = key_bit(entry->kind, bit);
        row[at / BITS] |= (uint32_t)(entry->key[bit / 16] >> bit % 16 & 1) << at % BITS;
    }
    for (unsigned bit = 0; bit < 16 * mapping_value_words(entry->kind); bit++) {
        unsigned at = value_bit(entry->kind, bit);
        uint32_t word = entry->value[value_word(entry->kind, bit)];
        row[at / BITS] |= (word >> bit % 16 & 1) << at % BITS;
    }
}

/* Bits of an entry's row, 16 at most, from bit `at` on: they stand in one word, or in two. */
static uint16_t field(unsigned slot, unsigned at, unsigned count)
{
    unsigned word = at / BITS, shift = at % BITS, next = word + 1;
    uint32_t found = word_of(slot + word / WORDS, word % WORDS) >> shift;
    if (shift + count > BITS)
        found |= word_of(slot + next / WORDS, next % WORDS) << (BITS - shift);
    return (uint16_t)(found & ((1u << count) - 1));
}

/* A word of the key, part of which may stand in the second slot. */
static uint16_t key_at(unsigned slot, unsigned n)
{
    unsigned kind = mapping_kind(slot), bit = 16 * n, here = 16;
    while (here > 1 && key_bit(kind, bit + here - 1) != key_bit(kind, bit) + here - 1)
        here--;
    uint32_t found = field(slot, key_bit(kind, bit), here);
    if (here < 16)
        found |= (uint32_t)field(slot, key_bit(kind, bit + here), 16 - here) << here;
    return (uint16_t)found;
}

uint16_t mapping_value(unsigned slot, unsigned n)
{
    unsigned kind = mapping_kind(slot);
    return field(slot, value_bit(kind, 16 * (mapping_value_words(kind) - 1 - n)), 16);
}

bool mapping_at(unsigned slot, struct mapping *entry)
{
    unsigned kind = mapping_kind(slot), network = mapping_network_at(slot);
    if (!kind)
        return false;
    job_point();
    memset(entry, 0, sizeof *entry);
    entry->kind = (uint8_t)kind;
    entry->vni = network < NETWORKS ? networks.vni[network] : LAYOUT_UNDERLAY_VNI;
    for (unsigned n = 0; n < mapping_key_words(kind); n++)
        entry->key[n] = key_at(slot, n);
    for (unsigned n = 0; n < mapping_value_words(kind); n++)
        entry->value[n] = mapping_value(slot, n);
    return true;
}

static void fill(unsigned slot, const uint32_t row[WIDE], bool wide)
{
    if (wide) {
        release(slot);
        publish(slot + 1, row + WORDS);
    }
    publish(slot, row);
}

static unsigned find(const struct mapping *entry)
{
    unsigned bucket[2], network = mapping_network(entry->vni);
    if (network == NONE)
        return NONE;
    buckets_of(entry, network, bucket);
    for (unsigned n = 0; n < 4; n++) {
        struct mapping other;
        unsigned slot = 2 * bucket[n >> 1] + (n & 1);
        if (mapping_kind(slot) == entry->kind && mapping_network_at(slot) == network && mapping_at(slot, &other)
            && !memcmp(other.key, entry->key, mapping_key_words(entry->kind) * sizeof *other.key))
            return slot;
    }
    return NONE;
}

/* Move what stands in a slot to another, so that it is found in one of them at any time. */
static void move(unsigned from, unsigned to)
{
    uint32_t row[WORDS];
    for (unsigned word = 0; word < WORDS; word++)
        row[word] = word_of(from, word);
    publish(to, row);
    release(from);
}

/*
 * Free one of `count` slots by the shortest row of moves, none of them into the bucket `barred`.
 * Returns the slot, NONE when there is no such row. Entries of two slots stay where they are.
 */
static unsigned vacate(const unsigned *wanted, unsigned count, unsigned barred)
{
    uint16_t queue[SEARCHED];
    uint8_t before[SEARCHED]; /* What is wanted itself has itself. */
    unsigned length = 0;
    for (unsigned n = 0; n < count; n++) {
        queue[length] = (uint16_t)wanted[n];
        before[length] = (uint8_t)length;
        length++;
    }
    for (unsigned at = 0; at < length; at++) {
        unsigned slot = queue[at], bucket[2];
        if (is_free(slot)) {
            unsigned step = at;
            for (; before[step] != step; step = before[step])
                move(queue[before[step]], queue[step]);
            return queue[step];
        }
        struct mapping entry;
        if (!mapping_at(slot, &entry) || entry.kind == LAYOUT_KIND_IPV6)
            continue;
        buckets_of(&entry, mapping_network_at(slot), bucket);
        for (unsigned n = 0; n < 4; n++) {
            unsigned other = 2 * bucket[n >> 1] + (n & 1), seen = 0;
            while (seen < length && queue[seen] != other)
                seen++;
            if (bucket[n >> 1] == barred || seen < length || length == SEARCHED)
                continue;
            queue[length] = (uint16_t)other;
            before[length++] = (uint8_t)at;
        }
    }
    return NONE;
}

bool mapping_put(const struct mapping *entry)
{
    uint32_t row[WIDE];
    unsigned bucket[2], network = take_network(entry->vni);
    bool wide = entry->kind == LAYOUT_KIND_IPV6;
    if (network == NONE)
        return false;
    unsigned slot = find(entry);
    row_of(entry, network, row);
    if (slot != NONE) {
        fill(slot, row, wide);
        return true;
    }
    buckets_of(entry, network, bucket);
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
    fill(slot, row, wide);
    count_entry(network, 1);
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
    bool wide = mapping_kind(slot) == LAYOUT_KIND_IPV6;
    count_entry(mapping_network_at(slot), -1);
    release(slot);
    if (wide)
        release(slot + 1);
}

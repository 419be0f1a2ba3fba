/*
 * The overlay's mapping table: a cuckoo hash table of two buckets of two slots for each key
 * (niter.net.lookup), which stands in the gateware alone. It is written so that an entry is always
 * found whole or not at all, and one that moves is found throughout.
 */
#ifndef SERVICES_MAPPING_H
#define SERVICES_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "card_layout.h"

enum { MAPPING_KEY = 8, MAPPING_VALUE = 3 };

/* An entry: keys from the least significant word, values from the most. */
struct mapping {
    uint8_t kind;
    uint32_t vni;
    uint16_t key[MAPPING_KEY];
    uint16_t value[MAPPING_VALUE];
};

unsigned mapping_key_words(unsigned kind);
unsigned mapping_value_words(unsigned kind);

/* The card's own number for a network that has entries. */
unsigned mapping_network(uint32_t vni);

/* Empty it. */
void mapping_clear(void);

/* Add an entry or change its value. False, with nothing lost, when no room can be made. */
bool mapping_put(const struct mapping *entry);

/* Fill in the value of the entry with this kind, network and key. False when there is none. */
bool mapping_find(struct mapping *entry);

/* Remove the entry with this kind, network and key, if there is one. */
void mapping_remove(const struct mapping *entry);

/* The entry that begins in a slot. False when none does. */
bool mapping_at(unsigned slot, struct mapping *entry);

/*
 * For a walk through all slots, what tells in a few cycles whether an entry is looked for: its kind, 0
 * where none begins; the card's own number for its network; a word of its value.
 */
unsigned mapping_kind(unsigned slot);
unsigned mapping_network_at(unsigned slot);
uint16_t mapping_value(unsigned slot, unsigned n);

#endif

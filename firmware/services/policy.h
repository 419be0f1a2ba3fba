/*
 * The policy: what the card is called, its addresses, and whose keys may do what.
 *
 * It is kept in flash twice, the newer one counts, and a damaged one is none. What is in flash when
 * the services begin is measured then, and holds until the next reset, whatever is written meanwhile.
 */
#ifndef SERVICES_POLICY_H
#define SERVICES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network.h"

enum { POLICY_KEYS = 8, POLICY_NAME = 32, POLICY_BYTES = 768 };

struct policy_key {
    uint8_t key[32];
    uint8_t role; /* The highest that it may take. */
};

struct policy {
    char name[POLICY_NAME + 1];
    struct addresses addresses;
    struct policy_key keys[POLICY_KEYS];
    unsigned count;
};

/* Load what is in flash and extend MEASURE_POLICY with its digest. False when there is none. */
bool policy_open(void);

/* The policy that holds. Without one it has no keys and no addresses. */
const struct policy *policy(void);

/* Whether these bytes are a policy: a deterministic encoding of docs/management.cddl's `policy`. */
bool policy_valid(const uint8_t *from, size_t length);

/* Write a valid policy to flash and check that it stands there. Pauses the job while flash works. */
bool policy_store(const uint8_t *from, size_t length);

/* The bytes in flash, until the next call; returns how many, 0 when there are none. */
size_t policy_bytes(const uint8_t **bytes);

#endif

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

#include "crypto/record.h"
#include "network.h"
#include "protocol.h"

enum { POLICY_KEYS = 8, POLICY_NAME = 32 };

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

/* A policy as it stands in flash: its bytes begin behind RECORD_HEADER. */
struct policy_record {
    uint8_t bytes[POLICY_LONGEST + RECORD_EXTRA];
};

/* Load what is in flash and extend MEASURE_POLICY with its digest. False when there is none. */
bool policy_open(void);

/* The policy that holds. Without one it has no keys and no addresses. */
const struct policy *policy(void);

/* Whether these bytes are a policy: a deterministic encoding of docs/management.cddl's `policy`. */
bool policy_valid(const uint8_t *from, size_t length);

/* Write a valid policy to flash and check that it stands there. Pauses the job while flash works. */
bool policy_store(const uint8_t *from, size_t length);

/* What is in flash; returns how many bytes the policy has, 0 when there is none. */
size_t policy_load(struct policy_record *to);

#endif

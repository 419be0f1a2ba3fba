/* What the loader leaves for the firmware, at the top of memory. The device secret is locked by then. */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include <stdint.h>

#include "protocol.h"

enum { BOOT_SLOTS = BOOT_SLOT_GOLDEN + 1 };

struct boot_report {
    uint8_t slot;                  /* Which one was started. */
    uint8_t verdict[BOOT_SLOTS];   /* enum boot_verdict of each. */
    uint32_t counter;              /* Security counter of the image. */
    uint32_t version;              /* major << 24 | minor << 16 | revision. */
};

/* What the firmware is given of the device secret; see crypto/dice.h. */
struct boot_keys {
    uint8_t management[32]; /* Ed25519 seed of the card's identity to those who manage it. */
    uint8_t alias[48];      /* Seed of the key that signs documents, of this firmware alone. */
};

struct handover {
    struct boot_report report;
    struct boot_keys keys;
};

#endif

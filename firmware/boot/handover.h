/* What the loader leaves for the firmware, at the top of memory. The device secret is locked by then. */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include <stdint.h>

/* Where an image can stand, in the order in which the report lists them. */
enum boot_slot { BOOT_SLOT_A, BOOT_SLOT_B, BOOT_SLOT_GOLDEN, BOOT_SLOTS };

/* Why a slot was not started. */
enum boot_verdict {
    BOOT_NOT_TRIED,
    BOOT_STARTED,
    BOOT_ABSENT,     /* No image header. */
    BOOT_MALFORMED,  /* Lengths that do not fit. */
    BOOT_ROLLBACK,   /* A security counter below the card's. */
    BOOT_SIGNATURE,  /* Not signed with our key, or changed since. */
    BOOT_FAILED,     /* Started before, too often, and never confirmed. */
};

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

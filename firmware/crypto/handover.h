/* What the boot ROM leaves for the firmware that it starts; the device secret is locked by then. */
#ifndef CRYPTO_HANDOVER_H
#define CRYPTO_HANDOVER_H

#include <stdint.h>

struct handover {
    uint8_t management[32]; /* Ed25519 seed of the card's identity to those who manage it. */
    uint8_t alias[48];      /* Seed of the key that signs documents, of this firmware alone. */
};

#endif

/*
 * Layers of identity after Open DICE: what boot code derives from the device secret before it locks
 * it, so that each stage gets what it needs and nothing of the stage below.
 *
 *   device secret ─┬─ device key        P-384; certifies alias keys; never leaves boot code
 *                  ├─ management key    Ed25519, of this card and this signer
 *                  └─ alias key         P-384, of this card, signer and firmware
 */
#ifndef CRYPTO_DICE_H
#define CRYPTO_DICE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handover.h"
#include "hal/keystore.h"

/*
 * The key for a label of up to 16 characters and up to two digests of 48 bytes, or NULL. False, with a
 * key of zeros, when the device secret is locked or absent.
 */
bool dice_key(
    const char *label, const uint8_t *first, const uint8_t *second, uint8_t key[KEYSTORE_DERIVED]
);

/*
 * Derive what the firmware with this digest, signed by the key with that digest, is to have. False when
 * the device secret is locked or absent; the keys are zero then.
 */
bool dice_derive(const uint8_t firmware[48], const uint8_t signer[48], struct boot_keys *keys);

/* A number that tells this alias key's certificate from any other's. */
uint32_t dice_tag(const struct boot_keys *keys);

#endif

/*
 * Layers of identity after Open DICE: what the boot ROM derives from the device secret before it locks
 * it, so that each stage gets what it needs and nothing of the stage below.
 *
 *   device secret ─┬─ device key        P-384; certifies alias keys; never leaves the ROM
 *                  ├─ management key    Ed25519, of this card and this signer
 *                  └─ alias key         P-384, of this card, signer and firmware
 */
#ifndef CRYPTO_DICE_H
#define CRYPTO_DICE_H

#include <stdbool.h>
#include <stdint.h>

#include "handover.h"
#include "p384.h"

/*
 * Derive what the firmware with this digest, signed by the key with that digest, is to have. False when
 * the device secret is locked or absent; the handover is zero then.
 */
bool dice_derive(const uint8_t firmware[48], const uint8_t signer[48], struct handover *handover);

/* The device key. Only for the ROM, before keystore_lock(). */
bool dice_device(uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC]);

/*
 * See that the alias key's certificate, for the firmware with this digest, stands in flash at `place`:
 * make it unless it is there already. Only for the ROM, before keystore_lock(). It takes three P-384
 * multiplications, once after each update. False when it could not be made.
 */
bool dice_certify(uint32_t place, const uint8_t firmware[48], const struct handover *handover);

enum { DICE_CERTIFICATE = 0x4e414352 };

#endif

/* The certificate of the alias key: made by boot code, with the device key, while it has the secret. */
#ifndef CRYPTO_CERTIFY_H
#define CRYPTO_CERTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handover.h"
#include "p384.h"

/* The magic of its record in flash; the record's number is dice_tag(). */
enum { CERTIFY_RECORD = 0x4e414352 };

/* The device key. Only before keystore_lock(). */
bool certify_device(uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC]);

/* Whether the alias key's certificate stands in flash at `place`. */
bool certify_present(uint32_t place, const struct boot_keys *keys);

/*
 * Certify the alias key for the firmware with this digest, and keep the certificate in flash at
 * `place`. Three multiplications on P-384. False when it could not be made or written.
 */
bool certify_alias(uint32_t place, const uint8_t firmware[48], const struct boot_keys *keys);

#endif

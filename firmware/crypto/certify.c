#include "certify.h"

#include <monocypher.h>

#include "certificate.h"
#include "dice.h"
#include "hal/keystore.h"
#include "record.h"

bool certify_device(uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC])
{
    uint8_t seed[KEYSTORE_DERIVED];
    bool good = dice_key("niter device 1", NULL, NULL, seed);
    p384_secret(seed, secret);
    crypto_wipe(seed, sizeof seed);
    return good && p384_public(secret, public_key);
}

static uint8_t buffer[CERTIFICATE_LONGEST + RECORD_EXTRA];

bool certify_present(uint32_t place, const struct boot_keys *keys)
{
    uint32_t tag;
    return record_load(place, CERTIFY_RECORD, buffer, sizeof buffer, &tag) && tag == dice_tag(keys);
}

bool certify_alias(uint32_t place, const uint8_t firmware[48], const struct boot_keys *keys)
{
    uint8_t device_secret[P384_SECRET], device[P384_PUBLIC], secret[P384_SECRET], alias[P384_PUBLIC];
    p384_secret(keys->alias, secret);
    bool good = p384_public(secret, alias) && certify_device(device_secret, device);
    size_t length =
        good ? certificate_make(device_secret, device, alias, firmware, buffer + RECORD_HEADER) : 0;
    crypto_wipe(device_secret, sizeof device_secret);
    crypto_wipe(secret, sizeof secret);
    return length && record_store(place, CERTIFY_RECORD, dice_tag(keys), buffer, length);
}

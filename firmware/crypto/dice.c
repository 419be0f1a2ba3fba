#include "dice.h"

#include <monocypher.h>
#include <string.h>

#include "certificate.h"
#include "hal/keystore.h"
#include "hal/sha.h"
#include "record.h"

enum { LABEL = 16, DIGEST = 48 };

static bool derive(const char *label, const uint8_t *first, const uint8_t *second, uint8_t *key)
{
    uint8_t context[LABEL + 2 * DIGEST] = {0};
    memcpy(context, label, strlen(label));
    size_t length = LABEL;
    if (first) {
        memcpy(context + length, first, DIGEST);
        length += DIGEST;
    }
    if (second) {
        memcpy(context + length, second, DIGEST);
        length += DIGEST;
    }
    return keystore_derive(context, length, key);
}

bool dice_device(uint8_t secret[P384_SECRET], uint8_t public_key[P384_PUBLIC])
{
    uint8_t seed[KEYSTORE_DERIVED];
    bool good = derive("niter device 1", NULL, NULL, seed);
    p384_secret(seed, secret);
    crypto_wipe(seed, sizeof seed);
    return good && p384_public(secret, public_key);
}

bool dice_derive(const uint8_t firmware[48], const uint8_t signer[48], struct handover *handover)
{
    uint8_t key[KEYSTORE_DERIVED];
    bool good = derive("niter manage 1", signer, NULL, key);
    memcpy(handover->management, key, sizeof handover->management);
    good = derive("niter alias 1", signer, firmware, handover->alias) && good;
    crypto_wipe(key, sizeof key);
    if (!good)
        crypto_wipe(handover, sizeof *handover);
    return good;
}

/* A number that tells this alias key's certificate from any other's. */
static uint32_t tag_of(const struct handover *handover)
{
    static const char label[] = "niter certificate 1";
    uint8_t digest[SHA384_BYTES];
    sha_begin(SHA384);
    sha_update(label, sizeof label);
    sha_update(handover->alias, sizeof handover->alias);
    sha_finish(digest);
    return (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 | digest[3];
}

bool dice_certify(uint32_t place, const uint8_t firmware[48], const struct handover *handover)
{
    static uint8_t buffer[CERTIFICATE_LONGEST + RECORD_EXTRA];
    uint8_t device_secret[P384_SECRET], device[P384_PUBLIC], secret[P384_SECRET], alias[P384_PUBLIC];
    uint32_t number;
    if (record_load(place, DICE_CERTIFICATE, buffer, sizeof buffer, &number)
        && number == tag_of(handover))
        return true;
    p384_secret(handover->alias, secret);
    bool good = p384_public(secret, alias) && dice_device(device_secret, device);
    size_t length =
        good ? certificate_make(device_secret, device, alias, firmware, buffer + RECORD_HEADER) : 0;
    crypto_wipe(device_secret, sizeof device_secret);
    crypto_wipe(secret, sizeof secret);
    return length && record_store(place, DICE_CERTIFICATE, tag_of(handover), buffer, length);
}

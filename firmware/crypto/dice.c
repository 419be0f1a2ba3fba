#include "dice.h"

#include <monocypher.h>
#include <string.h>

#include "hal/keystore.h"

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

bool dice_device(uint8_t seed[48])
{
    return derive("niter device 1", NULL, NULL, seed);
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

#include "dice.h"

#include <monocypher.h>
#include <string.h>

#include "hal/sha.h"

enum { LABEL = 16, DIGEST = 48 };

bool dice_key(
    const char *label, const uint8_t *first, const uint8_t *second, uint8_t key[KEYSTORE_DERIVED]
)
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

bool dice_derive(const uint8_t firmware[48], const uint8_t signer[48], struct boot_keys *keys)
{
    uint8_t key[KEYSTORE_DERIVED];
    bool good = dice_key("niter manage 1", signer, NULL, key);
    memcpy(keys->management, key, sizeof keys->management);
    good = dice_key("niter alias 1", signer, firmware, keys->alias) && good;
    crypto_wipe(key, sizeof key);
    if (!good)
        crypto_wipe(keys, sizeof *keys);
    return good;
}

uint32_t dice_tag(const struct boot_keys *keys)
{
    static const char label[] = "niter certificate 1";
    uint8_t digest[SHA384_BYTES];
    sha_begin(SHA384);
    sha_update(label, sizeof label);
    sha_update(keys->alias, sizeof keys->alias);
    sha_finish(digest);
    return (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 | digest[3];
}

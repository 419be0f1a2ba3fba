#include "kdf.h"

#include <monocypher.h>

#include "hash.h"

void kdf(
    const void *salt,
    size_t salt_length,
    const void *secret,
    size_t secret_length,
    const void *info,
    size_t info_length,
    void *output,
    size_t length
)
{
    br_hkdf_context context;
    br_hkdf_init(&context, &hash_sha384, salt, salt_length);
    br_hkdf_inject(&context, secret, secret_length);
    br_hkdf_flip(&context);
    br_hkdf_produce(&context, info, info_length, output, length);
    crypto_wipe(&context, sizeof context);
}

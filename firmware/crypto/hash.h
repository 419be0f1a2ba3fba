/* The HAL's SHA-384 in the shape that BearSSL's HMAC wants. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include <bearssl.h>

/*
 * One hash at a time, as the HAL has it: HMAC, HKDF and HMAC_DRBG of BearSSL finish one before they
 * begin the next. Keys of HMAC must be shorter than 64 bytes.
 */
extern const br_hash_class hash_sha384;

#endif

/*
 * The X.509 certificate of an alias key, issued by the device key: the template of
 * niterctl.certificates with its places filled in, and an ECDSA signature with SHA-384.
 */
#ifndef CRYPTO_CERTIFICATE_H
#define CRYPTO_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "p384.h"

enum { CERTIFICATE_LONGEST = 640 };

/*
 * Certify `alias` with the secret of `device` for the firmware with this digest. Returns the length of
 * the certificate, 0 when the device key is none.
 */
size_t certificate_make(
    const uint8_t device_secret[P384_SECRET],
    const uint8_t device[P384_PUBLIC],
    const uint8_t alias[P384_PUBLIC],
    const uint8_t firmware[48],
    uint8_t to[CERTIFICATE_LONGEST]
);

#endif

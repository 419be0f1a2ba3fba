/*
 * Attestation: documents in the Nitro format, signed by the alias key (docs/attestation.md).
 */
#ifndef SERVICES_ATTEST_H
#define SERVICES_ATTEST_H

#include "boot/handover.h"

/* Keep the alias key, and see whether there are certificates for it. */
void attest_open(const struct boot_keys *keys);

#endif

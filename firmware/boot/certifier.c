/*
 * Makes the alias key's certificate: a program of its own, since P-384 would double the loader, and
 * is needed once after each change of firmware. The loader fetches it to where images run, checks its
 * digest, and calls it on its own stack.
 */
#include "certifier.h"

#include "boot_layout.h"
#include "crypto/certify.h"

extern uint8_t bss_start[], bss_end[];

__attribute__((section(".start"))) bool
_start(const uint8_t firmware[48], const struct boot_keys *keys) {
    for (volatile uint8_t *at = bss_start; at < bss_end; at++) *at = 0;
    return certify_alias(BOOT_CERTIFICATE_AT, firmware, keys);
}

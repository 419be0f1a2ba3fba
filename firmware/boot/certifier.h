/* What the loader calls of the certifier, which begins with this function: its entry. */
#ifndef BOOT_CERTIFIER_H
#define BOOT_CERTIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "handover.h"

/* Certify the alias key for the firmware with this digest. False when that failed. */
bool _start(const uint8_t firmware[48], const struct boot_keys *keys);

#endif

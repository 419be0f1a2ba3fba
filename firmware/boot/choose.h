/* Which image is started. */
#ifndef BOOT_CHOOSE_H
#define BOOT_CHOOSE_H

#include <stdbool.h>

#include "handover.h"
#include "image.h"

/*
 * Load the image that is to be started, and fill in the report. False when there is none.
 *
 * The newer of slots A and B comes first, then the other, then the golden one, which may be older than
 * the card's security counter and is never given up. A slot that was started three times and never
 * confirmed is passed over.
 */
bool boot_choose(const uint8_t signer[32], struct image *image, struct boot_report *report);

#endif

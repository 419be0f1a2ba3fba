/* Which image is started. */
#ifndef BOOT_CHOOSE_H
#define BOOT_CHOOSE_H

#include <stdbool.h>

#include "handover.h"
#include "image.h"

/* The last two words of a slot: bits cleared by attempts to start it; zero once it was confirmed. */
enum { SLOT_STATE = 8, SLOT_CONFIRMED = 4 };

/*
 * Load the image that is to be started, and fill in the report. False when there is none.
 *
 * The newer of slots A and B comes first, then the other, then the golden one, which may be older than
 * the card's security counter and is never given up. A slot that was started three times and never
 * confirmed is passed over.
 */
bool boot_choose(const uint8_t signer[32], struct image *image, struct boot_report *report);

/* The firmware in this slot does what it should: start it however often. False while flash is busy. */
bool boot_confirm(unsigned slot);

#endif

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

/* Load the image that was chosen once more: what it stood in was used otherwise since. */
bool boot_again(const uint8_t signer[32], struct image *image, const struct boot_report *report);

/* The card's security counter: what an image in slot A or B must have at least. */
uint32_t boot_least_counter(void);

/* Where a slot begins in flash. */
uint32_t boot_place(unsigned slot);

/*
 * The firmware in this slot does what it should: start it however often, and none whose security
 * counter is lower. One step each time; false until all of it is in flash.
 */
bool boot_confirm(const struct boot_report *report);

#endif

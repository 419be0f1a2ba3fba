/*
 * Replacing the firmware. The image goes into that of slots A and B which does not run, in order, but
 * for its header: until that is written, last and only when all the rest stands in flash and is what
 * our key has signed, the slot holds no image. Whenever power fails, the next boot finds the image that
 * ran, or the new one whole.
 *
 * The loader starts the new one at the next reset, and gives it up when it never serves a client
 * (boot/choose.h); once it has, it is kept, and the card's security counter follows it.
 */
#ifndef SERVICES_UPDATE_H
#define SERVICES_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handover.h"

/* Keep what the loader has reported, and log it. */
void update_open(const struct boot_report *given);

/* What the loader has reported. */
const struct boot_report *update_report(void);

/* From the main loop, while no job runs: keep the firmware that runs, step by step. */
void update_confirm(void);

#endif

/*
 * All services, as a cooperative loop: call services_open() once and services_turn() for ever.
 *
 * A turn feeds the watchdog, looks at one frame, and gives the job, which answers management
 * datagrams, a slice of a millisecond. It never waits.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include <stdbool.h>

#include "boot/handover.h"

#define FIRMWARE_VERSION "0.1.0"

/* Wipes the keys. */
void services_open(struct boot_keys *keys);

void services_turn(void);

/* Whether a client has been served since boot, and none is being served now. */
bool services_proven(void);

#endif

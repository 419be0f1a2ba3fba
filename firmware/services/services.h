/*
 * All services, as a cooperative loop: call services_open() once and services_turn() for ever.
 *
 * A turn feeds the watchdog, looks at one frame, and gives the job, which answers management
 * datagrams, a slice of a millisecond. It never waits.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include "boot/handover.h"

/* Wipes the keys. */
void services_open(struct handover *handover);

void services_turn(void);

#endif

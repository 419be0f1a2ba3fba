/*
 * The volumes: where each lies at a target, and the namespace by which a host has it.
 *
 * Nothing is attached after a reset. A volume that is detached takes no more requests; those under way
 * end, and for as long as the network may still deliver a copy of their writes, nothing is attached by
 * its number or where it lay.
 */
#ifndef SERVICES_VOLUMES_H
#define SERVICES_VOLUMES_H

#include "network.h"

/* Write the card's own address. */
void volumes_open(const struct addresses *own);

#endif

/* The card's Ethernet ports. */
#ifndef SERVICES_MACS_H
#define SERVICES_MACS_H

#include <stdint.h>

/* Switch all of them on, in both directions, if the card has an address of its own. */
void macs_start(const uint8_t own[6]);

#endif

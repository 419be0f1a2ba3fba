/* The card's Ethernet ports. */
#ifndef SERVICES_MACS_H
#define SERVICES_MACS_H

/* Switch all of them on, in both directions. */
void macs_start(void);

#endif

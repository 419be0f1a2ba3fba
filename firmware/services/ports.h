/* Ports: the functions that the card has given to tenants, each with what its driver sees of it. */
#ifndef SERVICES_PORTS_H
#define SERVICES_PORTS_H

#include <stdbool.h>
#include <stdint.h>

/* Close all of them: block RAM outlives a reset. */
void ports_close(void);

/* Whether a function is a port of this network. */
bool port_in(unsigned function, uint32_t vni);

/* Whether a function is a port with this address. */
bool port_owns(unsigned function, const uint8_t mac[6]);

/* Its driver has told the network where it is. */
void port_announced(unsigned function);

#endif

/*
 * Where frames for everybody in a network go: each port's replication list has all tunnels that lead
 * there. A tunnel that no entry uses any more is given back.
 */
#ifndef SERVICES_REPLICAS_H
#define SERVICES_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Write the replication lists of a network's ports: every tunnel that leads to it, and this card when
 * it has more than one port there. A list is written from its end, so that it is never too long.
 */
void replicas_write(uint32_t vni);

/* Empty the list of a port. */
void replicas_clear(unsigned function);

/* Whether one more tunnel would make the network's lists too long. */
bool replicas_crowded(uint32_t vni, int tunnel);

/* Give back the tunnels that no entry of any network uses. */
void replicas_sweep(void);

#endif

/* Tunnel endpoints: the records of the encapsulation stage, and the templates that they share. */
#ifndef SERVICES_TUNNEL_H
#define SERVICES_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "network.h"

struct tunnel {
    uint8_t version; /* 4 or 6; 0 when it is not in use. */
    uint8_t remote[16];
    uint8_t next_hop[6];
    uint8_t port;
    bool geneve, checksum;
};

void tunnel_open(const struct addresses *own);

/* Whether the card can have such a tunnel at all. */
bool tunnel_possible(const struct tunnel *tunnel);

/* The index of this tunnel, which is written to the card if it is new; -1 when none is left. */
int tunnel_take(const struct tunnel *tunnel);

/* Forget a tunnel that no entry of the mapping table uses any more. */
void tunnel_drop(unsigned index);

/* The tunnel at an index, or NULL. */
const struct tunnel *tunnel_at(unsigned index);

#endif

/*
 * Whose frames the overlay believes, on a card that has a table of them: the remote endpoints of the
 * tunnels that are in use.
 */
#ifndef SERVICES_PEERS_H
#define SERVICES_PEERS_H

#include <stdbool.h>

#include "tunnel.h"

/* Empty the table: block RAM outlives a reset. */
void peers_clear(void);

/* Believe the far end of a tunnel that is to have this index. False when its set is full. */
bool peers_admit(unsigned index, const struct tunnel *tunnel);

/* The tunnel at this index goes: unless another one has its far end, that is believed no more. */
void peers_expel(unsigned index);

#endif

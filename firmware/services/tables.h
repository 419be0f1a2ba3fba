/*
 * What the overlay's tables say. Of all but the mapping table this keeps a copy: the gateware's
 * cannot be read back.
 *
 * Everything is closed and empty after a reset: tables_open() writes the card's own endpoint and
 * clears the rest, since block RAM outlives a reset.
 */
#ifndef SERVICES_TABLES_H
#define SERVICES_TABLES_H

#include "network.h"

void tables_open(const struct addresses *own);

#endif

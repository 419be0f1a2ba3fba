/* What is wrong with the card: bits of `enum health`. */
#ifndef SERVICES_HEALTH_H
#define SERVICES_HEALTH_H

#include <stdint.h>

#include "protocol.h"

void health_set(enum health bit);
uint32_t health(void);

#endif

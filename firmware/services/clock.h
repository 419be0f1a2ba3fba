/* Time: how long the card has been up, and what time it is once somebody has told it. */
#ifndef SERVICES_CLOCK_H
#define SERVICES_CLOCK_H

#include <stdint.h>

uint64_t clock_uptime_ms(void);

/* Milliseconds since 1970 (UTC), or 0 when nobody has told. */
uint64_t clock_now_ms(void);

/* Sets the time; returns by how many seconds it moved, 0 the first time. */
uint32_t clock_set_ms(uint64_t now);

#endif

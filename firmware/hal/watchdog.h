/*
 * The watchdog: its reset takes CPU, measurements and keys together, while frames and blocks go on.
 */
#ifndef HAL_WATCHDOG_H
#define HAL_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Start it, or start the time anew: `cycles` from now the SoC is reset, or up to 131,072 cycles before
 * that. It cannot be stopped.
 */
void watchdog_feed(uint32_t cycles);

/* Reset the SoC now. Does not return. */
_Noreturn void watchdog_reset(void);

/* Whether the last reset was the watchdog's (or asked for by software), and not the card's. */
bool watchdog_was_reset(void);

#endif

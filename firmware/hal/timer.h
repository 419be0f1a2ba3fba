/* The card's clock: cycles since the SoC left reset. */
#ifndef HAL_TIMER_H
#define HAL_TIMER_H

#include <stdint.h>

/* Cycles since reset; never wraps in practice. Not affected by anything but a reset of the SoC. */
uint64_t timer_now(void);

/* Cycles in a second. */
uint32_t timer_hz(void);

#endif

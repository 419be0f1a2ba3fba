/* The random source, with health tests in hardware. */
#ifndef HAL_RANDOM_H
#define HAL_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

/* Fill `to`. False, with nothing to be used, when a health test has failed since reset. */
bool random_read(void *to, size_t length);

/* Whether the bits follow from a seed that anyone can know: in a simulation. */
bool random_predictable(void);

#endif

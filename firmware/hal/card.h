/* What is fixed about this card, and the functions that the host may use. */
#ifndef HAL_CARD_H
#define HAL_CARD_H

#include <stdint.h>

unsigned card_functions(void);
unsigned card_ports(void);

/* Functions that the host sees, one bit each. Until released, configuration requests are retried. */
void card_release(uint32_t functions);

#endif

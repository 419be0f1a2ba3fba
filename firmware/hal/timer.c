#include "timer.h"

#include "card_registers.h"
#include "registers.h"

uint64_t timer_now(void) { return register_read_counter(CARD_SOC_TIMER_LOW); }

uint32_t timer_hz(void) { return register_read(CARD_SOC_TIMER_RATE); }

#include "timer.h"

#include "card_registers.h"
#include "registers.h"

uint64_t timer_now(void) {
    static uint64_t now;
    /* The hardware's 32 bits go round in a minute, in which somebody always asks. */
    now += register_read(CARD_SOC_TIMER_CYCLES) - (uint32_t)now;
    return now;
}

uint32_t timer_hz(void) { return register_read(CARD_SOC_TIMER_RATE); }

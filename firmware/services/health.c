#include "health.h"

#include "clock.h"

static uint32_t bits;

void health_set(enum health bit)
{
    bits |= (uint32_t)bit;
}

uint32_t health(void)
{
    return bits | (clock_now_ms() ? 0 : HEALTH_TIME_UNKNOWN);
}

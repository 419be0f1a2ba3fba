#include "clock.h"

#include "hal/timer.h"

static uint64_t offset;

uint64_t clock_uptime_ms(void)
{
    return timer_now() / (timer_hz() / 1000);
}

uint64_t clock_now_ms(void)
{
    return offset ? offset + clock_uptime_ms() : 0;
}

uint32_t clock_set_ms(uint64_t now)
{
    uint64_t before = clock_now_ms();
    offset = now - clock_uptime_ms();
    if (!before)
        return 0;
    uint64_t moved = (now > before ? now - before : before - now) / 1000;
    return moved > INT32_MAX ? INT32_MAX : (uint32_t)moved;
}

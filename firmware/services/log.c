#include "log.h"

#include "clock.h"

enum { ENTRIES = 32 };

static struct log_entry ring[ENTRIES];
static uint32_t last;

void log_event(enum event event, uint32_t argument)
{
    last++;
    ring[last % ENTRIES] = (struct log_entry){last, (uint32_t)clock_uptime_ms(), argument, (uint8_t)event};
}

bool log_read(uint32_t number, struct log_entry *entry)
{
    uint32_t oldest = last >= ENTRIES ? last - ENTRIES + 1 : 1;
    if (number < oldest)
        number = oldest;
    if (number > last)
        return false;
    *entry = ring[number % ENTRIES];
    return true;
}

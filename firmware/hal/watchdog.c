#include "watchdog.h"

#include "card_registers.h"
#include "registers.h"

enum { TICK = 65536 };

void watchdog_feed(uint32_t cycles) { register_write(CARD_SOC_WATCHDOG_FEED, cycles / TICK); }

_Noreturn void watchdog_reset(void) {
    watchdog_feed(0);
    for (;;) {}
}

bool watchdog_was_reset(void) { return register_read(CARD_SOC_WATCHDOG_CAUSE); }

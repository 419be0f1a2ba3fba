/*
 * The card's firmware: opens the card, and then serves it for ever.
 */
#include "boot/handover.h"
#include "hal/card.h"
#include "hal/timer.h"
#include "hal/watchdog.h"

_Noreturn void main(const struct boot_report *report);

/* Seconds without a turn of the loop after which the SoC restarts. */
enum { PATIENCE = 2 };

_Noreturn void main(const struct boot_report *report) {
    (void)report;
    uint32_t patience = PATIENCE * timer_hz();
    card_release((1u << card_functions()) - 1);
    for (;;) watchdog_feed(patience);
}

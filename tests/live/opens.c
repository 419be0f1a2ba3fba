/* A program in the firmware's place: opens the card. It is short, so that it boots soon. */
#include <stdint.h>

#include "boot/handover.h"
#include "hal/card.h"
#include "hal/watchdog.h"

_Noreturn void main(struct handover *handover);

_Noreturn void main(struct handover *handover) {
    (void)handover;
    card_release(1);
    for (;;) watchdog_feed(UINT32_MAX);
}

/*
 * The card's firmware: opens the card, and then serves it for ever.
 */
#include <stdbool.h>

#include "boot/choose.h"
#include "boot/handover.h"
#include "hal/packet.h"
#include "hal/timer.h"
#include "protocol.h"
#include "services/services.h"

_Noreturn void main(struct handover *handover);

/* Datagrams in a second that the packet port passes, whoever sends them. */
enum { DATAGRAMS = 1000 };

_Noreturn void main(struct handover *handover) {
    services_open(&handover->keys);
    packet_listen(MANAGEMENT_PORT, timer_hz() / DATAGRAMS);
    for (bool confirmed = false;;) {
        services_turn();
        /* An image that can be reached can be replaced. */
        if (!confirmed && services_proven()) confirmed = boot_confirm(handover->report.slot);
    }
}

/*
 * The card's firmware: opens the card, and then serves it for ever.
 */
#include "boot/handover.h"
#include "hal/packet.h"
#include "hal/timer.h"
#include "protocol.h"
#include "services/services.h"

_Noreturn void main(struct handover *handover);

/* Datagrams in a second that the packet port passes, whoever sends them. */
enum { DATAGRAMS = 1000 };

_Noreturn void main(struct handover *handover) {
    services_open(handover);
    packet_listen(MANAGEMENT_PORT, timer_hz() / DATAGRAMS);
    for (;;) services_turn();
}

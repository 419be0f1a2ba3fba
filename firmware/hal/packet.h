/*
 * Frames between the management listener and the CPU, whole Ethernet frames without FCS.
 *
 * The gateware passes only what the steering room takes for the listener, at a limited rate;
 * what comes faster, or is longer than PACKET_LONGEST, is dropped and counted there.
 */
#ifndef HAL_PACKET_H
#define HAL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_LONGEST = 1518 };

/*
 * Take UDP datagrams over IPv4 for `udp_port`, at most one in `interval` cycles. Nothing is taken
 * before this. Addresses and checksums are for software to look at.
 */
void packet_listen(unsigned udp_port, uint32_t interval);

/*
 * Take ARP requests for this IPv4 address, too, at the same rate. On a card without an overlay: that of the
 * others answers them.
 */
void packet_resolve(const uint8_t address[4]);

/*
 * Take the next frame into `to`, which has room for `room` bytes; returns its length, 0 when there is
 * none, or it has no room. `port` is set to the Ethernet port that it came from.
 */
size_t packet_receive(void *to, size_t room, unsigned *port);

/* Send `length` (14 to PACKET_LONGEST) bytes out of `port`. False when the last one is still there. */
bool packet_send(const void *from, size_t length, unsigned port);

#endif

/*
 * The listener's share of a network stack: Ethernet, ARP (RFC 826), neighbour solicitation
 * (RFC 4861), UDP over IPv4 and IPv6 without options, extension headers or fragments.
 *
 * It answers who has the card's addresses, hands datagrams for the management port up, and sends a
 * reply back the way that its question came: it resolves nothing, and never speaks first.
 */
#ifndef SERVICES_NETWORK_H
#define SERVICES_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal/packet.h"

/* The card's own addresses; an IP address that is all zeros is none. */
struct addresses {
    uint8_t mac[6];
    uint8_t ipv4[4];
    uint8_t ipv6[16];
};

/* Where a datagram came from, and so where its reply goes. */
struct peer {
    unsigned wire;
    uint8_t mac[6];
    uint8_t version; /* 4 or 6. */
    uint8_t address[16];
    uint16_t port;
};

/* A datagram for the management port, inside the frame that was looked at. */
struct datagram {
    struct peer peer;
    const uint8_t *data;
    size_t length;
};

void network_open(const struct addresses *own);

/*
 * Look at a frame. True when it is a datagram for the management port. What asks for the card's
 * addresses is answered; all else is ignored.
 */
bool network_take(const uint8_t *frame, size_t length, unsigned wire, struct datagram *datagram);

/* Send a reply, put together in `out`. False when the packet port is still busy. */
bool network_reply(
    uint8_t out[PACKET_LONGEST], const struct peer *peer, const uint8_t *data, size_t length
);

#endif

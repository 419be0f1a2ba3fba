/*
 * The listener's share of a network stack: UDP over IPv4 without options or fragments, and requests for the
 * card's address (RFC 826) where there is no overlay to answer them. It is all that the packet port passes.
 *
 * A reply goes back the way that its question came: nothing is resolved, and the card never speaks first.
 */
#ifndef SERVICES_NETWORK_H
#define SERVICES_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "hal/packet.h"

/* What stands before a datagram's content: the headers of Ethernet, IPv4 and UDP. */
enum { NETWORK_HEADERS = 14 + 20 + 8 };

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
    uint8_t address[4];
    uint16_t port;
};

void network_open(const struct addresses *own);

/*
 * Look at a frame. Returns the length of its content when it is a datagram for the management port, 0
 * when it is anything else. The content begins at `frame` + NETWORK_HEADERS.
 */
size_t network_take(const uint8_t *frame, size_t length, unsigned wire, struct peer *peer);

/*
 * Make the answer to an ARP request for the card's IPv4 address, in the request's place. Returns its length,
 * 0 when the frame is anything else.
 */
size_t network_resolve(uint8_t *frame, size_t length);

/*
 * Send a reply, put together in `out`, which has room for it and its headers. False when the packet
 * port is still busy.
 */
bool network_reply(uint8_t *out, const struct peer *peer, const uint8_t *data, size_t length);

#endif

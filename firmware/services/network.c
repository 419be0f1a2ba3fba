#include "network.h"

#include <string.h>

#include "bytes.h"
#include "protocol.h"

enum {
    ETHERNET = 14,
    ARP = 28,
    IPV4 = 20,
    IPV6 = 40,
    UDP = 8,
    SOLICITATION = 24, /* ICMPv6 of RFC 4861, 4.3, without options. */
    ADVERTISEMENT = 32, /* 4.4, with the target's link-layer address. */
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,
    HOPS = 64,
    HOPS_NEIGHBOUR = 255,
};

static struct addresses own;

void network_open(const struct addresses *addresses)
{
    own = *addresses;
}

static bool all_zero(const uint8_t *from, size_t length)
{
    uint8_t any = 0;
    while (length--)
        any |= from[length];
    return !any;
}

/* Ones' complement sum (RFC 1071) of `length` bytes, on top of `sum`. */
static uint32_t add_up(uint32_t sum, const uint8_t *from, size_t length)
{
    for (size_t n = 0; n + 1 < length; n += 2)
        sum += get16(from + n);
    if (length & 1)
        sum += (uint32_t)from[length - 1] << 8;
    return (sum & 0xffff) + (sum >> 16);
}

static uint16_t folded(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The checksum over a pseudo-header and what follows; zero when one that is already there is right. */
static uint16_t checksum(
    const uint8_t *addresses, size_t pair, uint32_t protocol, const uint8_t *from, size_t length
)
{
    uint32_t sum = add_up(protocol + (uint32_t)length, addresses, pair);
    return folded(add_up(sum, from, length));
}

static void ethernet(uint8_t *out, const uint8_t *to, uint32_t type)
{
    memcpy(out, to, 6);
    memcpy(out + 6, own.mac, 6);
    put16(out + 12, type);
}

static void arp(const uint8_t *frame, size_t length, unsigned wire)
{
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    const uint8_t *body = frame + ETHERNET;
    if (length < ETHERNET + ARP || memcmp(body, request, sizeof request)
        || memcmp(body + 24, own.ipv4, 4) || all_zero(own.ipv4, 4))
        return;
    uint8_t out[ETHERNET + ARP];
    ethernet(out, body + 8, TYPE_ARP);
    uint8_t *answer = out + ETHERNET;
    memcpy(answer, request, 7);
    answer[7] = 2;
    memcpy(answer + 8, own.mac, 6);
    memcpy(answer + 14, own.ipv4, 4);
    memcpy(answer + 18, body + 8, 10);
    packet_send(out, sizeof out, wire);
}

static void ipv6_header(
    uint8_t *header, const uint8_t *to, uint32_t protocol, size_t length, uint8_t hops
)
{
    put32(header, 0x60000000);
    put16(header + 4, (uint32_t)length);
    header[6] = (uint8_t)protocol;
    header[7] = hops;
    memcpy(header + 8, own.ipv6, 16);
    memcpy(header + 24, to, 16);
}

static void solicitation(const uint8_t *frame, const uint8_t *body, size_t length, unsigned wire)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    const uint8_t *header = frame + ETHERNET;
    if (length < SOLICITATION || header[7] != HOPS_NEIGHBOUR || body[0] != 135 || body[1]
        || memcmp(body + 8, own.ipv6, 16)
        || checksum(header + 8, 32, PROTOCOL_ICMPV6, body, length))
        return;
    /* Who asks without an address of its own looks for duplicates: all are told. */
    bool probe = all_zero(header + 8, 16);
    uint8_t out[ETHERNET + IPV6 + ADVERTISEMENT], *answer = out + ETHERNET + IPV6;
    ethernet(out, probe ? all_nodes_mac : frame + 6, TYPE_IPV6);
    const uint8_t *to = probe ? all_nodes : header + 8;
    ipv6_header(out + ETHERNET, to, PROTOCOL_ICMPV6, ADVERTISEMENT, HOPS_NEIGHBOUR);
    memset(answer, 0, ADVERTISEMENT);
    answer[0] = 136;
    answer[4] = probe ? 0x20 : 0x60;
    memcpy(answer + 8, own.ipv6, 16);
    answer[24] = 2;
    answer[25] = 1;
    memcpy(answer + 26, own.mac, 6);
    put16(answer + 2, checksum(out + ETHERNET + 8, 32, PROTOCOL_ICMPV6, answer, ADVERTISEMENT));
    packet_send(out, sizeof out, wire);
}

/* UDP inside `length` bytes at `body`; `addresses` are both of the IP header. */
static bool udp(
    const uint8_t *addresses,
    size_t pair,
    const uint8_t *body,
    size_t length,
    struct datagram *datagram
)
{
    if (length < UDP || get16(body + 4) < UDP || get16(body + 4) > length
        || get16(body + 2) != MANAGEMENT_PORT)
        return false;
    length = get16(body + 4);
    bool without = get16(body + 6) == 0;
    if (without && pair == 32)
        return false;
    if (!without && checksum(addresses, pair, PROTOCOL_UDP, body, length))
        return false;
    datagram->peer.port = get16(body);
    datagram->data = body + UDP;
    datagram->length = length - UDP;
    return datagram->length && datagram->length <= DATAGRAM_LONGEST;
}

static bool ipv4(const uint8_t *frame, size_t length, struct datagram *datagram)
{
    const uint8_t *header = frame + ETHERNET;
    length -= ETHERNET;
    if (length < IPV4 || header[0] != 0x45 || get16(header + 2) > length
        || get16(header + 2) < IPV4 || (get16(header + 6) & 0x3fff) || header[9] != PROTOCOL_UDP
        || memcmp(header + 16, own.ipv4, 4) || all_zero(own.ipv4, 4)
        || folded(add_up(0, header, IPV4)))
        return false;
    datagram->peer.version = 4;
    memcpy(datagram->peer.address, header + 12, 4);
    return udp(header + 12, 8, header + IPV4, get16(header + 2) - (size_t)IPV4, datagram);
}

static bool ipv6(const uint8_t *frame, size_t length, unsigned wire, struct datagram *datagram)
{
    const uint8_t *header = frame + ETHERNET;
    length -= ETHERNET;
    if (length < IPV6 || header[0] >> 4 != 6 || get16(header + 4) > length - IPV6
        || all_zero(own.ipv6, 16))
        return false;
    const uint8_t *body = header + IPV6;
    size_t content = get16(header + 4);
    if (header[6] == PROTOCOL_ICMPV6) {
        solicitation(frame, body, content, wire);
        return false;
    }
    if (header[6] != PROTOCOL_UDP || memcmp(header + 24, own.ipv6, 16))
        return false;
    datagram->peer.version = 6;
    memcpy(datagram->peer.address, header + 8, 16);
    return udp(header + 8, 32, body, content, datagram);
}

bool network_take(const uint8_t *frame, size_t length, unsigned wire, struct datagram *datagram)
{
    /* Nothing is answered that comes from a group, or from the card itself. */
    if (length < ETHERNET || frame[6] & 1 || !memcmp(frame + 6, own.mac, 6))
        return false;
    if (!(frame[0] & 1) && memcmp(frame, own.mac, 6))
        return false;
    datagram->peer.wire = wire;
    memcpy(datagram->peer.mac, frame + 6, 6);
    switch (get16(frame + 12)) {
    case TYPE_ARP:
        arp(frame, length, wire);
        return false;
    case TYPE_IPV4:
        return ipv4(frame, length, datagram);
    case TYPE_IPV6:
        return ipv6(frame, length, wire, datagram);
    default:
        return false;
    }
}

bool network_reply(
    uint8_t out[PACKET_LONGEST], const struct peer *peer, const uint8_t *data, size_t length
)
{
    size_t pair = peer->version == 4 ? 8 : 32;
    uint8_t *header = out + ETHERNET;
    uint8_t *body = header + (peer->version == 4 ? IPV4 : IPV6);
    size_t whole = UDP + length;
    if (peer->version == 4) {
        ethernet(out, peer->mac, TYPE_IPV4);
        memset(header, 0, IPV4);
        header[0] = 0x45;
        put16(header + 2, (uint32_t)(IPV4 + whole));
        put16(header + 6, 0x4000);
        header[8] = HOPS;
        header[9] = PROTOCOL_UDP;
        memcpy(header + 12, own.ipv4, 4);
        memcpy(header + 16, peer->address, 4);
        put16(header + 10, folded(add_up(0, header, IPV4)));
    } else {
        ethernet(out, peer->mac, TYPE_IPV6);
        ipv6_header(header, peer->address, PROTOCOL_UDP, whole, HOPS);
    }
    put16(body, MANAGEMENT_PORT);
    put16(body + 2, peer->port);
    put16(body + 4, (uint32_t)whole);
    put16(body + 6, 0);
    memcpy(body + UDP, data, length);
    uint16_t sum = checksum(body - pair, pair, PROTOCOL_UDP, body, whole);
    put16(body + 6, sum ? sum : 0xffff);
    return packet_send(out, (size_t)(body - out) + whole, peer->wire);
}

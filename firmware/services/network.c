#include "network.h"

#include <string.h>

#include "bytes.h"
#include "protocol.h"

enum {
    ETHERNET = 14,
    IPV4 = 20,
    UDP = 8,
    ARP = 28,
    TYPE_IPV4 = 0x0800,
    PROTOCOL_UDP = 17,
    HOPS = 64,
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

/* Nothing is answered that comes from a group, or from the card itself, or is for another. */
static bool for_us(const uint8_t *frame)
{
    return !(frame[6] & 1) && memcmp(frame + 6, own.mac, 6)
        && (frame[0] & 1 || !memcmp(frame, own.mac, 6)) && !all_zero(own.ipv4, 4);
}

/* Ones' complement sum (RFC 1071) of `length` bytes, on top of `sum`, folded into 16 bits. */
static uint32_t add_up(uint32_t sum, const uint8_t *from, size_t length)
{
    for (size_t n = 0; n < length; n++)
        sum += n & 1 ? from[n] : (uint32_t)from[n] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

/* The sum over pseudo-header and datagram; all ones when the checksum that is in it is right. */
static uint32_t datagram_sum(const uint8_t *addresses, const uint8_t *body, size_t length)
{
    return add_up(add_up(PROTOCOL_UDP + (uint32_t)length, addresses, 8), body, length);
}

size_t network_take(const uint8_t *frame, size_t length, unsigned wire, struct peer *peer)
{
    const uint8_t *header = frame + ETHERNET, *body = header + IPV4;
    if (length < NETWORK_HEADERS || !for_us(frame))
        return 0;
    size_t whole = get16(header + 2), content = get16(body + 4);
    if (get16(frame + 12) != TYPE_IPV4 || header[0] != 0x45 || whole > length - ETHERNET
        || (get16(header + 6) & 0x3fff) || header[9] != PROTOCOL_UDP
        || memcmp(header + 16, own.ipv4, 4) || add_up(0, header, IPV4) != 0xffff)
        return 0;
    if (whole < IPV4 + UDP || content > whole - IPV4 || content <= UDP
        || content - UDP > DATAGRAM_LONGEST || get16(body + 2) != MANAGEMENT_PORT
        || (get16(body + 6) && datagram_sum(header + 12, body, content) != 0xffff))
        return 0;
    peer->wire = wire;
    memcpy(peer->mac, frame + 6, 6);
    memcpy(peer->address, header + 12, 4);
    peer->port = get16(body);
    return content - UDP;
}

size_t network_resolve(uint8_t *frame, size_t length)
{
    /* EtherType, hardware and protocol, the lengths of their addresses, operation. */
    static const uint8_t request[] = {0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1};
    uint8_t *arp = frame + ETHERNET;
    if (length < ETHERNET + ARP || !for_us(frame) || memcmp(frame + 12, request, sizeof request)
        || memcmp(arp + 24, own.ipv4, 4))
        return 0;
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, own.mac, 6);
    arp[7] = 2;
    memcpy(arp + 18, frame, 6);
    memcpy(arp + 24, arp + 14, 4);
    memcpy(arp + 8, own.mac, 6);
    memcpy(arp + 14, own.ipv4, 4);
    return ETHERNET + ARP;
}

bool network_reply(uint8_t *out, const struct peer *peer, const uint8_t *data, size_t length)
{
    uint8_t *header = out + ETHERNET, *body = header + IPV4;
    size_t whole = UDP + length;
    memset(out, 0, NETWORK_HEADERS);
    memcpy(out, peer->mac, 6);
    memcpy(out + 6, own.mac, 6);
    put16(out + 12, TYPE_IPV4);
    header[0] = 0x45;
    put16(header + 2, (uint32_t)(IPV4 + whole));
    put16(header + 6, 0x4000);
    header[8] = HOPS;
    header[9] = PROTOCOL_UDP;
    memcpy(header + 12, own.ipv4, 4);
    memcpy(header + 16, peer->address, 4);
    put16(header + 10, ~add_up(0, header, IPV4));
    put16(body, MANAGEMENT_PORT);
    put16(body + 2, peer->port);
    put16(body + 4, (uint32_t)whole);
    memcpy(body + UDP, data, length);
    uint32_t sum = datagram_sum(header + 12, body, whole);
    put16(body + 6, sum == 0xffff ? sum : ~sum);
    return packet_send(out, NETWORK_HEADERS + length, peer->wire);
}

/* The VXLAN tunnel of a storage card, behind which targets may be. */
#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "command.h"
#include "hal/registers.h"
#include "policy.h"

#if LAYOUT_VOLUME_TUNNEL
enum { ETHERNET = 14, IPV4 = 20, UDP = 8, VXLAN = 8, OUTER = ETHERNET + IPV4 + UDP + VXLAN };

/* The outer header (RFC 7348, 5): the card fills in what depends on a frame. */
static void write_tunnel(uint32_t vni, const uint8_t remote[4], const uint8_t next_hop[6])
{
    enum { SOURCE_PORT = 49152, VXLAN_PORT = 4789 };
    static const uint8_t ip[] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17};
    const struct addresses *own = &policy()->addresses;
    uint8_t header[OUTER + 2] = {0}, *at = header + ETHERNET;
    memcpy(header, next_hop, 6);
    memcpy(header + 6, own->mac, 6);
    put16(header + 12, 0x0800);
    memcpy(at, ip, sizeof ip);
    memcpy(at + 12, own->ipv4, 4);
    memcpy(at + 16, remote, 4);
    /* Where the checksum will be, the sum of all else without the length. */
    uint32_t sum = 0;
    for (unsigned n = 0; n < IPV4; n += 2)
        sum += get16(at + n);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(at + 10, (sum & 0xffff) + (sum >> 16));
    put16(at + IPV4, SOURCE_PORT);
    put16(at + IPV4 + 2, VXLAN_PORT);
    at[IPV4 + UDP] = 0x08;
    put32(at + IPV4 + UDP + 4, vni << 8);
    for (unsigned n = 0; n < sizeof header; n += 4)
        register_write(
            CARD_STORAGE_TUNNEL_WORDS + n,
            header[n] | (uint32_t)header[n + 1] << 8 | (uint32_t)header[n + 2] << 16
                | (uint32_t)header[n + 3] << 24
        );
}
#endif

enum status volume_tunnel(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t vni;
    uint8_t remote[4], next_hop[6];
    if (!zcbor_uint32_decode(in, &vni) || !command_bytes(in, remote, 4)
        || !command_bytes(in, next_hop, 6) || !command_end(in))
        return STATUS_MALFORMED;
    if (vni >= 1u << 24 || next_hop[0] & 1)
        return STATUS_RANGE;
#if LAYOUT_VOLUME_TUNNEL
    write_tunnel(vni, remote, next_hop);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
#else
    (void)out;
    return STATUS_UNSUPPORTED;
#endif
}

#include "tunnel.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "hal/registers.h"
#include "peers.h"

/* Where things stand in an outer header (niter.net.encapsulate). */
enum {
    IP = 14,
    UDP4 = IP + 20,
    UDP6 = IP + 40,
    BEAT = 8,
    BEATS4 = (UDP4 + 16 + 7) / BEAT,
    BEATS6 = (UDP6 + 16 + 7) / BEAT,
    PORT_VXLAN = 4789,
    PORT_GENEVE = 6081,
    KINDS = 4, /* IPv4 or IPv6, VXLAN or GENEVE. */
};

static struct addresses own;
static struct tunnel tunnels[LAYOUT_TUNNELS];
/* The template of each kind, plus 1; 0 when it has none yet. */
static uint8_t templates[KINDS];
static uint8_t template_count;

static const uint8_t own_beats4[] = {0, 3, 4}, own_beats6[] = {0, 4, 5, 6};

/* A row of the table: eight bytes in two words, the first byte lowest. */
static void write_row(uint32_t row, uint32_t low, uint32_t high)
{
    register_write(CARD_OVERLAY_TRANSMIT_ENCAPSULATE_WORDS + 4 * row, low);
    register_write(CARD_OVERLAY_TRANSMIT_ENCAPSULATE_WORDS + 4 * (LAYOUT_TUNNEL_ROWS + row), high);
}

static uint32_t little(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void write_beat(uint32_t row, const uint8_t *from)
{
    write_row(row, little(from), little(from + 4));
}

void tunnel_open(const struct addresses *addresses)
{
    own = *addresses;
    memset(tunnels, 0, sizeof tunnels);
    memset(templates, 0, sizeof templates);
    template_count = 0;
    if (LAYOUT_PEERS)
        peers_clear();
}

static void header_of(const struct tunnel *tunnel, uint8_t header[BEATS6 * BEAT])
{
    bool six = tunnel->version == 6;
    memset(header, 0, BEATS6 * BEAT);
    memcpy(header, tunnel->next_hop, 6);
    memcpy(header + 6, own.mac, 6);
    put16(header + 12, six ? 0x86dd : 0x0800);
    uint8_t *ip = header + IP;
    if (six) {
        ip[0] = 0x60;
        ip[6] = 17;
        ip[7] = 64;
        memcpy(ip + 8, own.ipv6, 16);
        memcpy(ip + 24, tunnel->remote, 16);
    } else {
        ip[0] = 0x45;
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = 17;
        memcpy(ip + 12, own.ipv4, 4);
        memcpy(ip + 16, tunnel->remote, 4);
    }
    uint8_t *udp = header + (six ? UDP6 : UDP4);
    put16(udp + 2, tunnel->geneve ? PORT_GENEVE : PORT_VXLAN);
    /* GENEVE's payload is Ethernet; VXLAN's flag says that there is a network identifier. */
    put32(udp + 8, tunnel->geneve ? 0x6558 : 0x08000000);
}

static bool own_beat(unsigned beat, bool six)
{
    const uint8_t *beats = six ? own_beats6 : own_beats4;
    for (unsigned n = 0; n < (six ? sizeof own_beats6 : sizeof own_beats4); n++)
        if (beats[n] == beat)
            return true;
    return false;
}

/* Where a beat of the tunnel's own stands in its record. */
static unsigned place_of(unsigned beat)
{
    return LAYOUT_TUNNEL_WORDS == 8 ? beat : beat - ((beat >> 1 | beat >> 2) & 1);
}

static unsigned kind_of(const struct tunnel *tunnel)
{
    return (tunnel->version == 6) + 2u * tunnel->geneve;
}

bool tunnel_possible(const struct tunnel *tunnel)
{
    static const uint8_t nothing[16];
    bool six = tunnel->version == 6;
    return (LAYOUT_IPV6 || !six) && (LAYOUT_GENEVE || !tunnel->geneve) && tunnel->port < LAYOUT_PORTS
        && !(tunnel->next_hop[0] & 1)
        && memcmp(six ? own.ipv6 : own.ipv4, nothing, six ? 16 : 4)
        && memcmp(tunnel->remote, nothing, six ? 16 : 4);
}

static bool take_template(const struct tunnel *tunnel, const uint8_t *header)
{
    bool six = tunnel->version == 6;
    uint8_t *template = &templates[kind_of(tunnel)];
    if (*template)
        return true;
    if (template_count == LAYOUT_TEMPLATES)
        return false;
    for (unsigned beat = 0; beat < (six ? BEATS6 : BEATS4); beat++)
        if (!own_beat(beat, six))
            write_beat(template_count * LAYOUT_TEMPLATE_WORDS + beat, header + BEAT * beat);
    *template = ++template_count;
    return true;
}

int tunnel_take(const struct tunnel *tunnel)
{
    int index = -1;
    for (unsigned n = LAYOUT_TUNNELS; n--;) {
        if (!tunnels[n].version)
            index = (int)n;
        else if (!memcmp(&tunnels[n], tunnel, sizeof *tunnel))
            return (int)n;
    }
    uint8_t header[BEATS6 * BEAT];
    header_of(tunnel, header);
    if (index < 0 || !take_template(tunnel, header)
        || (LAYOUT_PEERS && !peers_admit((unsigned)index, tunnel)))
        return -1;
    bool six = tunnel->version == 6;
    uint32_t base = LAYOUT_TUNNEL_BASE + (uint32_t)index * LAYOUT_TUNNEL_WORDS, partial = 0;
    for (unsigned beat = 0; beat < (six ? BEATS6 : BEATS4); beat++)
        if (own_beat(beat, six))
            write_beat(base + place_of(beat), header + BEAT * beat);
    for (unsigned at = IP; !six && at < UDP4; at += 2)
        partial += get16(header + at);
    write_row(
        base + LAYOUT_TUNNEL_DESCRIPTOR,
        partial % 0xffff << LAYOUT_DESCRIPTOR_PARTIAL
            | (uint32_t)(templates[kind_of(tunnel)] - 1) << LAYOUT_DESCRIPTOR_TEMPLATE
            | (uint32_t)tunnel->port << LAYOUT_DESCRIPTOR_PORT | (uint32_t)six << LAYOUT_DESCRIPTOR_IPV6
            | (uint32_t)tunnel->checksum << LAYOUT_DESCRIPTOR_CHECKSUM,
        0
    );
    tunnels[index] = *tunnel;
    return index;
}

void tunnel_drop(unsigned index)
{
    if (LAYOUT_PEERS)
        peers_expel(index);
    memset(&tunnels[index], 0, sizeof tunnels[index]);
}

const struct tunnel *tunnel_at(unsigned index)
{
    return index < LAYOUT_TUNNELS && tunnels[index].version ? &tunnels[index] : NULL;
}

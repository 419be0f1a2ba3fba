#include "peers.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "hal/registers.h"

/* Sets (niter.net.peers): of IPv4 addresses in the first half, in the second of one IPv6 address. */
enum {
    SIZE = LAYOUT_PEERS,
    WAYS = LAYOUT_PEER_WAYS,
    SETS = SIZE / WAYS,
    HALVES = 1 + LAYOUT_IPV6,
};

/* Where in its set the far end of each tunnel stands. */
static uint8_t ways[LAYOUT_TUNNELS];

static void write_word(unsigned word, uint32_t value)
{
    register_write(CARD_OVERLAY_TUNNEL_PEERS_WORDS + 4 * word, value);
}

/* The first word of an address' set, which its low bits choose. */
static unsigned set_of(const struct tunnel *tunnel)
{
    bool six = tunnel->version == 6;
    unsigned last = tunnel->remote[six ? 15 : 3];
    return (six ? SIZE : 0u) + WAYS * (last % SETS);
}

static bool same(const struct tunnel *one, const struct tunnel *other)
{
    return one->version == other->version
        && !memcmp(one->remote, other->remote, sizeof one->remote);
}

void peers_clear(void)
{
    for (unsigned word = 0; word < HALVES * SIZE; word++)
        write_word(word, 0);
}

bool peers_admit(unsigned index, const struct tunnel *tunnel)
{
    unsigned set = set_of(tunnel), taken = 0, way = 0;
    for (unsigned n = 0; n < LAYOUT_TUNNELS; n++) {
        const struct tunnel *other = tunnel_at(n);
        if (!other || set_of(other) != set)
            continue;
        if (same(tunnel, other)) {
            ways[index] = ways[n];
            return true;
        }
        taken |= 1u << ways[n];
    }
    if (tunnel->version == 6) {
        if (taken)
            return false;
        for (unsigned n = 0; n < WAYS; n++)
            write_word(set + n, get32(tunnel->remote + 4 * (WAYS - 1 - n)));
    } else {
        while (taken >> way & 1)
            way++;
        if (way == WAYS)
            return false;
        write_word(set + way, get32(tunnel->remote));
    }
    ways[index] = (uint8_t)way;
    return true;
}

void peers_expel(unsigned index)
{
    const struct tunnel *tunnel = tunnel_at(index);
    for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
        if (n != index && tunnel_at(n) && same(tunnel_at(n), tunnel))
            return;
    for (unsigned n = 0; n < (tunnel->version == 6 ? WAYS : 1); n++)
        write_word(set_of(tunnel) + ways[index] + n, 0);
}

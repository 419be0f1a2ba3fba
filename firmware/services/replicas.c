#include "replicas.h"

#include <string.h>

#include "card_layout.h"
#include "card_registers.h"
#include "hal/registers.h"
#include "mapping.h"
#include "ports.h"
#include "station.h"
#include "tunnel.h"

enum { FUNCTIONS = LAYOUT_NETWORK_FUNCTIONS };

static uint32_t list_of(unsigned function)
{
    return CARD_OVERLAY_TRANSMIT_REPLICATE_WORDS + 4 * function * LAYOUT_REPLICAS;
}

void replicas_clear(unsigned function)
{
    register_write(list_of(function), 0);
}

/* The tunnels that a network's entries use, as bits. */
static void tunnels_of(uint32_t vni, uint8_t used[LAYOUT_TUNNELS])
{
    unsigned network = mapping_network(vni), target;
    memset(used, 0, LAYOUT_TUNNELS);
    for (unsigned slot = 0; slot < LAYOUT_MAPPING_SLOTS; slot++) {
        station_pass(slot);
        if (mapping_kind(slot) == LAYOUT_KIND_MAC
            && (mapping_network_at(slot) == network || vni == LAYOUT_UNDERLAY_VNI)
            && (target = mapping_value(slot, 0)) < LAYOUT_TUNNELS)
            used[target] = 1;
    }
}

/* Whether another open port than this is in the network. */
static bool shared(uint32_t vni, unsigned except)
{
    for (unsigned n = 0; n < FUNCTIONS; n++)
        if (n != except && port_in(n, vni))
            return true;
    return false;
}

void replicas_write(uint32_t vni)
{
    uint8_t used[LAYOUT_TUNNELS];
    tunnels_of(vni, used);
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        if (!port_in(function, vni))
            continue;
        uint32_t members[LAYOUT_REPLICAS];
        unsigned count = 0;
        for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
            if (used[n] && count < LAYOUT_REPLICAS)
                members[count++] = n | 1 << 16;
        if (shared(vni, function) && count < LAYOUT_REPLICAS)
            members[count++] = LAYOUT_LOCAL | 1 << 16;
        uint32_t base = list_of(function);
        if (count < LAYOUT_REPLICAS)
            register_write(base + 4 * count, 0);
        while (count--)
            register_write(base + 4 * count, members[count]);
    }
}

bool replicas_crowded(uint32_t vni, int tunnel)
{
    uint8_t used[LAYOUT_TUNNELS];
    tunnels_of(vni, used);
    if (tunnel >= 0)
        used[tunnel] = 1;
    unsigned count = 1;
    for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
        count += used[n];
    return count > LAYOUT_REPLICAS;
}

void replicas_sweep(void)
{
    uint8_t used[LAYOUT_TUNNELS];
    tunnels_of(LAYOUT_UNDERLAY_VNI, used);
    for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
        if (!used[n] && tunnel_at(n))
            tunnel_drop(n);
}

#include "station.h"

#include <string.h>

#include "bytes.h"
#include "crypto/job.h"

bool station_addresses(zcbor_state_t *in, struct station *station)
{
    struct zcbor_string address;
    if (!zcbor_list_start_decode(in))
        return false;
    while (!zcbor_array_at_end(in)) {
        if (!zcbor_bstr_decode(in, &address))
            return false;
        if (address.len == 4 && station->count4 < LAYOUT_ADDRESSES)
            memcpy(station->ipv4[station->count4++], address.value, 4);
        else if (address.len == 16 && station->count6 < LAYOUT_ADDRESSES && LAYOUT_IPV6)
            memcpy(station->ipv6[station->count6++], address.value, 16);
        else
            return false;
    }
    return zcbor_list_end_decode(in);
}

bool station_possible(const struct station *station)
{
    static const uint8_t nothing[6];
    return station->vni < LAYOUT_UNDERLAY_VNI && !(station->mac[0] & 1)
        && memcmp(station->mac, nothing, 6);
}

static void mac_key(const uint8_t mac[6], uint16_t key[3])
{
    for (unsigned n = 0; n < 3; n++)
        key[n] = get16(mac + 4 - 2 * n);
}

struct mapping station_entry(uint32_t vni, const uint8_t mac[6], unsigned target)
{
    struct mapping entry = {.kind = LAYOUT_KIND_MAC, .vni = vni, .value = {(uint16_t)target}};
    mac_key(mac, entry.key);
    return entry;
}

bool station_neighbour(uint32_t vni, const uint8_t *address, size_t length, const uint8_t mac[6])
{
    struct mapping entry = {.kind = length == 4 ? LAYOUT_KIND_IPV4 : LAYOUT_KIND_IPV6, .vni = vni};
    for (size_t n = 0; n < length / 2; n++)
        entry.key[n] = get16(address + length - 2 - 2 * n);
    for (unsigned n = 0; n < 3; n++)
        entry.value[n] = get16(mac + 2 * n);
    return mapping_put(&entry);
}

bool station_learn(const struct station *station, unsigned target)
{
    struct mapping entry = station_entry(station->vni, station->mac, target);
    bool good = mapping_put(&entry);
    for (unsigned n = 0; good && n < station->count4; n++)
        good = station_neighbour(station->vni, station->ipv4[n], 4, station->mac);
    for (unsigned n = 0; good && n < station->count6; n++)
        good = station_neighbour(station->vni, station->ipv6[n], 16, station->mac);
    if (!good)
        station_forget(station->vni, station->mac);
    return good;
}

void station_pass(unsigned slot)
{
    if (slot % 32 == 0)
        job_point();
}

void station_forget(uint32_t vni, const uint8_t mac[6])
{
    struct mapping entry = station_entry(vni, mac, 0);
    unsigned network = mapping_network(vni);
    mapping_remove(&entry);
    for (unsigned slot = 0; slot < LAYOUT_MAPPING_SLOTS; slot++) {
        station_pass(slot);
        unsigned kind = mapping_kind(slot);
        if (kind && kind != LAYOUT_KIND_MAC && mapping_network_at(slot) == network
            && mapping_value(slot, 2) == get16(mac + 4) && mapping_value(slot, 1) == get16(mac + 2)
            && mapping_value(slot, 0) == get16(mac) && mapping_at(slot, &entry))
            mapping_remove(&entry);
    }
}

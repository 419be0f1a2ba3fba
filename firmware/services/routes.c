/* Routes: stations behind tunnels, as the commands say, and what there is in the table. */
#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "command.h"
#include "mapping.h"
#include "replicas.h"
#include "station.h"
#include "tunnel.h"

static bool decode_tunnel(zcbor_state_t *in, struct tunnel *tunnel)
{
    struct zcbor_string remote;
    uint32_t port;
    if (!zcbor_list_start_decode(in) || !zcbor_bstr_decode(in, &remote)
        || (remote.len != 4 && remote.len != 16) || !command_bytes(in, tunnel->next_hop, 6)
        || !zcbor_uint32_decode(in, &port) || port > UINT8_MAX
        || !zcbor_bool_decode(in, &tunnel->geneve) || !zcbor_bool_decode(in, &tunnel->checksum)
        || !zcbor_list_end_decode(in))
        return false;
    tunnel->version = remote.len == 4 ? 4 : 6;
    memcpy(tunnel->remote, remote.value, remote.len);
    tunnel->port = (uint8_t)port;
    return true;
}

enum status route_set(zcbor_state_t *in, zcbor_state_t *out)
{
    struct station station = {0};
    struct tunnel tunnel;
    memset(&tunnel, 0, sizeof tunnel);
    if (!zcbor_uint32_decode(in, &station.vni) || !command_bytes(in, station.mac, 6)
        || !decode_tunnel(in, &tunnel) || !station_addresses(in, &station) || !command_end(in))
        return STATUS_MALFORMED;
    if (!station_possible(&station) || !tunnel_possible(&tunnel))
        return STATUS_RANGE;
    struct mapping entry = station_entry(station.vni, station.mac, 0);
    if (mapping_find(&entry) && entry.value[0] == LAYOUT_LOCAL)
        return STATUS_STATE;
    int index = tunnel_take(&tunnel);
    bool good = index >= 0 && !replicas_crowded(station.vni, index);
    if (good) {
        station_forget(station.vni, station.mac);
        good = station_learn(&station, (unsigned)index);
        replicas_write(station.vni);
    }
    replicas_sweep();
    if (!good)
        return STATUS_FULL;
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status route_remove(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t vni;
    uint8_t mac[6];
    if (!zcbor_uint32_decode(in, &vni) || !command_bytes(in, mac, 6) || !command_end(in))
        return STATUS_MALFORMED;
    struct mapping entry = station_entry(vni, mac, 0);
    if (!mapping_find(&entry) || entry.value[0] == LAYOUT_LOCAL)
        return STATUS_MISSING;
    station_forget(vni, mac);
    replicas_write(vni);
    replicas_sweep();
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status route_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 16 };
    uint32_t slot;
    unsigned count = 0;
    struct mapping entry;
    if (!zcbor_uint32_decode(in, &slot) || !command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 2) && zcbor_list_start_encode(out, AT_ONCE);
    for (; good && slot < LAYOUT_MAPPING_SLOTS && count < AT_ONCE; slot++) {
        if (!mapping_at(slot, &entry) || entry.vni == LAYOUT_UNDERLAY_VNI)
            continue;
        uint8_t key[16], value[6];
        unsigned words = mapping_key_words(entry.kind);
        for (unsigned n = 0; n < words; n++)
            put16(key + 2 * (words - 1 - n), entry.key[n]);
        for (unsigned n = 0; n < 3; n++)
            put16(value + 2 * n, entry.value[n]);
        good = zcbor_list_start_encode(out, 3) && zcbor_uint32_put(out, entry.vni)
            && command_put_bytes(out, key, 2 * words)
            && (entry.kind == LAYOUT_KIND_MAC ? zcbor_uint32_put(out, entry.value[0])
                                              : command_put_bytes(out, value, 6))
            && zcbor_list_end_encode(out, 3);
        count++;
    }
    return command_page_end(out, AT_ONCE, good, slot, LAYOUT_MAPPING_SLOTS);
}

enum status tunnel_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 16 };
    uint32_t index;
    unsigned count = 0;
    if (!zcbor_uint32_decode(in, &index) || !command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 2) && zcbor_list_start_encode(out, AT_ONCE);
    for (; good && index < LAYOUT_TUNNELS && count < AT_ONCE; index++) {
        const struct tunnel *tunnel = tunnel_at(index);
        if (!tunnel)
            continue;
        good = zcbor_list_start_encode(out, 6) && zcbor_uint32_put(out, index)
            && command_put_bytes(out, tunnel->remote, tunnel->version == 4 ? 4 : 16)
            && command_put_bytes(out, tunnel->next_hop, 6) && zcbor_uint32_put(out, tunnel->port)
            && zcbor_bool_put(out, tunnel->geneve) && zcbor_bool_put(out, tunnel->checksum)
            && zcbor_list_end_encode(out, 6);
        count++;
    }
    return command_page_end(out, AT_ONCE, good, index, LAYOUT_TUNNELS);
}

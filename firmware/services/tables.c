/* Ports and routes: what the commands say, into the overlay's tables. */
#include "tables.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "command.h"
#include "crypto/job.h"
#include "hal/card.h"
#include "hal/registers.h"
#include "log.h"
#include "macs.h"
#include "mapping.h"
#include "tunnel.h"

enum {
    FUNCTIONS = LAYOUT_FUNCTIONS,
    ADDRESSES = LAYOUT_ADDRESSES,
    OUTER = LAYOUT_IPV6 ? 14 + 40 + 8 + 8 : 14 + 20 + 8 + 8,
    LINK_UP = 1 << 16,
};

static struct port {
    bool open;
    uint8_t mac[6];
    uint32_t vni;
    uint8_t ipv4[ADDRESSES][4], ipv6[ADDRESSES][16];
    uint8_t count4, count6;
} ports[FUNCTIONS];

static void write_words(uint32_t at, const uint8_t *from, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        register_write(at + 4 * n, get32(from + 4 * n));
}

static void source(unsigned function, unsigned word, uint32_t value)
{
    register_write(
        CARD_OVERLAY_TRANSMIT_CLASSIFY_PORTS_WORDS + 4 * (function * LAYOUT_RECORD_WORDS + word), value
    );
}

static void steer(unsigned function, unsigned word, uint32_t value)
{
    register_write(
        CARD_OVERLAY_RECEIVE_STEER_WORDS + 4 * (function * LAYOUT_STEER_WORDS + word), value
    );
}

static void configuration(unsigned function, unsigned word, uint32_t value)
{
    register_write(
        CARD_NET_CONFIG_SELECT,
        REGISTER_FIELD(CARD_NET_CONFIG_SELECT_WORD, word)
            | REGISTER_FIELD(CARD_NET_CONFIG_SELECT_FUNCTION, function)
    );
    register_write(CARD_NET_CONFIG_VALUE, value);
}

/* What the driver sees: its MAC address, in memory order, and whether the link is up. */
static void show(unsigned function, const uint8_t mac[6], bool up)
{
    configuration(
        function, 0,
        (uint32_t)mac[3] << 24 | (uint32_t)mac[2] << 16 | (uint32_t)mac[1] << 8 | mac[0]
    );
    configuration(function, 1, (uint32_t)mac[5] << 8 | mac[4] | (up ? LINK_UP : 0));
}

static void close_port(unsigned function)
{
    source(function, LAYOUT_RECORD_MAC_HIGH, 0);
    steer(function, LAYOUT_RECORD_MAC_HIGH, 0);
    show(function, ports[function].mac, false);
}

static void mac_key(const uint8_t mac[6], uint16_t key[3])
{
    for (unsigned n = 0; n < 3; n++)
        key[n] = get16(mac + 4 - 2 * n);
}

static struct mapping forward(uint32_t vni, const uint8_t mac[6], unsigned target)
{
    struct mapping entry = {.kind = LAYOUT_KIND_MAC, .vni = vni, .value = {(uint16_t)target}};
    mac_key(mac, entry.key);
    return entry;
}

static struct mapping neighbour(uint32_t vni, const uint8_t *address, unsigned length, const uint8_t mac[6])
{
    struct mapping entry = {.kind = length == 4 ? LAYOUT_KIND_IPV4 : LAYOUT_KIND_IPV6, .vni = vni};
    for (unsigned n = 0; n < length / 2; n++)
        entry.key[n] = get16(address + length - 2 - 2 * n);
    for (unsigned n = 0; n < 3; n++)
        entry.value[n] = get16(mac + 2 * n);
    return entry;
}

void tables_open(const struct addresses *own)
{
    static const uint8_t nothing[16];
    memset(ports, 0, sizeof ports);
    mapping_clear();
    tunnel_open(own);
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        close_port(function);
        register_write(
            CARD_OVERLAY_TRANSMIT_REPLICATE_WORDS + 4 * function * LAYOUT_REPLICAS, 0
        );
    }
    if (memcmp(own->mac, nothing, 6)) {
        register_write(CARD_OVERLAY_TUNNEL_WORDS + 4 * LAYOUT_ENDPOINT_MAC, get16(own->mac));
        write_words(CARD_OVERLAY_TUNNEL_WORDS + 4 * (LAYOUT_ENDPOINT_MAC + 1), own->mac + 2, 1);
        write_words(CARD_OVERLAY_TUNNEL_WORDS + 4 * LAYOUT_ENDPOINT_IPV4, own->ipv4, 1);
        write_words(CARD_OVERLAY_TUNNEL_WORDS + 4 * LAYOUT_ENDPOINT_IPV6, own->ipv6, 4);
        struct mapping entry = neighbour(LAYOUT_UNDERLAY_VNI, own->ipv4, 4, own->mac);
        if (memcmp(own->ipv4, nothing, 4))
            mapping_put(&entry);
        entry = neighbour(LAYOUT_UNDERLAY_VNI, own->ipv6, 16, own->mac);
        if (LAYOUT_IPV6 && memcmp(own->ipv6, nothing, 16))
            mapping_put(&entry);
        register_write(
            CARD_OVERLAY_TRANSMIT_SIZE_LIMIT,
            REGISTER_FIELD(CARD_OVERLAY_TRANSMIT_SIZE_LIMIT_FRAME, LAYOUT_FRAME_BYTES - OUTER)
        );
        macs_start();
    }
    card_release((1u << FUNCTIONS) - 1);
}

/* On the way through all slots: give way now and then. */
static void pass(unsigned slot)
{
    if (slot % 32 == 0)
        job_point();
}

/* The tunnels that a network's entries use, as bits. */
static void tunnels_of(uint32_t vni, uint8_t used[LAYOUT_TUNNELS])
{
    unsigned network = mapping_network(vni), target;
    memset(used, 0, LAYOUT_TUNNELS);
    for (unsigned slot = 0; slot < LAYOUT_SLOTS; slot++) {
        pass(slot);
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
        if (n != except && ports[n].open && ports[n].vni == vni)
            return true;
    return false;
}

/*
 * Write the replication lists of a network's ports: every tunnel that leads to it, and this card when
 * it has more than one port there. A list is written from its end, so that it is never too long.
 */
static void replicate(uint32_t vni)
{
    uint8_t used[LAYOUT_TUNNELS];
    tunnels_of(vni, used);
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        if (!ports[function].open || ports[function].vni != vni)
            continue;
        uint32_t members[LAYOUT_REPLICAS];
        unsigned count = 0;
        for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
            if (used[n] && count < LAYOUT_REPLICAS)
                members[count++] = n | 1 << 16;
        if (shared(vni, function) && count < LAYOUT_REPLICAS)
            members[count++] = LAYOUT_LOCAL | 1 << 16;
        uint32_t base = CARD_OVERLAY_TRANSMIT_REPLICATE_WORDS + 4 * function * LAYOUT_REPLICAS;
        if (count < LAYOUT_REPLICAS)
            register_write(base + 4 * count, 0);
        while (count--)
            register_write(base + 4 * count, members[count]);
    }
}

/* Whether one more tunnel would make the network's replication lists too long. */
static bool crowded(uint32_t vni, int tunnel)
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

/* Give back the tunnels that no entry of any network uses. */
static void sweep(void)
{
    uint8_t used[LAYOUT_TUNNELS];
    tunnels_of(LAYOUT_UNDERLAY_VNI, used);
    for (unsigned n = 0; n < LAYOUT_TUNNELS; n++)
        if (!used[n] && tunnel_at(n))
            tunnel_drop(n);
}

/* Remove what the table says about a station: its own entry, and those of its addresses. */
static void forget(uint32_t vni, const uint8_t mac[6])
{
    struct mapping entry = forward(vni, mac, 0);
    unsigned network = mapping_network(vni);
    mapping_remove(&entry);
    for (unsigned slot = 0; slot < LAYOUT_SLOTS; slot++) {
        pass(slot);
        unsigned kind = mapping_kind(slot);
        if (kind && kind != LAYOUT_KIND_MAC && mapping_network_at(slot) == network
            && mapping_value(slot, 2) == get16(mac + 4) && mapping_value(slot, 1) == get16(mac + 2)
            && mapping_value(slot, 0) == get16(mac) && mapping_at(slot, &entry))
            mapping_remove(&entry);
    }
}

static bool unicast(const uint8_t mac[6])
{
    static const uint8_t nothing[6];
    return !(mac[0] & 1) && memcmp(mac, nothing, 6);
}

static bool learn_port(const struct port *port)
{
    struct mapping entry = forward(port->vni, port->mac, LAYOUT_LOCAL);
    bool good = mapping_put(&entry);
    for (unsigned n = 0; n < port->count4; n++) {
        entry = neighbour(port->vni, port->ipv4[n], 4, port->mac);
        good = good && mapping_put(&entry);
    }
    for (unsigned n = 0; n < port->count6; n++) {
        entry = neighbour(port->vni, port->ipv6[n], 16, port->mac);
        good = good && mapping_put(&entry);
    }
    return good;
}

static void open_port(unsigned function)
{
    const struct port *port = &ports[function];
    static const uint8_t nothing[16];
    uint32_t base = CARD_OVERLAY_TRANSMIT_CLASSIFY_PORTS_WORDS + 4 * function * LAYOUT_RECORD_WORDS;
    uint32_t high = get16(port->mac) | LAYOUT_RECORD_OPEN
        | mapping_network(port->vni) << LAYOUT_RECORD_NETWORK;
    for (unsigned n = 0; n < ADDRESSES; n++) {
        write_words(
            base + 4 * (LAYOUT_RECORD_IPV4 + n), n < port->count4 ? port->ipv4[n] : nothing, 1
        );
        if (LAYOUT_IPV6)
            write_words(
                base + 4 * (LAYOUT_RECORD_IPV6 + 4 * n), n < port->count6 ? port->ipv6[n] : nothing, 4
            );
    }
    source(function, LAYOUT_RECORD_MAC_LOW, get32(port->mac + 2));
    steer(function, LAYOUT_RECORD_MAC_LOW, get32(port->mac + 2));
    source(function, LAYOUT_RECORD_VNI, port->vni);
    steer(function, LAYOUT_RECORD_VNI, port->vni);
    source(function, LAYOUT_RECORD_MAC_HIGH, high);
    steer(function, LAYOUT_RECORD_MAC_HIGH, high);
    show(function, port->mac, true);
}

static void remove_port(unsigned function)
{
    struct port *port = &ports[function];
    if (!port->open)
        return;
    close_port(function);
    forget(port->vni, port->mac);
    port->open = false;
    replicate(port->vni);
}

static bool decode_addresses(zcbor_state_t *in, struct port *port)
{
    struct zcbor_string address;
    if (!zcbor_list_start_decode(in))
        return false;
    while (!zcbor_array_at_end(in)) {
        if (!zcbor_bstr_decode(in, &address))
            return false;
        if (address.len == 4 && port->count4 < ADDRESSES)
            memcpy(port->ipv4[port->count4++], address.value, 4);
        else if (address.len == 16 && port->count6 < ADDRESSES && LAYOUT_IPV6)
            memcpy(port->ipv6[port->count6++], address.value, 16);
        else
            return false;
    }
    return zcbor_list_end_decode(in);
}

enum status port_set(zcbor_state_t *in, zcbor_state_t *out)
{
    struct port port = {.open = true};
    uint32_t function, rate;
    if (!zcbor_uint32_decode(in, &function) || !command_bytes(in, port.mac, 6)
        || !zcbor_uint32_decode(in, &port.vni) || !decode_addresses(in, &port)
        || !zcbor_uint32_decode(in, &rate) || !command_end(in))
        return STATUS_MALFORMED;
    if (function >= FUNCTIONS || port.vni >= LAYOUT_UNDERLAY_VNI || !unicast(port.mac))
        return STATUS_RANGE;
    /* The overlay has no meters. */
    if (rate)
        return STATUS_UNSUPPORTED;
    struct mapping entry = forward(port.vni, port.mac, 0);
    bool mine = ports[function].open && ports[function].vni == port.vni
        && !memcmp(ports[function].mac, port.mac, 6);
    if (mapping_find(&entry) && !mine)
        return STATUS_STATE;
    remove_port(function);
    if (!learn_port(&port)) {
        forget(port.vni, port.mac);
        return STATUS_FULL;
    }
    ports[function] = port;
    open_port(function);
    replicate(port.vni);
    log_event(EVENT_PORT, function);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status port_remove(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t function;
    if (!zcbor_uint32_decode(in, &function) || !command_end(in))
        return STATUS_MALFORMED;
    if (function >= FUNCTIONS)
        return STATUS_RANGE;
    if (!ports[function].open)
        return STATUS_MISSING;
    remove_port(function);
    log_event(EVENT_PORT_CLOSED, function);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

static bool put_bytes(zcbor_state_t *out, const uint8_t *from, size_t length)
{
    return zcbor_bstr_encode_ptr(out, (const char *)from, length);
}

/* End a page of a list, and say where the next one begins. */
static enum status
end_page(zcbor_state_t *out, size_t at_once, bool good, uint32_t next, uint32_t end)
{
    good = good && zcbor_list_end_encode(out, at_once)
        && (next < end ? zcbor_uint32_put(out, next) : zcbor_nil_put(out, NULL));
    return good && zcbor_list_end_encode(out, 2) ? STATUS_OK : STATUS_RANGE;
}

enum status port_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 4 };
    uint32_t function;
    unsigned count = 0;
    if (!zcbor_uint32_decode(in, &function) || !command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 2) && zcbor_list_start_encode(out, AT_ONCE);
    for (; good && function < FUNCTIONS && count < AT_ONCE; function++) {
        const struct port *port = &ports[function];
        if (!port->open)
            continue;
        good = zcbor_list_start_encode(out, 5) && zcbor_uint32_put(out, function)
            && put_bytes(out, port->mac, 6) && zcbor_uint32_put(out, port->vni)
            && zcbor_list_start_encode(out, 2 * ADDRESSES);
        for (unsigned n = 0; good && n < port->count4; n++)
            good = put_bytes(out, port->ipv4[n], 4);
        for (unsigned n = 0; good && n < port->count6; n++)
            good = put_bytes(out, port->ipv6[n], 16);
        good = good && zcbor_list_end_encode(out, 2 * ADDRESSES) && zcbor_uint32_put(out, 0)
            && zcbor_list_end_encode(out, 5);
        count++;
    }
    return end_page(out, AT_ONCE, good, function, FUNCTIONS);
}

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
    /* Its addresses are a port's, as far as decoding goes. */
    struct port station = {0};
    struct tunnel tunnel;
    memset(&tunnel, 0, sizeof tunnel);
    if (!zcbor_uint32_decode(in, &station.vni) || !command_bytes(in, station.mac, 6)
        || !decode_tunnel(in, &tunnel) || !decode_addresses(in, &station) || !command_end(in))
        return STATUS_MALFORMED;
    if (station.vni >= LAYOUT_UNDERLAY_VNI || !unicast(station.mac) || !tunnel_possible(&tunnel))
        return STATUS_RANGE;
    struct mapping entry = forward(station.vni, station.mac, 0);
    if (mapping_find(&entry) && entry.value[0] == LAYOUT_LOCAL)
        return STATUS_STATE;
    int index = tunnel_take(&tunnel);
    bool good = index >= 0 && !crowded(station.vni, index);
    if (good) {
        forget(station.vni, station.mac);
        entry = forward(station.vni, station.mac, (unsigned)index);
        good = mapping_put(&entry);
        for (unsigned n = 0; good && n < station.count4; n++) {
            entry = neighbour(station.vni, station.ipv4[n], 4, station.mac);
            good = mapping_put(&entry);
        }
        for (unsigned n = 0; good && n < station.count6; n++) {
            entry = neighbour(station.vni, station.ipv6[n], 16, station.mac);
            good = mapping_put(&entry);
        }
        if (!good)
            forget(station.vni, station.mac);
        replicate(station.vni);
    }
    sweep();
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
    struct mapping entry = forward(vni, mac, 0);
    if (!mapping_find(&entry) || entry.value[0] == LAYOUT_LOCAL)
        return STATUS_MISSING;
    forget(vni, mac);
    replicate(vni);
    sweep();
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
    for (; good && slot < LAYOUT_SLOTS && count < AT_ONCE; slot++) {
        if (!mapping_at(slot, &entry) || entry.vni == LAYOUT_UNDERLAY_VNI)
            continue;
        uint8_t key[16], value[6];
        unsigned words = mapping_key_words(entry.kind);
        for (unsigned n = 0; n < words; n++)
            put16(key + 2 * (words - 1 - n), entry.key[n]);
        for (unsigned n = 0; n < 3; n++)
            put16(value + 2 * n, entry.value[n]);
        good = zcbor_list_start_encode(out, 3) && zcbor_uint32_put(out, entry.vni)
            && put_bytes(out, key, 2 * words)
            && (entry.kind == LAYOUT_KIND_MAC ? zcbor_uint32_put(out, entry.value[0])
                                              : put_bytes(out, value, 6))
            && zcbor_list_end_encode(out, 3);
        count++;
    }
    return end_page(out, AT_ONCE, good, slot, LAYOUT_SLOTS);
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
            && put_bytes(out, tunnel->remote, tunnel->version == 4 ? 4 : 16)
            && put_bytes(out, tunnel->next_hop, 6) && zcbor_uint32_put(out, tunnel->port)
            && zcbor_bool_put(out, tunnel->geneve) && zcbor_bool_put(out, tunnel->checksum)
            && zcbor_list_end_encode(out, 6);
        count++;
    }
    return end_page(out, AT_ONCE, good, index, LAYOUT_TUNNELS);
}

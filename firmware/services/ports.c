#include "ports.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "command.h"
#include "hal/registers.h"
#include "log.h"
#include "replicas.h"
#include "station.h"

/* Of the status, the second: the driver is to say where it is. */
enum { FUNCTIONS = LAYOUT_NETWORK_FUNCTIONS, LINK_UP = 1 << 16, ANNOUNCE = LAYOUT_SERVICES << 17 };

/* A copy: the card's own records cannot be read back. */
static struct port {
    bool open;
    struct station station;
} ports[FUNCTIONS];

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

/* What the driver sees: its MAC address, in memory order, and the link's status. */
static void show(unsigned function, const uint8_t mac[6], uint32_t status)
{
    configuration(
        function, 0,
        (uint32_t)mac[3] << 24 | (uint32_t)mac[2] << 16 | (uint32_t)mac[1] << 8 | mac[0]
    );
    configuration(function, 1, (uint32_t)mac[5] << 8 | mac[4] | status);
}

static void close_port(unsigned function)
{
    source(function, LAYOUT_RECORD_MAC_HIGH, 0);
    steer(function, LAYOUT_RECORD_MAC_HIGH, 0);
    show(function, ports[function].station.mac, 0);
}

void ports_close(void)
{
    memset(ports, 0, sizeof ports);
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        close_port(function);
        replicas_clear(function);
    }
}

bool port_in(unsigned function, uint32_t vni)
{
    return ports[function].open && ports[function].station.vni == vni;
}

bool port_owns(unsigned function, const uint8_t mac[6])
{
    return ports[function].open && !memcmp(ports[function].station.mac, mac, 6);
}

void port_announced(unsigned function)
{
    if (ports[function].open)
        show(function, ports[function].station.mac, LINK_UP);
}

static void open_port(unsigned function)
{
    const struct station *port = &ports[function].station;
    static const uint8_t nothing[16];
    uint32_t base = CARD_OVERLAY_TRANSMIT_CLASSIFY_PORTS_WORDS + 4 * function * LAYOUT_RECORD_WORDS;
    uint32_t high = get16(port->mac) | LAYOUT_RECORD_OPEN
        | mapping_network(port->vni) << LAYOUT_RECORD_NETWORK;
    for (unsigned n = 0; n < LAYOUT_ADDRESSES; n++) {
        bytes_to_registers(
            base + 4 * (LAYOUT_RECORD_IPV4 + n), n < port->count4 ? port->ipv4[n] : nothing, 1
        );
        if (LAYOUT_IPV6)
            bytes_to_registers(
                base + 4 * (LAYOUT_RECORD_IPV6 + 4 * n), n < port->count6 ? port->ipv6[n] : nothing, 4
            );
    }
    source(function, LAYOUT_RECORD_MAC_LOW, get32(port->mac + 2));
    steer(function, LAYOUT_RECORD_MAC_LOW, get32(port->mac + 2));
    source(function, LAYOUT_RECORD_VNI, port->vni);
    steer(function, LAYOUT_RECORD_VNI, port->vni);
    source(function, LAYOUT_RECORD_MAC_HIGH, high);
    steer(function, LAYOUT_RECORD_MAC_HIGH, high);
    show(function, port->mac, LINK_UP | ANNOUNCE);
}

static void remove_port(unsigned function)
{
    struct port *port = &ports[function];
    if (!port->open)
        return;
    close_port(function);
    station_forget(port->station.vni, port->station.mac);
    port->open = false;
    replicas_write(port->station.vni);
}

enum status port_set(zcbor_state_t *in, zcbor_state_t *out)
{
    struct station station = {0};
    uint32_t function, rate;
    if (!zcbor_uint32_decode(in, &function) || !command_bytes(in, station.mac, 6)
        || !zcbor_uint32_decode(in, &station.vni) || !station_addresses(in, &station)
        || !zcbor_uint32_decode(in, &rate) || !command_end(in))
        return STATUS_MALFORMED;
    if (function >= FUNCTIONS || !station_possible(&station))
        return STATUS_RANGE;
    /* The overlay has no meters. */
    if (rate)
        return STATUS_UNSUPPORTED;
    struct mapping entry = station_entry(station.vni, station.mac, 0);
    bool mine = port_in(function, station.vni)
        && !memcmp(ports[function].station.mac, station.mac, 6);
    if (mapping_find(&entry) && !mine)
        return STATUS_STATE;
    remove_port(function);
    if (!station_learn(&station, LAYOUT_LOCAL))
        return STATUS_FULL;
    ports[function] = (struct port){true, station};
    open_port(function);
    replicas_write(station.vni);
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

enum status port_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 4 };
    uint32_t function;
    unsigned count = 0;
    if (!zcbor_uint32_decode(in, &function) || !command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 2) && zcbor_list_start_encode(out, AT_ONCE);
    for (; good && function < FUNCTIONS && count < AT_ONCE; function++) {
        const struct station *port = &ports[function].station;
        if (!ports[function].open)
            continue;
        good = zcbor_list_start_encode(out, 5) && zcbor_uint32_put(out, function)
            && command_put_bytes(out, port->mac, 6) && zcbor_uint32_put(out, port->vni)
            && zcbor_list_start_encode(out, 2 * LAYOUT_ADDRESSES);
        for (unsigned n = 0; good && n < port->count4; n++)
            good = command_put_bytes(out, port->ipv4[n], 4);
        for (unsigned n = 0; good && n < port->count6; n++)
            good = command_put_bytes(out, port->ipv6[n], 16);
        good = good && zcbor_list_end_encode(out, 2 * LAYOUT_ADDRESSES) && zcbor_uint32_put(out, 0)
            && zcbor_list_end_encode(out, 5);
        count++;
    }
    return command_page_end(out, AT_ONCE, good, function, FUNCTIONS);
}

/*
 * What the mapping table says about a station, a port's or one behind a tunnel: where frames for it go,
 * and who has its addresses.
 */
#ifndef SERVICES_STATION_H
#define SERVICES_STATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zcbor_decode.h>

#include "card_layout.h"
#include "mapping.h"

struct station {
    uint32_t vni;
    uint8_t mac[6];
    uint8_t count4, count6;
    uint8_t ipv4[LAYOUT_ADDRESSES][4], ipv6[LAYOUT_ADDRESSES][16];
};

/* Read a station's addresses. False when they are none, or too many. */
bool station_addresses(zcbor_state_t *in, struct station *station);

/* Whether network and MAC address are such that a station can have them. */
bool station_possible(const struct station *station);

/* Its own entry: to a tunnel, or LAYOUT_LOCAL. */
struct mapping station_entry(uint32_t vni, const uint8_t mac[6], unsigned target);

/* Say who has an address of `length` bytes. False when there is no room. */
bool station_neighbour(uint32_t vni, const uint8_t *address, size_t length, const uint8_t mac[6]);

/* Enter all about a station. False, and it is forgotten, when there is no room for everything. */
bool station_learn(const struct station *station, unsigned target);

/* Remove what the table says about it: its own entry, and those of its addresses. */
void station_forget(uint32_t vni, const uint8_t mac[6]);

/* On the way through all slots: give way now and then. */
void station_pass(unsigned slot);

#endif

#include "control_queue.h"

#include <stdbool.h>
#include <stdint.h>

#include "card_layout.h"
#include "card_registers.h"
#include "hal/mailbox.h"
#include "hal/registers.h"
#include "hal/watchdog.h"
#include "hal/words.h"
#include "ports.h"

enum { OK, ERR };

/* Classes and commands (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.4). Multiqueue is answered in hardware. */
enum { RX, MAC, VLAN, ANNOUNCE };
/* Those of class RX are the filter's modes, by their bits. */
enum { RX_LAST = 5 };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };
enum { ANNOUNCE_ACK };

enum { HEAD = 2, ADDRESS = 6, COUNT = 4, VLANS = 4096, HASHES = 1 << LAYOUT_HASH_BITS };
enum { MOST_ADDRESSES = MAILBOX_MESSAGE / ADDRESS };

static struct modes {
    uint8_t generation; /* Of the function, as the mailbox counts its resets. */
    bool known;         /* There has been a command. */
    uint8_t on;         /* What its driver has asked for since the reset. */
    uint8_t mask;       /* None, if not all of that is known. */
} modes[LAYOUT_NETWORK_FUNCTIONS];

static void put(unsigned function, uint32_t value)
{
    register_write(
        CARD_NET_FILTER_TABLE, value | REGISTER_FIELD(CARD_NET_FILTER_TABLE_FUNCTION, function)
    );
}

/* Nothing from a place on is wanted: a cycle for each bit. */
static void clear(unsigned function, uint32_t place)
{
    put(function, place | CARD_NET_FILTER_TABLE_ONWARD_MASK);
    while (register_read(CARD_NET_FILTER_TABLE) & CARD_NET_FILTER_TABLE_BUSY_MASK)
        ;
}

static void apply(unsigned function, unsigned on)
{
    modes[function].on = (uint8_t)on;
    register_write(
        CARD_NET_FILTER_MODE,
        (on & modes[function].mask) | REGISTER_FIELD(CARD_NET_FILTER_MODE_FUNCTION, function)
    );
}

/* As the hardware has it: groups of bits from the low end of the first byte on, by exclusive or. */
static inline unsigned hash(const uint8_t mac[ADDRESS])
{
    unsigned bits = 0;
    for (unsigned n = ADDRESS; n--;)
        bits = bits << 2 ^ mac[n];
    return (bits ^ bits >> 6 ^ bits >> 12) % HASHES;
}

/*
 * Two lists, each as long as it says. No unicast comes but for the port's own address, so the first
 * changes nothing.
 */
static inline bool set_table(unsigned function, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *entries;
    unsigned on = modes[function].on & ~LAYOUT_MODE_HASHES;
    for (unsigned n = 0; n < 2; n++) {
        if (end - at < COUNT)
            return false;
        uint32_t count = word_of(at, COUNT);
        entries = at + COUNT;
        if (count > MOST_ADDRESSES)
            return false;
        at = entries + count * ADDRESS;
        if (at > end)
            return false;
    }
    if (at != end)
        return false;
    /* All multicasts are wanted while it is written. */
    apply(function, on);
    clear(function, LAYOUT_HASHES);
    for (; entries != end; entries += ADDRESS)
        put(function, (LAYOUT_HASHES + hash(entries)) | CARD_NET_FILTER_TABLE_WANTED_MASK);
    apply(function, on | LAYOUT_MODE_HASHES);
    return true;
}

static inline bool execute(const struct mailbox_message *message)
{
    unsigned function = message->function, on = modes[function].on;
    unsigned command = message->content[1];
    const uint8_t *data = message->content + HEAD;
    unsigned length = message->length;
    bool cut = message->kind == LAYOUT_COMMAND_CUT;
    switch (message->content[0]) {
    case RX:
        if (command > RX_LAST || length != HEAD + 1 || *data > 1)
            return false;
        apply(function, (on & ~(1u << command)) | (unsigned)*data << command);
        return true;
    case MAC:
        if (command == MAC_ADDR_SET)
            return length == HEAD + ADDRESS && port_owns(function, data);
        if (command != MAC_TABLE_SET)
            return false;
        if (!cut)
            return set_table(function, data, message->content + length);
        /* More than a message holds are more than so few hashes can tell apart. */
        apply(function, on & ~LAYOUT_MODE_HASHES);
        return true;
    case VLAN: {
        uint32_t vlan = word_of(data, 2);
        if (command > VLAN_DEL || length != HEAD + 2 || vlan >= VLANS)
            return false;
        if (command == VLAN_DEL) {
            put(function, vlan);
            return true;
        }
        put(function, vlan | CARD_NET_FILTER_TABLE_WANTED_MASK);
        /* Before the driver has named one, it gets all. */
        apply(function, on | LAYOUT_MODE_VLANS);
        return true;
    }
    case ANNOUNCE:
        if (command != ANNOUNCE_ACK || length != HEAD)
            return false;
        port_announced(function);
        return true;
    default:
        return false;
    }
}

void control_queue_answer(const struct mailbox_message *message)
{
    unsigned function = message->function;
    struct modes *is = &modes[function];
    if (!is->known || is->generation != message->generation) {
        /*
         * A reset has cleared the modes. But where this firmware was restarted, drivers may have
         * asked for more than it knows: then they get everything until their next reset.
         */
        is->mask = !is->known && watchdog_was_reset() ? 0 : UINT8_MAX;
        is->known = true;
        is->generation = message->generation;
        apply(function, 0);
        clear(function, 0);
    }
    mailbox_answer(message, execute(message) ? OK : ERR);
}

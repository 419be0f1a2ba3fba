#include "volumes.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "clock.h"
#include "command.h"
#include "hal/random.h"
#include "hal/registers.h"
#include "hal/storage_keys.h"
#include "log.h"
#include "nvme/nvme.h"
#include "nvme_layout.h"

enum {
    VOLUMES = LAYOUT_VOLUMES,
    /* The card's number of the first controller's function. */
    FIRST_FUNCTION = LAYOUT_NETWORK_FUNCTIONS,
    /* The wire's ports, and the tunnel. */
    WAYS = LAYOUT_PORTS + LAYOUT_VOLUME_TUNNEL,
    /*
     * How long the network may keep a frame, about what the transport's `lifetime` is after a reset;
     * and what passes before something else stands there: twice that.
     */
    LIFETIME_MS = 1000,
    REST_MS = 2 * LIFETIME_MS,
    SECTOR_SHIFT = 9,
    /* A volume may use up its rates of so many parts of a second at once. */
    BURST_PART = 100,
};

/* Sectors that a target can name. */
#define LAST_SECTOR ((uint64_t)1 << 48)

struct target {
    uint8_t mac[6], port, slot, sectors, buffers;
    uint16_t shelf;
};

static struct volume {
    bool attached, read_only, encrypted;
    uint8_t function, shift;
    uint32_t nsid;
    struct target target;
    uint64_t first, length; /* Sectors. */
    uint32_t requests;      /* A second; 0 is no limit. */
    uint64_t bytes;
    uint64_t rests_until; /* Of one that was detached. */
} volumes[VOLUMES];

static void record(uint32_t base, unsigned word, uint32_t value)
{
    register_write(base + 4 * word, value);
}

static void write_target(unsigned number, const struct target *target)
{
    uint32_t base = CARD_STORAGE_AOE_TARGETS_WORDS + 4 * number * LAYOUT_TARGET_STRIDE;
    record(base, LAYOUT_TARGET_MAC_HIGH, get32(target->mac));
    record(base, LAYOUT_TARGET_MAC_LOW, (uint32_t)get16(target->mac + 4) << 16 | target->port);
    record(base, LAYOUT_TARGET_PLACE, (uint32_t)target->shelf << 16 | (uint32_t)target->slot << 8);
    record(
        base, LAYOUT_TARGET_FLAGS,
        LAYOUT_TARGET_ENABLED | (uint32_t)target->sectors << 8 | target->buffers
    );
    record(CARD_STORAGE_AOE_VOLUMES_WORDS, number, LAYOUT_HAS_TARGET | number);
}

static void write_rates(unsigned number, const struct volume *is)
{
    uint32_t base = CARD_STORAGE_PACING_WORDS + 4 * number * LAYOUT_RATE_STRIDE;
    bool limited = is->requests || is->bytes;
    uint64_t a_second = (uint64_t)LAYOUT_CLOCK_HZ << SECTOR_SHIFT;
    record(base, LAYOUT_RATE_REQUEST, is->requests ? LAYOUT_CLOCK_HZ / is->requests : 0);
    record(base, LAYOUT_RATE_SECTOR, is->bytes ? (uint32_t)(a_second / is->bytes) : 0);
    record(base, LAYOUT_RATE_BURST, limited ? LAYOUT_CLOCK_HZ / BURST_PART : 0);
}

static void write_volume(unsigned number, const struct volume *is)
{
    uint32_t base = CARD_STORAGE_VOLUMES_TABLE_WORDS + 4 * number * LAYOUT_VOLUME_STRIDE;
    record(base, LAYOUT_VOLUME_FLAGS, 0);
    record(base, LAYOUT_VOLUME_FIRST, (uint32_t)is->first);
    record(base, LAYOUT_VOLUME_FIRST + 1, (uint32_t)(is->first >> 32));
    record(base, LAYOUT_VOLUME_LENGTH, (uint32_t)is->length);
    record(base, LAYOUT_VOLUME_LENGTH + 1, (uint32_t)(is->length >> 32));
    if (is->attached)
        record(
            base, LAYOUT_VOLUME_FLAGS,
            LAYOUT_VOLUME_ATTACHED | (is->read_only ? LAYOUT_VOLUME_READ_ONLY : 0)
                | (is->encrypted ? LAYOUT_VOLUME_ENCRYPTED | number << LAYOUT_VOLUME_KEY_SLOT
                                 : LAYOUT_VOLUME_PLAIN)
        );
}

/* What a volume is for ever: where it lies, and in blocks of which size. */
static void identify(const struct volume *is, uint8_t id[16])
{
    memcpy(id, is->target.mac, 6);
    put16(id + 6, is->target.shelf);
    id[8] = is->target.slot;
    put16(id + 9, (uint32_t)(is->first >> 32));
    put32(id + 11, (uint32_t)is->first);
    id[15] = is->shift;
}

/* The controller that has a function of the card's. */
static unsigned controller_of(const struct volume *is)
{
    return is->function - (unsigned)FIRST_FUNCTION;
}

static bool put_namespace(unsigned number, const struct volume *is)
{
    struct nvme_namespace space = {
        .read_only = is->read_only,
        .volume = (uint8_t)number,
        .shift = is->shift,
        .blocks = is->length >> (is->shift - SECTOR_SHIFT),
    };
    identify(is, space.id);
    return nvme_attach(controller_of(is), is->nsid, &space);
}

/* Texts of digits, padded with blanks: the card's address is what tells it from others. */
static void name(struct nvme_identity *identity, const struct addresses *own)
{
    static const char digits[] = "0123456789abcdef", model[] = "Niter storage", version[] = "0.1.0";
    static const char authority[] = "nqn.2026-11.org.niter:card:";
    memset(identity, ' ', sizeof *identity);
    memset(identity->name, 0, sizeof identity->name);
    memcpy(identity->model, model, sizeof model - 1);
    memcpy(identity->firmware, version, sizeof version - 1);
    for (unsigned n = 0; n < 12; n++)
        identity->serial[n] = digits[own->mac[n / 2] >> (n % 2 ? 0 : 4) & 15];
    memcpy(identity->name, authority, sizeof authority - 1);
    memcpy(identity->name + sizeof authority - 1, identity->serial, 12);
    identity->name[sizeof authority - 1 + 12] = ':';
}

void volumes_open(const struct addresses *own)
{
    struct nvme_identity identity;
    uint32_t seed = 0;
    memset(volumes, 0, sizeof volumes);
    for (unsigned number = 0; number < VOLUMES; number++) {
        write_volume(number, &volumes[number]);
        write_rates(number, &volumes[number]);
        record(CARD_STORAGE_AOE_VOLUMES_WORDS, number, 0);
    }
    /* Without a random number frames are numbered from 0 on, as any other might be. */
    if (random_read(&seed, sizeof seed))
        register_write(CARD_STORAGE_AOE_REGISTERS_SEED, seed & CARD_STORAGE_AOE_REGISTERS_SEED_VALUE_MASK);
    for (unsigned port = 0; port < WAYS; port++) {
        record(CARD_STORAGE_AOE_SOURCES_WORDS, 2 * port, get16(own->mac));
        record(CARD_STORAGE_AOE_SOURCES_WORDS, 2 * port + 1, get32(own->mac + 2));
    }
    name(&identity, own);
    nvme_open(&identity);
}

static bool decode_target(zcbor_state_t *in, struct target *target)
{
    uint32_t port, shelf, slot, sectors, buffers;
    if (!zcbor_list_start_decode(in) || !command_bytes(in, target->mac, 6)
        || !zcbor_uint32_decode(in, &port) || !zcbor_uint32_decode(in, &shelf)
        || !zcbor_uint32_decode(in, &slot) || !zcbor_uint32_decode(in, &sectors)
        || !zcbor_uint32_decode(in, &buffers) || !zcbor_list_end_decode(in) || port > UINT8_MAX
        || shelf > UINT16_MAX || slot > UINT8_MAX || sectors > UINT8_MAX || buffers > UINT8_MAX)
        return false;
    target->port = (uint8_t)port;
    target->shelf = (uint16_t)shelf;
    target->slot = (uint8_t)slot;
    target->sectors = (uint8_t)sectors;
    target->buffers = (uint8_t)buffers;
    return true;
}

static bool possible(const struct volume *is)
{
    const struct target *target = &is->target;
    uint64_t unit = (uint64_t)1 << (is->shift - SECTOR_SHIFT);
    uint64_t slowest = ((uint64_t)LAYOUT_CLOCK_HZ << SECTOR_SHIFT) / UINT16_MAX + 1;
    return controller_of(is) < NVME_CONTROLLERS && is->nsid && is->nsid <= NVME_NAMESPACES
        && is->length && !(is->length % unit) && is->first < LAST_SECTOR
        && is->length <= LAST_SECTOR - is->first && is->requests <= LAYOUT_CLOCK_HZ
        && (!is->bytes || is->bytes >= slowest) && !(target->mac[0] & 1)
        && target->port < WAYS && target->sectors && target->sectors <= LAYOUT_FRAME_SECTORS
        && target->buffers && target->buffers <= LAYOUT_AOE_SLOTS;
}

/* Whether writes of one that was there may still arrive where this one lies. */
static bool clashes(const struct volume *is, const struct volume *other)
{
    return clock_uptime_ms() < other->rests_until
        && !memcmp(is->target.mac, other->target.mac, 6) && is->target.shelf == other->target.shelf
        && is->target.slot == other->target.slot && is->first < other->first + other->length
        && other->first < is->first + is->length;
}

/* A key whose halves are equal is none (SP 800-38E). */
static bool key_possible(const struct zcbor_string *key)
{
    return memcmp(key->value, key->value + STORAGE_KEY / 2, STORAGE_KEY / 2);
}

enum status volume_attach(zcbor_state_t *in, zcbor_state_t *out)
{
    struct volume is = {.attached = true};
    struct zcbor_string key = {0};
    uint32_t number, function, block;
    if (!zcbor_uint32_decode(in, &number) || !zcbor_uint32_decode(in, &function)
        || !zcbor_uint32_decode(in, &is.nsid) || !decode_target(in, &is.target)
        || !zcbor_uint64_decode(in, &is.first) || !zcbor_uint64_decode(in, &is.length)
        || !zcbor_uint32_decode(in, &block) || !zcbor_bool_decode(in, &is.read_only)
        || !zcbor_uint32_decode(in, &is.requests) || !zcbor_uint64_decode(in, &is.bytes)
        || (!zcbor_array_at_end(in) && (!zcbor_bstr_decode(in, &key) || key.len != STORAGE_KEY))
        || !command_end(in))
        return STATUS_MALFORMED;
    is.encrypted = key.value;
    if (is.encrypted && !LAYOUT_ENCRYPTION)
        return STATUS_UNSUPPORTED;
    is.function = function < UINT8_MAX ? (uint8_t)function : UINT8_MAX;
    is.shift = block == 4096 ? 12 : 9;
    if (number >= VOLUMES || (block != 512 && block != 4096) || !possible(&is)
        || (is.encrypted && !key_possible(&key)))
        return STATUS_RANGE;
    if (volumes[number].attached || clock_uptime_ms() < volumes[number].rests_until)
        return STATUS_STATE;
    for (unsigned n = 0; n < VOLUMES; n++) {
        const struct volume *other = &volumes[n];
        bool same = other->function == is.function && other->nsid == is.nsid;
        if (other->attached ? same : clashes(&is, other))
            return STATUS_STATE;
    }
    /* The key stands in the slot of the volume's number. */
    if (LAYOUT_ENCRYPTION && is.encrypted && !storage_key_load(number, key.value))
        return STATUS_STATE;
    volumes[number] = is;
    write_target(number, &is.target);
    write_rates(number, &is);
    write_volume(number, &is);
    put_namespace(number, &is);
    log_event(EVENT_VOLUME, number);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status volume_detach(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t number;
    if (!zcbor_uint32_decode(in, &number) || !command_end(in))
        return STATUS_MALFORMED;
    if (number >= VOLUMES)
        return STATUS_RANGE;
    struct volume *is = &volumes[number];
    if (!is->attached)
        return STATUS_MISSING;
    nvme_attach(controller_of(is), is->nsid, NULL);
    is->attached = false;
    is->requests = 0;
    is->bytes = 0;
    is->rests_until = clock_uptime_ms() + REST_MS;
    write_volume(number, is);
    /* What waits for its rate goes on, and ends: the volume has no target, or that is switched off. */
    write_rates(number, is);
    record(CARD_STORAGE_AOE_VOLUMES_WORDS, number, 0);
    record(
        CARD_STORAGE_AOE_TARGETS_WORDS + 4 * number * LAYOUT_TARGET_STRIDE, LAYOUT_TARGET_FLAGS, 0
    );
    if (LAYOUT_ENCRYPTION && is->encrypted)
        storage_key_forget(number);
    log_event(EVENT_VOLUME_DETACHED, number);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

static bool put_volume(zcbor_state_t *out, uint32_t number, const struct volume *is)
{
    const struct target *target = &is->target;
    return zcbor_list_start_encode(out, 11) && zcbor_uint32_put(out, number)
        && zcbor_uint32_put(out, is->function) && zcbor_uint32_put(out, is->nsid)
        && zcbor_list_start_encode(out, 6)
        && zcbor_bstr_encode_ptr(out, (const char *)target->mac, 6)
        && zcbor_uint32_put(out, target->port) && zcbor_uint32_put(out, target->shelf)
        && zcbor_uint32_put(out, target->slot) && zcbor_uint32_put(out, target->sectors)
        && zcbor_uint32_put(out, target->buffers) && zcbor_list_end_encode(out, 6)
        && zcbor_uint64_put(out, is->first) && zcbor_uint64_put(out, is->length)
        && zcbor_uint32_put(out, 1u << is->shift) && zcbor_bool_put(out, is->read_only)
        && zcbor_uint32_put(out, is->requests) && zcbor_uint64_put(out, is->bytes)
        && (!is->encrypted || zcbor_bool_put(out, true)) && zcbor_list_end_encode(out, 11);
}

enum status volume_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 8 };
    uint32_t number;
    unsigned count = 0;
    if (!zcbor_uint32_decode(in, &number) || !command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 2) && zcbor_list_start_encode(out, AT_ONCE);
    for (; good && number < VOLUMES && count < AT_ONCE; number++)
        if (volumes[number].attached) {
            good = put_volume(out, number, &volumes[number]);
            count++;
        }
    return command_page_end(out, AT_ONCE, good, number, VOLUMES);
}

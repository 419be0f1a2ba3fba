#include "policy.h"

#include <string.h>
#include <zcbor_decode.h>

#include "boot_layout.h"
#include "crypto/record.h"
#include "hal/flash.h"
#include "hal/measurement.h"
#include "hal/sha.h"
#include "protocol.h"

enum { MAGIC = 0x4e504f4c, COPIES = 2 };

static struct policy current;

const struct policy *policy(void)
{
    return &current;
}

/* A byte string that is empty or has just this length. */
static bool optional(zcbor_state_t *state, size_t length, uint8_t *to)
{
    struct zcbor_string string;
    if (!zcbor_bstr_decode(state, &string) || (string.len && string.len != length))
        return false;
    memset(to, 0, length);
    memcpy(to, string.value, string.len);
    return true;
}

static bool unicast(const uint8_t mac[6])
{
    static const uint8_t nothing[6];
    return !(mac[0] & 1) && memcmp(mac, nothing, sizeof nothing);
}

static bool key(zcbor_state_t *state, struct policy *to)
{
    struct zcbor_string string;
    uint32_t role;
    if (to->count == POLICY_KEYS || !zcbor_list_start_decode(state)
        || !zcbor_bstr_decode(state, &string) || string.len != sizeof to->keys[0].key
        || !zcbor_uint32_decode(state, &role) || role > ROLE_OWNER || !zcbor_list_end_decode(state))
        return false;
    struct policy_key *entry = &to->keys[to->count++];
    memcpy(entry->key, string.value, string.len);
    entry->role = (uint8_t)role;
    for (unsigned n = 0; n + 1 < to->count; n++)
        if (!memcmp(to->keys[n].key, entry->key, sizeof entry->key))
            return false;
    return true;
}

static bool decode(const uint8_t *from, size_t length, struct policy *to)
{
    struct zcbor_string name;
    ZCBOR_STATE_D(state, 3, from, length, 1, 0);
    memset(to, 0, sizeof *to);
    if (!zcbor_list_start_decode(state) || !zcbor_uint32_expect(state, 1)
        || !zcbor_tstr_decode(state, &name) || !name.len || name.len > POLICY_NAME
        || !optional(state, 6, to->addresses.mac) || !unicast(to->addresses.mac) || !optional(state, 4, to->addresses.ipv4)
        || !optional(state, 16, to->addresses.ipv6) || !zcbor_list_start_decode(state))
        return false;
    memcpy(to->name, name.value, name.len);
    for (size_t n = 0; n < name.len; n++)
        if (name.value[n] < ' ' || name.value[n] > '~')
            return false;
    while (!zcbor_array_at_end(state))
        if (!key(state, to))
            return false;
    /* Somebody must be able to replace it. */
    bool owned = false;
    for (unsigned n = 0; n < to->count; n++)
        owned |= to->keys[n].role == ROLE_OWNER;
    return owned && zcbor_list_end_decode(state) && zcbor_list_end_decode(state)
        && zcbor_payload_at_end(state);
}

bool policy_valid(const uint8_t *from, size_t length)
{
    struct policy scratch;
    return length <= POLICY_LONGEST && decode(from, length, &scratch);
}

static uint32_t place(unsigned copy)
{
    return BOOT_POLICY_AT + copy * FLASH_SECTOR;
}

static size_t load(unsigned copy, uint32_t *number, struct policy_record *to)
{
    return record_load(place(copy), MAGIC, to->bytes, sizeof to->bytes, number);
}

/* Load the newest copy; returns its length, and which it is. */
static size_t newest(unsigned *copy, uint32_t *number, struct policy_record *to)
{
    uint32_t numbers[COPIES] = {0};
    size_t lengths[COPIES];
    for (unsigned n = 0; n < COPIES; n++)
        lengths[n] = load(n, &numbers[n], to);
    *copy = lengths[1] && (!lengths[0] || numbers[1] > numbers[0]);
    *number = numbers[*copy];
    return lengths[*copy] ? load(*copy, number, to) : 0;
}

size_t policy_load(struct policy_record *to)
{
    unsigned copy;
    uint32_t number;
    return newest(&copy, &number, to);
}

bool policy_open(void)
{
    struct policy_record found;
    uint8_t digest[SHA384_BYTES];
    size_t length = policy_load(&found);
    sha_begin(SHA384);
    sha_update(found.bytes + RECORD_HEADER, length);
    sha_finish(digest);
    measurement_extend(MEASURE_POLICY, digest);
    if (length && decode(found.bytes + RECORD_HEADER, length, &current))
        return true;
    memset(&current, 0, sizeof current);
    return false;
}

bool policy_store(const uint8_t *from, size_t length)
{
    struct policy_record record;
    unsigned copy;
    uint32_t number = 0;
    /* The other copy than the one that counts: a power cut leaves one of them whole. */
    copy = newest(&copy, &number, &record) ? !copy : 0;
    memcpy(record.bytes + RECORD_HEADER, from, length);
    return record_store(place(copy), MAGIC, number + 1, record.bytes, length);
}

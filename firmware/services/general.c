/* Commands about the card as a whole: status, counters, time, log, policy, reset. */
#include <string.h>

#include "card_layout.h"
#include "card_registers.h"
#include "clock.h"
#include "command.h"
#include "crypto/job.h"
#include "hal/card.h"
#include "hal/registers.h"
#include "health.h"
#include "log.h"
#include "policy.h"
#include "update.h"

static bool resetting;

enum status status_read(zcbor_state_t *in, zcbor_state_t *out)
{
    if (!command_end(in))
        return STATUS_MALFORMED;
    bool good = zcbor_list_start_encode(out, 10) && zcbor_uint32_put(out, update_report()->version)
        && zcbor_tstr_put_term(out, policy()->name, POLICY_NAME + 1)
        && zcbor_uint64_put(out, clock_uptime_ms()) && zcbor_uint64_put(out, clock_now_ms())
        && zcbor_uint32_put(out, card_functions()) && zcbor_uint32_put(out, card_ports())
        && zcbor_uint32_put(out, health()) && zcbor_uint32_put(out, job_longest())
        && zcbor_uint32_put(out, job_stack_used()) && zcbor_uint32_put(out, update_report()->slot)
        && zcbor_list_end_encode(out, 10);
    return good ? STATUS_OK : STATUS_RANGE;
}

#if LAYOUT_NETWORK
enum status counters_read(zcbor_state_t *in, zcbor_state_t *out)
{
    static const uint32_t banks[] = {
        CARD_OVERLAY_COUNTERS_COUNTERS_TRANSMIT_FUNCTION0_FRAMES_LOW,
        CARD_OVERLAY_COUNTERS_COUNTERS_RECEIVE_FUNCTION0_FRAMES_LOW,
    };
    enum { COUNTER = 8 };
    uint32_t bank, first;
    if (!zcbor_uint32_decode(in, &bank) || !zcbor_uint32_decode(in, &first) || !command_end(in))
        return STATUS_MALFORMED;
    if (bank >= sizeof banks / sizeof *banks || first >= LAYOUT_COUNTERS)
        return STATUS_RANGE;
    uint32_t left = LAYOUT_COUNTERS - first;
    uint32_t count = left < COUNTERS_AT_ONCE ? left : COUNTERS_AT_ONCE;
    if (!zcbor_list_start_encode(out, COUNTERS_AT_ONCE))
        return STATUS_RANGE;
    for (uint32_t n = first; n < first + count; n++)
        if (!zcbor_uint64_put(out, register_read_counter(banks[bank] + n * COUNTER)))
            return STATUS_RANGE;
    return zcbor_list_end_encode(out, COUNTERS_AT_ONCE) ? STATUS_OK : STATUS_RANGE;
}
#endif

enum status time_set(zcbor_state_t *in, zcbor_state_t *out)
{
    /* What certificates can express ends with the year 9999. */
    const uint64_t latest = 253402300799999;
    uint64_t now;
    if (!zcbor_uint64_decode(in, &now) || !command_end(in))
        return STATUS_MALFORMED;
    if (!now || now > latest)
        return STATUS_RANGE;
    log_event(EVENT_TIME, clock_set_ms(now));
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status log_list(zcbor_state_t *in, zcbor_state_t *out)
{
    enum { AT_ONCE = 24 };
    uint32_t number;
    if (!zcbor_uint32_decode(in, &number) || !command_end(in))
        return STATUS_MALFORMED;
    struct log_entry entry;
    if (!zcbor_list_start_encode(out, AT_ONCE))
        return STATUS_RANGE;
    for (int n = 0; n < AT_ONCE && log_read(number, &entry); n++, number = entry.number + 1)
        if (!zcbor_list_start_encode(out, 4) || !zcbor_uint32_put(out, entry.number)
            || !zcbor_uint32_put(out, entry.ms) || !zcbor_uint32_put(out, entry.event)
            || !zcbor_uint32_put(out, entry.argument) || !zcbor_list_end_encode(out, 4))
            return STATUS_RANGE;
    return zcbor_list_end_encode(out, AT_ONCE) ? STATUS_OK : STATUS_RANGE;
}

enum status policy_read(zcbor_state_t *in, zcbor_state_t *out)
{
    struct policy_record found;
    if (!command_end(in))
        return STATUS_MALFORMED;
    size_t length = policy_load(&found);
    if (!length)
        return STATUS_MISSING;
    const char *bytes = (const char *)found.bytes + RECORD_HEADER;
    return zcbor_bstr_encode_ptr(out, bytes, length) ? STATUS_OK : STATUS_RANGE;
}

enum status policy_write(zcbor_state_t *in, zcbor_state_t *out)
{
    struct zcbor_string bytes;
    if (!zcbor_bstr_decode(in, &bytes) || !command_end(in))
        return STATUS_MALFORMED;
    if (!policy_valid(bytes.value, bytes.len))
        return STATUS_RANGE;
    if (!policy_store(bytes.value, bytes.len))
        return STATUS_FLASH;
    log_event(EVENT_POLICY, 0);
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

enum status reset(zcbor_state_t *in, zcbor_state_t *out)
{
    if (!command_end(in))
        return STATUS_MALFORMED;
    log_event(EVENT_RESET, 0);
    resetting = true;
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

bool command_reset_wanted(void)
{
    return resetting;
}

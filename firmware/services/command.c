#include "command.h"

#include <stddef.h>
#include <string.h>

#include "card_layout.h"

struct entry {
    uint8_t role; /* The least that it takes. */
    command_function *run;
};

#if !LAYOUT_NETWORK || !LAYOUT_STORAGE
/* What only a card with the other half can do. */
static enum status unsupported(zcbor_state_t *in, zcbor_state_t *out)
{
    (void)in;
    (void)out;
    return STATUS_UNSUPPORTED;
}
#endif

#if LAYOUT_NETWORK
#define OF_NETWORK(function) (function)
#else
#define OF_NETWORK(function) unsupported
#endif
#if LAYOUT_STORAGE
#define OF_STORAGE(function) (function)
#else
#define OF_STORAGE(function) unsupported
#endif

static const struct entry commands[] = {
    [COMMAND_STATUS] = {ROLE_OBSERVER, status_read},
    [COMMAND_COUNTERS] = {ROLE_OBSERVER, OF_NETWORK(counters_read)},
    [COMMAND_PORT_LIST] = {ROLE_OBSERVER, OF_NETWORK(port_list)},
    [COMMAND_PORT_SET] = {ROLE_OPERATOR, OF_NETWORK(port_set)},
    [COMMAND_PORT_REMOVE] = {ROLE_OPERATOR, OF_NETWORK(port_remove)},
    [COMMAND_ROUTE_LIST] = {ROLE_OBSERVER, OF_NETWORK(route_list)},
    [COMMAND_ROUTE_SET] = {ROLE_OPERATOR, OF_NETWORK(route_set)},
    [COMMAND_ROUTE_REMOVE] = {ROLE_OPERATOR, OF_NETWORK(route_remove)},
    [COMMAND_TIME_SET] = {ROLE_OPERATOR, time_set},
    [COMMAND_LOG] = {ROLE_OBSERVER, log_list},
    [COMMAND_ATTEST] = {ROLE_OBSERVER, attest_begin},
    [COMMAND_ATTEST_READ] = {ROLE_OBSERVER, attest_read},
    [COMMAND_UPDATE_BEGIN] = {ROLE_OWNER, update_begin},
    [COMMAND_UPDATE_WRITE] = {ROLE_OWNER, update_write},
    [COMMAND_UPDATE_END] = {ROLE_OWNER, update_end},
    [COMMAND_POLICY_READ] = {ROLE_OBSERVER, policy_read},
    [COMMAND_POLICY_WRITE] = {ROLE_OWNER, policy_write},
    [COMMAND_RESET] = {ROLE_OWNER, reset},
    [COMMAND_TUNNEL_LIST] = {ROLE_OBSERVER, OF_NETWORK(tunnel_list)},
    [COMMAND_VOLUME_LIST] = {ROLE_OBSERVER, OF_STORAGE(volume_list)},
    [COMMAND_VOLUME_ATTACH] = {ROLE_OPERATOR, OF_STORAGE(volume_attach)},
    [COMMAND_VOLUME_DETACH] = {ROLE_OPERATOR, OF_STORAGE(volume_detach)},
    [COMMAND_VOLUME_TUNNEL] = {ROLE_OPERATOR, OF_STORAGE(volume_tunnel)},
};

enum status command_run(uint32_t number, uint32_t role, zcbor_state_t *in, zcbor_state_t *out)
{
    if (number >= sizeof commands / sizeof *commands || !commands[number].run)
        return STATUS_MALFORMED;
    if (role < commands[number].role)
        return STATUS_FORBIDDEN;
    return commands[number].run(in, out);
}

bool command_end(zcbor_state_t *in)
{
    return zcbor_list_end_decode(in) && zcbor_list_end_decode(in) && zcbor_payload_at_end(in);
}

bool command_bytes(zcbor_state_t *in, void *to, size_t length)
{
    struct zcbor_string string;
    if (!zcbor_bstr_decode(in, &string) || string.len != length)
        return false;
    memcpy(to, string.value, length);
    return true;
}

bool command_put_bytes(zcbor_state_t *out, const void *from, size_t length)
{
    return zcbor_bstr_encode_ptr(out, from, length);
}

enum status
command_page_end(zcbor_state_t *out, size_t at_once, bool good, uint32_t next, uint32_t end)
{
    good = good && zcbor_list_end_encode(out, at_once)
        && (next < end ? zcbor_uint32_put(out, next) : zcbor_nil_put(out, NULL));
    return good && zcbor_list_end_encode(out, 2) ? STATUS_OK : STATUS_RANGE;
}

/* What a session may ask for: the numbers of protocol.h to the functions that do it. */
#ifndef SERVICES_COMMAND_H
#define SERVICES_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <zcbor_decode.h>
#include <zcbor_encode.h>

#include "protocol.h"

enum { COMMAND_NESTING = 8 };

/*
 * A command reads its arguments to their end from `in`, which stands behind the beginning of their
 * list, and writes one item to `out`. What it wrote counts only when it returns STATUS_OK; it decides
 * that before it changes anything.
 */
typedef enum status command_function(zcbor_state_t *in, zcbor_state_t *out);

/* Run command `number` for a holder of `role`. */
enum status command_run(uint32_t number, uint32_t role, zcbor_state_t *in, zcbor_state_t *out);

/* Whether the arguments, and the request, end here. */
bool command_end(zcbor_state_t *in);

/* A byte string of just `length` bytes. */
bool command_bytes(zcbor_state_t *in, void *to, size_t length);

bool command_put_bytes(zcbor_state_t *out, const void *from, size_t length);

/*
 * End a list of up to `at_once` entries and the pair that it is in, with the number at which the next
 * page begins, or nil when that is `end`. `good`: all has been encoded so far.
 */
enum status
command_page_end(zcbor_state_t *out, size_t at_once, bool good, uint32_t next, uint32_t end);

/* The firmware asks for a reset once its answer is on its way. */
bool command_reset_wanted(void);

/* For each command, in the files that know. */
command_function status_read, counters_read, time_set, log_list;
command_function port_list, port_set, port_remove;
command_function route_list, route_set, route_remove, tunnel_list;
command_function volume_list, volume_attach, volume_detach, volume_tunnel;
command_function attest_begin, attest_read;
command_function policy_read, policy_write, reset;
command_function update_begin, update_write, update_end;

#endif

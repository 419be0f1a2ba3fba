/*
 * Sessions of the management protocol: docs/management.md, "The protocol".
 *
 * session_answer() takes one datagram and makes at most one answer. What it cannot authenticate gets
 * none, and changes nothing but the limits' counts. It runs on the job's stack: it computes for long.
 */
#ifndef SERVICES_SESSION_H
#define SERVICES_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/handover.h"

/* Draw the boot nonce and compute the card's identity. False when there is no randomness. */
bool session_open(const struct boot_keys *keys);

/* The card's identity, an Ed25519 public key, and this boot's nonce. */
const uint8_t *session_card(void);
const uint8_t *session_boot(void);

/* Answer a datagram, which is overwritten. Returns the answer's length, 0 for silence. */
size_t session_answer(uint8_t *datagram, size_t length, const uint8_t **answer);

/* Whether a genuine request was answered since boot. */
bool session_proven(void);

#endif

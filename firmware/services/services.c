#include "services.h"

#include <monocypher.h>
#include <string.h>

#include "attest.h"
#include "card_layout.h"
#include "command.h"
#include "crypto/job.h"
#include "hal/card.h"
#include "hal/packet.h"
#include "hal/random.h"
#include "hal/timer.h"
#include "hal/watchdog.h"
#include "health.h"
#include "log.h"
#include "macs.h"
#include "network.h"
#include "policy.h"
#include "requests.h"
#include "session.h"
#include "tables.h"
#include "update.h"
#include "volumes.h"

enum { WATCHDOG_SECONDS = 4 };

/*
 * What came last from the wire, whose content the job answers in place, and then what goes there. The
 * answer stands in its session until the packet port takes it.
 */
static uint8_t frame[NETWORK_HEADERS + DATAGRAM_LONGEST];
static size_t question_length, answer_length;
static const uint8_t *answer;
static struct peer peer;
/* The frame says who has the card's address, and waits for the packet port. */
static size_t resolved_length;

static void answer_question(void)
{
    answer_length = session_answer(frame + NETWORK_HEADERS, question_length, &answer);
}

void services_open(struct handover *handover)
{
    struct boot_keys *keys = &handover->keys;
    watchdog_feed(WATCHDOG_SECONDS * timer_hz());
    log_event(EVENT_START, watchdog_was_reset());
    if (watchdog_was_reset())
        health_set(HEALTH_WATCHDOG_RESET);
    update_open(&handover->report);
    if (!policy_open()) {
        health_set(HEALTH_POLICY_MISSING);
        log_event(EVENT_NO_POLICY, 0);
    }
    /* Functions are released here: hosts need not wait for the keys. */
    network_open(&policy()->addresses);
#if LAYOUT_NETWORK
    tables_open(&policy()->addresses);
#else
    packet_resolve(policy()->addresses.ipv4);
#endif
#if LAYOUT_STORAGE
    volumes_open(&policy()->addresses);
#endif
    macs_start(policy()->addresses.mac);
    card_release((1u << LAYOUT_FUNCTIONS) - 1);
    if (!session_open(keys)) {
        health_set(HEALTH_RANDOM_FAILED);
        log_event(EVENT_RANDOM, 0);
    }
    if (random_predictable())
        health_set(HEALTH_RANDOM_PREDICTABLE);
    attest_open(keys);
    crypto_wipe(keys, sizeof *keys);
}

/* One at a time: what comes while one is being answered waits in the packet port, as far as that holds it. */
static void listen(void)
{
    unsigned wire;
    size_t length = packet_receive(frame, sizeof frame, &wire);
    question_length = network_take(frame, length, wire, &peer);
    if (question_length)
        job_start(answer_question);
    /* Where there is an overlay, that answers. */
    if (!LAYOUT_NETWORK && !question_length) {
        resolved_length = network_resolve(frame, length);
        peer.wire = wire;
    }
}

void services_turn(void)
{
    watchdog_feed(WATCHDOG_SECONDS * timer_hz());
#if LAYOUT_SERVICES || LAYOUT_STORAGE
    requests_turn();
#endif
    if (resolved_length && packet_send(frame, resolved_length, peer.wire))
        resolved_length = 0;
    if (!job_busy() && !answer_length && !resolved_length)
        listen();
    /* A quarter of what a slice may take: it ends at the next point only. */
    job_run(timer_hz() / 4000);
    if (job_busy())
        return;
    if (answer_length && network_reply(frame, &peer, answer, answer_length))
        answer_length = 0;
    if (answer_length)
        return;
    if (command_reset_wanted())
        watchdog_reset();
    /* An image that can be reached can be replaced. */
    if (session_proven())
        update_confirm();
}

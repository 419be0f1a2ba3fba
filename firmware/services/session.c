#include "session.h"

#include <monocypher.h>
#include <string.h>

#include "bucket.h"
#include "bytes.h"
#include "command.h"
#include "cose.h"
#include "crypto/job.h"
#include "crypto/kdf.h"
#include "hal/random.h"
#include "hal/sha.h"
#include "log.h"
#include "policy.h"
#include "protocol.h"

enum {
    SESSIONS = 3,
    NONCE = 16,
    PROBE = 1,
    IDENTITY = 2,
    VERSION = 1,
    FIRST_PROBE = 0x83,
    FIRST_SIGN1 = 0xd2,
    FIRST_ENCRYPT0 = 0xd0,
    NESTING = 4,
};

/* Why an `open` is refused, for the log. */
enum refusal { UNKNOWN_KEY = 1, ROLE, STAMP, SIGNATURE, ELSEWHERE };

/* What both sides derive of the handshake, in this order. */
struct keys {
    uint8_t to_card[AEAD_KEY], to_peer[AEAD_KEY];
    uint8_t iv_to_card[AEAD_NONCE], iv_to_peer[AEAD_NONCE];
};

struct session {
    bool live;
    uint8_t role;
    uint8_t id[COSE_SESSION];
    uint32_t counter;  /* Of the request that was answered last; 0 is the handshake. */
    uint32_t used;     /* When, on the scale of `turn`. */
    struct keys keys;
    uint8_t last[ED25519_SIGNATURE]; /* The end of what was answered last: its tag, or signature. */
    uint16_t length;                 /* Of that answer. */
    uint8_t answer[ANSWER_LONGEST];
};

static struct session sessions[SESSIONS];
static uint64_t stamps[POLICY_KEYS];
static uint8_t seed[ED25519_SEED], card[ED25519_PUBLIC], boot[NONCE];
static bool able;
static uint32_t turn;
/* An answer to a probe. */
static uint8_t small[80];
/* Every datagram costs a token; one that needs a signature checked costs one more of the other. */
static struct bucket datagrams = {.burst = 128, .period_ms = 4, .tokens = 128};
static struct bucket opens = {.burst = 4, .period_ms = 500, .tokens = 4};
static uint32_t dropped;
static bool proven;

bool session_open(const struct boot_keys *keys)
{
    memcpy(seed, keys->management, sizeof seed);
    ed25519_public(seed, card);
    able = random_read(boot, sizeof boot);
    return able;
}

const uint8_t *session_card(void)
{
    return card;
}

const uint8_t *session_boot(void)
{
    return boot;
}

static bool limited(struct bucket *bucket)
{
    if (bucket_take(bucket)) {
        if (dropped)
            log_event(EVENT_LIMITED, dropped);
        dropped = 0;
        return false;
    }
    dropped++;
    return true;
}

static bool expect(zcbor_state_t *state, const uint8_t *bytes, size_t length)
{
    return zcbor_bstr_expect_ptr(state, (const char *)bytes, length);
}

static size_t probe(const uint8_t *from, size_t length, const uint8_t **answer)
{
    struct zcbor_string nonce, padding;
    ZCBOR_STATE_D(in, NESTING, from, length, 1, 0);
    if (!(zcbor_list_start_decode(in) && zcbor_uint32_expect(in, PROBE)
          && zcbor_bstr_decode(in, &nonce) && nonce.len == NONCE && zcbor_bstr_decode(in, &padding)
          && padding.len == PROBE_PADDING && zcbor_list_end_decode(in) && zcbor_payload_at_end(in)))
        return 0;
    ZCBOR_STATE_E(out, NESTING, small, sizeof small, 1);
    if (!(zcbor_list_start_encode(out, 4) && zcbor_uint32_put(out, IDENTITY)
          && zcbor_bstr_encode(out, &nonce) && zcbor_bstr_encode_ptr(out, (char *)card, sizeof card)
          && zcbor_bstr_encode_ptr(out, (char *)boot, sizeof boot) && zcbor_list_end_encode(out, 4)))
        return 0;
    *answer = small;
    return (size_t)(out->payload - small);
}

static size_t refuse(enum refusal why)
{
    log_event(EVENT_REFUSED, why);
    return 0;
}

/* A slot for a new session: a free one, or that which was not used for longest. */
static struct session *slot(void)
{
    struct session *found = &sessions[0];
    for (unsigned n = 0; n < SESSIONS; n++) {
        if (!sessions[n].live)
            return &sessions[n];
        if (sessions[n].used < found->used)
            found = &sessions[n];
    }
    return found;
}

/* The keys: HKDF over the shared secret, salted with the boot nonce, bound to both messages. */
static void derive(
    struct session *session, const uint8_t shared[32], const uint8_t *open, size_t open_length
)
{
    static const char label[] = "niter management 1";
    uint8_t info[sizeof label - 1 + SHA384_BYTES];
    memcpy(info, label, sizeof label - 1);
    sha_begin(SHA384);
    sha_update(open, open_length);
    sha_update(session->answer, session->length);
    sha_finish(info + sizeof label - 1);
    kdf(boot, sizeof boot, shared, 32, info, sizeof info, &session->keys, sizeof session->keys);
}

/* Make the session's answer to an `open` that has been accepted. */
static bool accept(
    struct session *session, const uint8_t *open, size_t length, const uint8_t *ephemeral
)
{
    uint8_t secret[32], own[32], shared[32], payload[96];
    if (!random_read(secret, sizeof secret) || !random_read(session->id, sizeof session->id))
        return false;
    crypto_x25519_public_key(own, secret);
    crypto_x25519(shared, secret, ephemeral);
    crypto_wipe(secret, sizeof secret);
    uint8_t any = 0;
    for (unsigned n = 0; n < sizeof shared; n++)
        any |= shared[n];
    if (!any)
        return false;
    ZCBOR_STATE_E(state, NESTING, payload, sizeof payload, 1);
    bool good = zcbor_list_start_encode(state, 4) && zcbor_uint32_put(state, VERSION)
        && zcbor_bstr_encode_ptr(state, (char *)session->id, COSE_SESSION)
        && zcbor_bstr_encode_ptr(state, (char *)own, sizeof own)
        && zcbor_uint32_put(state, session->role) && zcbor_list_end_encode(state, 4);
    if (good)
        session->length = (uint16_t)sign1_encode(
            seed, card, payload, (size_t)(state->payload - payload), open, length, session->answer,
            sizeof session->answer
        );
    if (!good || !session->length)
        return false;
    derive(session, shared, open, length);
    crypto_wipe(shared, sizeof shared);
    return true;
}

static size_t open_session(const uint8_t *from, size_t length, const uint8_t **answer)
{
    struct sign1 message;
    if (!sign1_decode(from, length, &message))
        return 0;
    for (unsigned n = 0; n < SESSIONS; n++) {
        /* The same again: its answer was lost. */
        struct session *session = &sessions[n];
        if (session->live && !session->counter
            && !memcmp(session->last, message.signature, ED25519_SIGNATURE)) {
            *answer = session->answer;
            return session->length;
        }
    }
    if (!able || limited(&opens))
        return 0;

    unsigned key = 0;
    while (key < policy()->count && memcmp(policy()->keys[key].key, message.key, ED25519_PUBLIC))
        key++;
    if (key == policy()->count)
        return refuse(UNKNOWN_KEY);
    uint32_t role;
    uint64_t stamp;
    struct zcbor_string ephemeral;
    ZCBOR_STATE_D(state, NESTING, message.payload.value, message.payload.len, 1, 0);
    if (!(zcbor_list_start_decode(state) && zcbor_uint32_expect(state, VERSION)
          && expect(state, card, sizeof card) && expect(state, boot, sizeof boot)))
        return refuse(ELSEWHERE);
    if (!(zcbor_uint32_decode(state, &role) && zcbor_uint64_decode(state, &stamp)
          && zcbor_bstr_decode(state, &ephemeral) && ephemeral.len == 32
          && zcbor_list_end_decode(state) && zcbor_payload_at_end(state)))
        return 0;
    if (role > policy()->keys[key].role)
        return refuse(ROLE);
    /* One that was recorded earlier must not take the place of a session that is in use. */
    if (stamp <= stamps[key])
        return refuse(STAMP);
    if (!sign1_verify(&message, NULL, 0))
        return refuse(SIGNATURE);
    stamps[key] = stamp;

    struct session *session = slot();
    memset(session, 0, sizeof *session);
    session->role = (uint8_t)role;
    if (!accept(session, from, length, ephemeral.value)) {
        crypto_wipe(session, sizeof *session);
        return 0;
    }
    memcpy(session->last, message.signature, ED25519_SIGNATURE);
    session->live = true;
    session->used = ++turn;
    log_event(EVENT_SESSION, role);
    *answer = session->answer;
    return session->length;
}

/*
 * Carry a request out: its text to the text of its answer, whose length is returned. That is made where
 * the answer will stand, behind the longest headers.
 */
static size_t request(struct session *session, const struct encrypt0 *message)
{
    uint8_t *to = session->answer + ENCRYPT0_HEADERS;
    size_t room = sizeof session->answer - ENCRYPT0_HEADERS - AEAD_TAG;
    uint32_t role, number;
    enum status status = STATUS_MALFORMED;
    ZCBOR_STATE_D(in, COMMAND_NESTING, message->text, message->length, 1, 0);
    {
        ZCBOR_STATE_E(out, COMMAND_NESTING, to, room, 1);
        if (zcbor_list_start_decode(in) && zcbor_uint32_decode(in, &role)
            && zcbor_uint32_decode(in, &number) && zcbor_list_start_decode(in)
            && zcbor_list_start_encode(out, 2) && zcbor_uint32_put(out, STATUS_OK)) {
            status = role > session->role ? STATUS_FORBIDDEN : command_run(number, role, in, out);
            if (status == STATUS_OK && zcbor_list_end_encode(out, 2))
                return (size_t)(out->payload - to);
        }
    }
    ZCBOR_STATE_E(out, COMMAND_NESTING, to, room, 1);
    if (zcbor_list_start_encode(out, 2) && zcbor_uint32_put(out, (uint32_t)status)
        && zcbor_nil_put(out, NULL) && zcbor_list_end_encode(out, 2))
        return (size_t)(out->payload - to);
    return 0;
}

static size_t sealed(uint8_t *from, size_t length, const uint8_t **answer)
{
    struct encrypt0 message;
    if (!encrypt0_decode(from, length, &message))
        return 0;
    struct session *session = NULL;
    for (unsigned n = 0; n < SESSIONS; n++)
        if (sessions[n].live && !memcmp(sessions[n].id, message.session, COSE_SESSION))
            session = &sessions[n];
    if (!session)
        return 0;
    const uint8_t *tag = message.text + message.length;
    bool again = message.counter && message.counter == session->counter;
    if (again ? memcmp(tag, session->last, AEAD_TAG) : message.counter != session->counter + 1)
        return 0;
    uint8_t last[AEAD_TAG];
    memcpy(last, tag, AEAD_TAG);
    if (!encrypt0_open(&message, session->keys.to_card, session->keys.iv_to_card))
        return 0;
    *answer = session->answer;
    if (again)
        return session->length;
    proven = true;
    session->used = ++turn;
    session->counter = message.counter;
    memcpy(session->last, last, AEAD_TAG);
    job_point();
    size_t made = request(session, &message);
    /* There may have been a key in it. */
    crypto_wipe(message.text, message.length);
    job_point();
    session->length = (uint16_t)encrypt0_encode(
        session->id, message.counter, session->keys.to_peer, session->keys.iv_to_peer,
        session->answer + ENCRYPT0_HEADERS, made, session->answer, sizeof session->answer
    );
    return session->length;
}

size_t session_answer(uint8_t *datagram, size_t length, const uint8_t **answer)
{
    if (limited(&datagrams))
        return 0;
    switch (datagram[0]) {
    case FIRST_PROBE:
        return probe(datagram, length, answer);
    case FIRST_SIGN1:
        return open_session(datagram, length, answer);
    case FIRST_ENCRYPT0:
        return sealed(datagram, length, answer);
    default:
        return 0;
    }
}

bool session_proven(void)
{
    return proven;
}

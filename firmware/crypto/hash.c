#include "hash.h"

#include <string.h>

#include "hal/sha.h"
#include "job.h"

enum { BLOCK = 128, STATE = 64 };

/*
 * What HMAC saves of a hash is its state after one block: the key, padded. The hardware keeps its
 * state to itself, so the block is saved in its place. That is 128 bytes where BearSSL has room for
 * 64, but all behind a key shorter than 64 bytes is the padding, the same byte throughout.
 */
struct context {
    const br_hash_class *vtable;
    uint8_t block[BLOCK];
    uint8_t held;    /* Bytes of the first block that the hardware has not been given yet. */
    uint8_t running; /* The hardware has been given the first block. */
};

_Static_assert(sizeof(struct context) <= sizeof(br_hash_compat_context), "fits where BearSSL puts it");

static void start(struct context *context)
{
    if (context->running)
        return;
    context->running = 1;
    job_point();
    sha_begin(SHA384);
    sha_update(context->block, context->held);
}

static void init(const br_hash_class **self)
{
    struct context *context = (struct context *)(void *)self;
    context->vtable = &hash_sha384;
    context->held = 0;
    context->running = 0;
}

static void update(const br_hash_class **self, const void *from, size_t length)
{
    struct context *context = (struct context *)(void *)self;
    if (!context->running && length <= (size_t)BLOCK - context->held) {
        memcpy(context->block + context->held, from, length);
        context->held = (uint8_t)(context->held + length);
        return;
    }
    start(context);
    sha_update(from, length);
}

static void finish(const br_hash_class *const *self, void *digest)
{
    /* BearSSL lets a hash go on after this; nothing that is used here does. */
    struct context *context = (struct context *)(void *)(uintptr_t)self;
    start(context);
    sha_finish(digest);
}

static uint64_t save(const br_hash_class *const *self, void *state)
{
    const struct context *context = (const struct context *)(const void *)self;
    memcpy(state, context->block, STATE);
    return BLOCK;
}

static void restore(const br_hash_class **self, const void *state, uint64_t count)
{
    struct context *context = (struct context *)(void *)self;
    (void)count;
    memcpy(context->block, state, STATE);
    memset(context->block + STATE, context->block[STATE - 1], BLOCK - STATE);
    context->held = BLOCK;
    context->running = 0;
}

const br_hash_class hash_sha384 = {
    .context_size = sizeof(struct context),
    .desc = BR_HASHDESC_ID(br_sha384_ID) | BR_HASHDESC_OUT(SHA384_BYTES) | BR_HASHDESC_STATE(STATE)
        | BR_HASHDESC_LBLEN(7),
    .init = init,
    .update = update,
    .out = finish,
    .state = save,
    .set_state = restore,
};

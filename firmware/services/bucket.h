/* A token bucket: what may happen `burst` times at once, and once every `period_ms` in the long run. */
#ifndef SERVICES_BUCKET_H
#define SERVICES_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint32_t burst, period_ms;
    uint32_t tokens;
    uint64_t filled_ms;
};

/* Whether it may happen now; takes a token then. */
bool bucket_take(struct bucket *bucket);

#endif

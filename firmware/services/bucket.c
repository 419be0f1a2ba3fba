#include "bucket.h"

#include "clock.h"

bool bucket_take(struct bucket *bucket)
{
    uint64_t now = clock_uptime_ms();
    uint64_t due = (now - bucket->filled_ms) / bucket->period_ms;
    if (due) {
        bool full = due >= bucket->burst - bucket->tokens;
        bucket->tokens = full ? bucket->burst : bucket->tokens + (uint32_t)due;
        bucket->filled_ms = full ? now : bucket->filled_ms + due * bucket->period_ms;
    }
    if (!bucket->tokens)
        return false;
    bucket->tokens--;
    return true;
}

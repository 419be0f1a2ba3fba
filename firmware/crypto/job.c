#include "job.h"

#include <stddef.h>

#include "context.h"
#include "hal/timer.h"

enum { STACK = JOB_STACK, UNUSED = 0xa5 };

static _Alignas(16) uint8_t stack[STACK];
static void (*job)(void);
static bool busy, inside, painted;
static uint64_t end;
static uint32_t longest;

/* What the job's stack begins with; context_begin() makes it run. */
static void run(void)
{
    job();
    busy = false;
    context_leave();
}

void job_start(void (*entry)(void))
{
    if (!painted) {
        for (size_t n = 0; n < STACK; n++)
            stack[n] = UNUSED;
        painted = true;
    }
    job = entry;
    busy = true;
    context_begin(stack, STACK, run);
}

bool job_busy(void)
{
    return busy;
}

void job_run(uint32_t cycles)
{
    if (!busy)
        return;
    uint64_t begin = timer_now();
    end = begin + cycles;
    inside = true;
    context_enter();
    inside = false;
    uint64_t taken = timer_now() - begin;
    if (taken > longest)
        longest = taken > UINT32_MAX ? UINT32_MAX : (uint32_t)taken;
}

void job_pause(void)
{
    if (!inside)
        return;
    context_leave();
}

void job_point(void)
{
    if (inside && timer_now() >= end)
        context_leave();
}

uint32_t job_longest(void)
{
    return longest;
}

uint32_t job_stack_used(void)
{
    size_t free = 0;
    while (painted && free < STACK && stack[free] == UNUSED)
        free++;
    return painted ? (uint32_t)(STACK - free) : 0;
}

/* The name that -fsanitize-coverage=trace-pc calls. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    job_point();
}

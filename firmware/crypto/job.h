/*
 * One long computation beside the main loop, in slices.
 *
 * A job has a stack of its own. It gives way at points: job_point(), which the compiler puts at the
 * entry of every function of the arithmetic libraries (-fsanitize-coverage), and job_pause(). A slice
 * ends at the first point behind its end, so it is as long as asked for plus the way from one point
 * to the next. Between points nothing else runs: what a job shares with the main loop needs no lock.
 */
#ifndef CRYPTO_JOB_H
#define CRYPTO_JOB_H

#include <stdbool.h>
#include <stdint.h>

/* Make `entry` the job. Only when none is there. */
void job_start(void (*entry)(void));

/* Whether a job was started and has not returned. */
bool job_busy(void);

/* From the main loop: let the job run for one slice of about `cycles`. */
void job_run(uint32_t cycles);

/* From the job: end the slice if it is used up. Elsewhere: nothing. */
void job_point(void);

/* From the job: end the slice. */
void job_pause(void);

/* Cycles of the longest slice so far. */
uint32_t job_longest(void);

/* Bytes of the job's stack that have ever been used. */
uint32_t job_stack_used(void);

#endif

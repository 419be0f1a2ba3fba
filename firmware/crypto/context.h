/* Two stacks, and the switch between them: context_rv32.S on the card, ucontext on a host. */
#ifndef CRYPTO_CONTEXT_H
#define CRYPTO_CONTEXT_H

#include <stddef.h>

/* Bytes of the job's stack. */
#ifndef JOB_STACK
#define JOB_STACK 8192
#endif

/* Lay out `stack` so that context_enter() calls `entry`, which never returns. */
void context_begin(void *stack, size_t size, void (*entry)(void));

/* From the main stack: go on with the other until it leaves. */
void context_enter(void);

/* From the other stack: go on with the main one. */
void context_leave(void);

#endif

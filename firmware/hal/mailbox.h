/*
 * The mailbox to the engines: commands of admin and control queues, and the copies that they need.
 *
 * A message is taken, its data moved through the window, and it is answered: in any order, late, or
 * never. What belongs to a message names it by function and generation; once its function was reset,
 * copies and replies for it are refused by the hardware, and can do no harm.
 */
#ifndef HAL_MAILBOX_H
#define HAL_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MAILBOX_MESSAGE = 72,  /* Bytes of the longest message. */
    MAILBOX_WINDOW = 4096, /* Bytes of the window, and of the longest copy. */
};

struct mailbox_message {
    /* The first word of a message, and of an order. */
    uint8_t kind;       /* What it is; the engine defines it. */
    uint8_t function;   /* Whose command. */
    uint8_t source;     /* Which engine: the number of its port. */
    uint8_t generation; /* Counts the function's resets. */
    uint16_t tag;       /* The engine's name for it. */
    uint8_t length;     /* Bytes of content. */
    uint8_t content[MAILBOX_MESSAGE];
};

enum mailbox_status {
    MAILBOX_DONE,
    MAILBOX_BUSY,    /* The copy or reply is under way. */
    MAILBOX_FAILED,  /* The host refused or timed out, or answered short. */
    MAILBOX_REFUSED, /* The function is or was in reset: forget the message. */
};

enum mailbox_direction { MAILBOX_FROM_HOST, MAILBOX_TO_HOST };

/* Take the next message; functions get turns. False when there is none. */
bool mailbox_take(struct mailbox_message *message);

/*
 * Start to copy `length` (1 to 4096) bytes between host memory at `address` and the window's
 * beginning, on behalf of the message. Only when mailbox_status() is not MAILBOX_BUSY.
 */
void mailbox_copy(
    const struct mailbox_message *message,
    enum mailbox_direction direction,
    uint64_t address,
    size_t length
);

/*
 * Start to answer the message with `length` (1 to 72) bytes, after everything copied before. The
 * bytes pass through the window. Only when mailbox_status() is not MAILBOX_BUSY.
 */
void mailbox_reply(const struct mailbox_message *message, const void *content, size_t length);

/* The same with one word, lowest byte first. */
void mailbox_answer(const struct mailbox_message *message, uint32_t word);

/* Whether the last copy or reply goes on. */
bool mailbox_busy(void);

/* How the last copy or reply went, or that it goes on. It always ends. */
enum mailbox_status mailbox_status(void);

/* The window, while the status is not MAILBOX_BUSY. */
void mailbox_load(size_t offset, void *to, size_t length);
void mailbox_store(size_t offset, const void *from, size_t length);

#endif

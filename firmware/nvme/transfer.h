/*
 * A command's data between `page` and host memory, through the mailbox's window: at most a page of the
 * host's, so that it lies in two of its pages at most.
 */
#ifndef NVME_TRANSFER_H
#define NVME_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "controller.h"

enum transfer_state {
    TRANSFER_WAITS, /* For the mailbox. */
    TRANSFER_DONE,
    TRANSFER_FAILED, /* The host refused. */
    TRANSFER_WRONG,  /* The PRP list's entry has an offset. */
};

/*
 * Begin to move `length` bytes, a multiple of four, of the page from `offset` on; to the host, zeros
 * follow what stands there. The host believes its PRP entries to describe `span` bytes, on which
 * depends what the second one is (Base 2.0, 4.1.1). Returns the status of PRPs that cannot be.
 */
enum status transfer_begin(
    const struct mailbox_message *message, const struct command *command,
    enum mailbox_direction direction, size_t offset, size_t length, size_t span
);

/* The mailbox has ended what it was told last, in that way. */
enum transfer_state transfer_advance(enum mailbox_status status);

#endif

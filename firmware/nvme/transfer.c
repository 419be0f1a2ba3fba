#include "transfer.h"

#include "little.h"

enum { LIST_ENTRY = 8, BEFORE_ENTRY = 4 };

static const struct mailbox_message *message;
static uint64_t second;
static enum mailbox_direction direction;
static size_t offset, length, span, moved, part;
static bool listing;

/* To the window: bytes of the page, and zeros where that ends. */
static void show(size_t from, size_t bytes)
{
    static const uint8_t nothing[4];
    size_t held = from < sizeof page ? sizeof page - from : 0;
    if (held > bytes)
        held = bytes;
    if (held)
        mailbox_store(0, page + from, held);
    for (; held < bytes; held += sizeof nothing)
        mailbox_store(held, nothing, sizeof nothing);
}

static void move(uint64_t address, size_t bytes)
{
    part = bytes;
    if (direction == MAILBOX_TO_HOST)
        show(offset + moved, part);
    mailbox_copy(message, direction, address, part);
}

enum status transfer_begin(
    const struct mailbox_message *from, const struct command *command,
    enum mailbox_direction where, size_t at, size_t bytes, size_t described
)
{
    size_t first = PAGE_BYTES - command->prp[0] % PAGE_BYTES;
    second = command->prp[1];
    if (command->prp[0] % BEFORE_ENTRY)
        return STATUS_PRP_OFFSET;
    if (described > first && second % (described - first > PAGE_BYTES ? LIST_ENTRY : PAGE_BYTES))
        return STATUS_PRP_OFFSET;
    message = from;
    direction = where;
    offset = at;
    length = bytes;
    span = described;
    moved = 0;
    listing = false;
    move(command->prp[0], length < first ? length : first);
    return STATUS_SUCCESS;
}

enum transfer_state transfer_advance(enum mailbox_status status)
{
    if (status != MAILBOX_DONE)
        return TRANSFER_FAILED;
    if (listing) {
        uint8_t entry[LIST_ENTRY];
        mailbox_load(0, entry, sizeof entry);
        listing = false;
        if (little64(entry) % PAGE_BYTES)
            return TRANSFER_WRONG;
        move(little64(entry), length - moved);
        return TRANSFER_WAITS;
    }
    if (direction == MAILBOX_FROM_HOST)
        mailbox_load(0, page + offset + moved, part);
    moved += part;
    if (moved == length)
        return TRANSFER_DONE;
    if (span - moved > PAGE_BYTES) {
        listing = true;
        mailbox_copy(message, MAILBOX_FROM_HOST, second, LIST_ENTRY);
    } else {
        move(second, length - moved);
    }
    return TRANSFER_WAITS;
}

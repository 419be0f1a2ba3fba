#include "mailbox.h"

#include "card_registers.h"
#include "registers.h"
#include "words.h"

enum { FUNCTIONS = 8 };

/* Whose message was taken last: the search for the next begins behind it. */
static unsigned turn;

bool mailbox_take(struct mailbox_message *message) {
    uint32_t pending = register_read(CARD_SOC_MAILBOX_REQUESTS_PENDING);
    if (!pending) return false;
    do turn = (turn + 1) % FUNCTIONS;
    while (!(pending >> turn & 1));

    register_write(CARD_SOC_MAILBOX_REQUESTS_SELECT, turn);
    word_to(&message->kind, register_read(CARD_SOC_MAILBOX_REQUESTS_MESSAGE), 4);
    uint32_t word = register_read(CARD_SOC_MAILBOX_REQUESTS_MESSAGE);
    message->tag = (uint16_t)word;
    message->length = (uint8_t)(word >> 16);
    if (message->length > MAILBOX_MESSAGE) message->length = MAILBOX_MESSAGE;
    for (size_t at = 0; at < message->length; at += 4) {
        word = register_read(CARD_SOC_MAILBOX_REQUESTS_MESSAGE);
        word_to(message->content + at, word, message->length - at);
    }
    /* A reset may have come in between, and another message stand there now. */
    register_write(CARD_SOC_MAILBOX_REQUESTS_TAKE, 0);
    return register_read(CARD_SOC_MAILBOX_REQUESTS_TAKE);
}

static void order(const struct mailbox_message *message, uint32_t operation, size_t length) {
    register_write(CARD_SOC_MAILBOX_TRANSFER_TARGET, word_of(&message->kind, 4));
    register_write(CARD_SOC_MAILBOX_TRANSFER_TAG, message->tag);
    register_write(
        CARD_SOC_MAILBOX_TRANSFER_ORDER,
        operation | REGISTER_FIELD(CARD_SOC_MAILBOX_TRANSFER_ORDER_LENGTH, length)
    );
}

void mailbox_copy(
    const struct mailbox_message *message,
    enum mailbox_direction direction,
    uint64_t address,
    size_t length
) {
    register_write(CARD_SOC_MAILBOX_TRANSFER_ADDRESS_LOW, (uint32_t)address);
    register_write(CARD_SOC_MAILBOX_TRANSFER_ADDRESS_HIGH, (uint32_t)(address >> 32));
    uint32_t operation = direction == MAILBOX_FROM_HOST
        ? CARD_SOC_MAILBOX_TRANSFER_ORDER_OPERATION_FROM_HOST
        : CARD_SOC_MAILBOX_TRANSFER_ORDER_OPERATION_TO_HOST;
    order(message, operation, length);
}

void mailbox_reply(const struct mailbox_message *message, const void *content, size_t length) {
    mailbox_store(0, content, length);
    order(message, CARD_SOC_MAILBOX_TRANSFER_ORDER_OPERATION_REPLY, length);
}

void mailbox_answer(const struct mailbox_message *message, uint32_t word) {
    register_write(CARD_SOC_MAILBOX_WINDOW_WORDS, word);
    order(message, CARD_SOC_MAILBOX_TRANSFER_ORDER_OPERATION_REPLY, sizeof word);
}

bool mailbox_busy(void) {
    return register_read(CARD_SOC_MAILBOX_TRANSFER_STATUS) &
        CARD_SOC_MAILBOX_TRANSFER_STATUS_BUSY_MASK;
}

enum mailbox_status mailbox_status(void) {
    uint32_t word = register_read(CARD_SOC_MAILBOX_TRANSFER_STATUS);
    if (word & CARD_SOC_MAILBOX_TRANSFER_STATUS_BUSY_MASK) return MAILBOX_BUSY;
    switch (REGISTER_GET(CARD_SOC_MAILBOX_TRANSFER_STATUS_RESULT, word)) {
    case CARD_SOC_MAILBOX_TRANSFER_STATUS_RESULT_DONE: return MAILBOX_DONE;
    case CARD_SOC_MAILBOX_TRANSFER_STATUS_RESULT_FAILED: return MAILBOX_FAILED;
    default: return MAILBOX_REFUSED;
    }
}

static uint32_t window(size_t offset) {
    return CARD_SOC_MAILBOX_WINDOW_WORDS + (uint32_t)(offset & ~(size_t)3);
}

void mailbox_load(size_t offset, void *to, size_t length) {
    uint8_t *next = to;
    for (size_t part; length; offset += part, next += part, length -= part) {
        part = 4 - offset % 4 < length ? 4 - offset % 4 : length;
        word_to(next, register_read(window(offset)) >> 8 * (offset % 4), part);
    }
}

void mailbox_store(size_t offset, const void *from, size_t length) {
    const uint8_t *next = from;
    for (size_t part; length; offset += part, next += part, length -= part) {
        size_t shift = offset % 4;
        part = 4 - shift < length ? 4 - shift : length;
        uint32_t word = word_of(next, part) << 8 * shift;
        if (part < 4) {
            uint32_t mask = ((1u << 8 * part) - 1) << 8 * shift;
            word |= register_read(window(offset)) & ~mask;
        }
        register_write(window(offset), word);
    }
}

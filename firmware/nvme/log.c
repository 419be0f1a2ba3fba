/* Get Log Page (Base 2.0, 5.16). */
#include <string.h>

#include "controller.h"
#include "hal/timer.h"
#include "identity.h"
#include "little.h"

enum {
    SUPPORTED = 1,
    CHANGES_CONTENT = 1 << 1,      /* Of a command: logical block content. */
    CHANGES_CAPABILITIES = 1 << 4, /* Of the controller. */
    OF_NAMESPACE = 1 << 20,
    OF_CONTROLLER = 1 << 21,
    ERROR_BYTES = 64,
    HEALTH_BYTES = 512,
    CHANGED_MOST = 1024,
};

static const uint8_t log_pages[] = {
    LOG_SUPPORTED, LOG_ERRORS, LOG_HEALTH, LOG_FIRMWARE, LOG_CHANGED_NAMESPACES, LOG_EFFECTS,
    LOG_FEATURES, LOG_MANAGEMENT,
};
static const uint8_t admin_commands[] = {
    OPCODE_DELETE_SQ, OPCODE_CREATE_SQ, OPCODE_GET_LOG_PAGE, OPCODE_DELETE_CQ, OPCODE_CREATE_CQ,
    OPCODE_IDENTIFY, OPCODE_ABORT, OPCODE_SET_FEATURES, OPCODE_GET_FEATURES, OPCODE_ASYNC_EVENT,
    OPCODE_KEEP_ALIVE,
};
static const uint8_t io_commands[] = {
    IO_FLUSH, IO_WRITE, IO_READ, IO_COMPARE, IO_WRITE_ZEROES, IO_DATASET_MANAGEMENT, IO_VERIFY,
};
static const uint8_t features[] = {
    FEATURE_ARBITRATION, FEATURE_POWER, FEATURE_TEMPERATURE, FEATURE_ERROR_RECOVERY,
    FEATURE_QUEUES, FEATURE_COALESCING, FEATURE_VECTOR, FEATURE_ATOMICITY, FEATURE_EVENTS,
    FEATURE_TIMESTAMP, FEATURE_KEEP_ALIVE,
};

static void supported_pages(void)
{
    for (size_t n = 0; n < sizeof log_pages; n++)
        put_little32(page + 4 * log_pages[n], SUPPORTED);
}

static void supported_features(void)
{
    for (size_t n = 0; n < sizeof features; n++) {
        bool space = features[n] == FEATURE_ERROR_RECOVERY;
        put_little32(page + 4 * features[n], SUPPORTED | (space ? OF_NAMESPACE : OF_CONTROLLER));
    }
}

_Static_assert(1024 + 4 * (IO_VERIFY + 1) <= PAGE_FILLED, "effects of the last command");

static void effects(void)
{
    for (size_t n = 0; n < sizeof admin_commands; n++) {
        uint32_t effect = SUPPORTED | OF_CONTROLLER;
        if (admin_commands[n] == OPCODE_SET_FEATURES)
            effect |= CHANGES_CAPABILITIES;
        put_little32(page + 4 * admin_commands[n], effect);
    }
    for (size_t n = 0; n < sizeof io_commands; n++) {
        uint8_t opcode = io_commands[n];
        uint32_t effect = SUPPORTED | OF_NAMESPACE;
        if (opcode == IO_WRITE || opcode == IO_WRITE_ZEROES || opcode == IO_DATASET_MANAGEMENT)
            effect |= CHANGES_CONTENT;
        put_little32(page + 1024 + 4 * opcode, effect);
    }
}

static void error_pages(const struct controller *controller)
{
    for (uint8_t *next = page, *end = page + ERRORS * ERROR_BYTES; next < end; next += ERROR_BYTES) {
        uint64_t age = (uint64_t)(next - page) / ERROR_BYTES;
        if (age >= controller->error_count)
            return;
        const struct error *error = &controller->errors[(controller->error_count - 1 - age) % ERRORS];
        put_little64(next, error->number);
        put_little16(next + 8, error->sqid);
        put_little16(next + 10, error->cid);
        put_little16(next + 12, (uint32_t)error->status << 1);
        put_little16(next + 14, error->parameter);
        put_little32(next + 24, error->nsid);
    }
}

static void health(unsigned number)
{
    const struct controller *controller = &controllers[number];
    page[0] = temperature_exceeded(controller) ? 1 << 1 : 0;
    put_little16(page + 1, nvme_temperature_now());
    page[3] = 100; /* Spare blocks, per cent: a card has none that could wear out. */
    /* Zero data units: not reported. */
    put_little64(page + 128, timer_now() / timer_hz() / 3600);
    put_little64(page + 176, controller->error_count);
}

static void firmware(void)
{
    page[0] = 1; /* Slot 1 runs, and will run after the next reset. */
    memcpy(page + 8, nvme_identity()->firmware, sizeof nvme_identity()->firmware);
}

static void changed(const struct controller *controller)
{
    _Static_assert((int)NVME_NAMESPACES <= (int)CHANGED_MOST, "the list would be too short");
    uint8_t *next = page;
    for (uint32_t nsid = 1; nsid <= NVME_NAMESPACES; nsid++)
        if (controller->changed >> (nsid - 1) & 1) {
            put_little32(next, nsid);
            next += 4;
        }
}

/* Fills the page; returns the log page's length, or 0 when there is no such one. */
static size_t fill(unsigned number, uint8_t log_page, uint8_t set)
{
    memset(page, 0, sizeof page);
    switch (log_page) {
    case LOG_SUPPORTED:
        supported_pages();
        return 1024;
    case LOG_ERRORS:
        error_pages(&controllers[number]);
        return ERRORS * ERROR_BYTES;
    case LOG_HEALTH:
        health(number);
        return HEALTH_BYTES;
    case LOG_FIRMWARE:
        firmware();
        return 512;
    case LOG_CHANGED_NAMESPACES:
        changed(&controllers[number]);
        return PAGE_BYTES;
    case LOG_EFFECTS:
        if (!set)
            effects();
        return PAGE_BYTES;
    case LOG_FEATURES:
        supported_features();
        return 1024;
    case LOG_MANAGEMENT: /* No management interface. */
        return PAGE_BYTES;
    default:
        return 0;
    }
}

struct outcome get_log_page(unsigned number, const struct command *command)
{
    struct controller *controller = &controllers[number];
    uint8_t log_page = (uint8_t)command->dword[0];
    bool retain = command->dword[0] >> 15 & 1;
    uint64_t words = (command->dword[0] >> 16 | (uint64_t)(command->dword[1] & 0xffff) << 16) + 1;
    uint64_t offset = command->dword[2] | (uint64_t)command->dword[3] << 32;
    bool by_index = command->dword[4] >> 23 & 1;
    size_t size = fill(number, log_page, (uint8_t)(command->dword[4] >> 24));
    if (!size)
        return wrong(STATUS_LOG_PAGE, 40);
    if (command->nsid && command->nsid != EVERY_NAMESPACE)
        return wrong(STATUS_INVALID_FIELD, 4);
    if (by_index || (log_page == LOG_EFFECTS && command->dword[4] >> 24))
        return wrong(STATUS_INVALID_FIELD, 56);
    if (offset >= size || offset % 4)
        return wrong(STATUS_INVALID_FIELD, 48);
    if (words > (uint64_t)PAGE_BYTES << NVME_TRANSFER_PAGES >> 2)
        return wrong(STATUS_INVALID_FIELD, 42);

    if (!retain && log_page == LOG_CHANGED_NAMESPACES) {
        controller->changed = 0;
        events_unmask(controller, EVENT_NOTICE);
    }
    if (!retain && log_page == LOG_HEALTH)
        events_unmask(controller, EVENT_HEALTH);
    if (!retain && log_page == LOG_ERRORS)
        events_unmask(controller, EVENT_ERROR);
    /* Nothing is behind a log page's end: the rest of the host's memory stays as it is. */
    size_t left = size - (size_t)offset;
    return (struct outcome){
        .parameter = NO_BYTE,
        .offset = (size_t)offset,
        .length = words * 4 < left ? (size_t)words * 4 : left,
        .span = (size_t)words * 4,
    };
}

void errors_note(
    struct controller *controller, uint16_t sqid, const struct command *command, uint16_t status,
    uint32_t parameter
)
{
    controller->errors[controller->error_count % ERRORS] = (struct error){
        .number = controller->error_count + 1,
        .nsid = command->nsid,
        .sqid = sqid,
        .cid = command->cid,
        .status = status,
        .parameter = (uint16_t)parameter,
    };
    controller->error_count++;
}

/* Identify (Base 2.0, 5.17; NVM Command Set 1.0, 4.1.5). */
#include <string.h>

#include "controller.h"
#include "identity.h"
#include "little.h"

enum {
    /* Optional: compare, dataset management, write zeroes, save and select, timestamp, verify. */
    COMMANDS = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7,
    COMMAND_SET_NVM = 0,
    KEEP_ALIVE_GRANULARITY = 10, /* Units of 100 ms. */
    WARNING_KELVIN = 343,
    CRITICAL_KELVIN = 358,
};

_Static_assert(768 + sizeof(((struct nvme_identity *)0)->name) <= PAGE_FILLED, "the name");
_Static_assert(4 * NVME_NAMESPACES <= PAGE_FILLED, "a list of namespaces");

static void identify_controller(unsigned number)
{
    const struct nvme_identity *identity = nvme_identity();
    uint8_t digit = (uint8_t)('0' + number);
    put_little16(page + 0, NVME_VENDOR);
    put_little16(page + 2, NVME_SUBSYSTEM_VENDOR);
    memcpy(page + 4, identity->serial, sizeof identity->serial);
    /* Controllers may serve different hosts: each is a subsystem of its own. */
    unsigned end = sizeof identity->serial - 1;
    while (end && page[4 + end - 1] == ' ')
        end--;
    page[4 + end] = digit;
    memcpy(page + 24, identity->model, sizeof identity->model);
    memcpy(page + 64, identity->firmware, sizeof identity->firmware);
    page[77] = NVME_TRANSFER_PAGES;
    put_little16(page + 78, number);
    put_little32(page + 80, SPECIFICATION_VERSION);
    put_little32(page + 92, EVENT_CONFIG_NAMESPACES);
    page[111] = 1;                        /* An I/O controller. */
    page[258] = ASYNC_EVENTS - 1;         /* Aborts at a time. */
    page[259] = ASYNC_EVENTS - 1;
    page[260] = 1 << 1 | 1;               /* One firmware slot, which cannot be written. */
    page[261] = 1 << 1 | 1 << 2 | 1 << 5; /* Effects; long offsets; lists of pages and features. */
    page[262] = ERRORS - 1;
    put_little16(page + 266, WARNING_KELVIN);
    put_little16(page + 268, CRITICAL_KELVIN);
    put_little16(page + 320, KEEP_ALIVE_GRANULARITY);
    page[512] = 6 << 4 | 6; /* Entries of 64 and 16 bytes. */
    page[513] = 4 << 4 | 4;
    put_little32(page + 516, NVME_NAMESPACES);
    put_little16(page + 520, COMMANDS);
    page[525] = 3 << 1; /* Flush of all namespaces; no volatile write cache. */
    size_t length = strlen(identity->name);
    memcpy(page + 768, identity->name, length);
    page[768 + length] = digit;
}

static uint8_t attributes(const struct nvme_namespace *space)
{
    return space->read_only ? 1 : 0;
}

static void identify_namespace(const struct nvme_namespace *space)
{
    put_little64(page + 0, space->blocks);
    put_little64(page + 8, space->blocks);
    put_little64(page + 16, space->blocks);
    page[99] = attributes(space);
    memcpy(page + 104, space->id, sizeof space->id);
    page[130] = space->shift; /* The only format: no metadata. */
}

/* What does not depend on the command set. */
static void identify_any_set(const struct nvme_namespace *space)
{
    page[8] = attributes(space);
    page[14] = 1; /* Ready. */
}

static void identify_descriptors(const struct nvme_namespace *space)
{
    page[0] = 2; /* NGUID. */
    page[1] = sizeof space->id;
    memcpy(page + 4, space->id, sizeof space->id);
    uint8_t *next = page + 4 + sizeof space->id;
    next[0] = 4; /* Command set identifier. */
    next[1] = 1;
    next[4] = COMMAND_SET_NVM;
}

static void identify_active(const struct controller *controller, uint32_t above)
{
    uint8_t *next = page;
    for (uint32_t nsid = 1; nsid <= NVME_NAMESPACES; nsid++)
        if (nsid > above && controller->namespaces[nsid - 1].attached) {
            put_little32(next, nsid);
            next += 4;
        }
}

enum status namespace_status(const struct controller *controller, uint32_t nsid)
{
    if (!nsid || nsid > NVME_NAMESPACES)
        return STATUS_INVALID_NAMESPACE;
    return controller->namespaces[nsid - 1].attached ? STATUS_SUCCESS : STATUS_INVALID_FIELD;
}

struct outcome identify(unsigned number, const struct command *command)
{
    const struct controller *controller = &controllers[number];
    uint8_t structure = (uint8_t)command->dword[0];
    uint8_t set = (uint8_t)(command->dword[1] >> 24);
    enum status known = namespace_status(controller, command->nsid);
    const struct nvme_namespace *space = &controller->namespaces[known ? 0 : command->nsid - 1];
    memset(page, 0, sizeof page);

    /* Those of one command set, and those of one namespace, which says zeros when it is inactive. */
    switch (structure) {
    case IDENTIFY_NAMESPACE_OF_SET:
    case IDENTIFY_CONTROLLER_OF_SET:
    case IDENTIFY_ACTIVE_OF_SET:
        if (set != COMMAND_SET_NVM)
            return wrong(STATUS_INVALID_FIELD, 47);
    }
    switch (structure) {
    case IDENTIFY_NAMESPACE:
    case IDENTIFY_NAMESPACE_OF_SET:
    case IDENTIFY_NAMESPACE_ANY_SET:
    case IDENTIFY_DESCRIPTORS:
        if (known == STATUS_INVALID_NAMESPACE)
            return wrong(known, 4);
    }

    switch (structure) {
    case IDENTIFY_NAMESPACE:
        if (!known)
            identify_namespace(space);
        break;
    case IDENTIFY_NAMESPACE_ANY_SET:
        if (!known)
            identify_any_set(space);
        break;
    case IDENTIFY_DESCRIPTORS:
        if (known)
            return wrong(known, 4);
        identify_descriptors(space);
        break;
    case IDENTIFY_CONTROLLER:
        identify_controller(number);
        break;
    case IDENTIFY_ACTIVE:
    case IDENTIFY_ACTIVE_OF_SET:
        if (command->nsid >= EVERY_NAMESPACE - 1)
            return wrong(STATUS_INVALID_NAMESPACE, 4);
        identify_active(controller, command->nsid);
        break;
    case IDENTIFY_NAMESPACE_OF_SET:  /* No protection information: all zeros. */
    case IDENTIFY_CONTROLLER_OF_SET: /* No limits beside that of a transfer: all zeros. */
        break;
    case IDENTIFY_SETS:
        put_little64(page, 1 << COMMAND_SET_NVM);
        break;
    default:
        return wrong(STATUS_INVALID_FIELD, 40);
    }
    return (struct outcome){
        .parameter = NO_BYTE, .length = PAGE_BYTES, .span = PAGE_BYTES};
}

/* Create and Delete I/O queues (Base 2.0, 5.4 to 5.7). */
#include "controller.h"

enum { BYTE_PRP = 24, BYTE_QUEUE = 40, BYTE_SIZE = 42, BYTE_11 = 44, BYTE_PARTNER = 46 };

static uint32_t bit(unsigned queue)
{
    return (uint32_t)1 << queue;
}

/* What both kinds of queue have in common. */
static struct outcome check(const struct command *command, uint32_t existing)
{
    uint32_t queue = command->dword[0] & 0xffff, last = command->dword[0] >> 16;
    if (!queue || queue > NVME_QUEUES || existing & bit(queue))
        return wrong(STATUS_QUEUE_IDENTIFIER, BYTE_QUEUE);
    if (!last || last >= NVME_ENTRIES)
        return wrong(STATUS_QUEUE_SIZE, BYTE_SIZE);
    if (!(command->dword[1] & 1)) /* All queues are contiguous. */
        return wrong(STATUS_INVALID_FIELD, BYTE_11);
    if (command->prp[0] % PAGE_BYTES)
        return wrong(STATUS_PRP_OFFSET, BYTE_PRP);
    return ended(STATUS_SUCCESS, 0);
}

void coalescing_of(const struct controller *controller, unsigned queue, struct nvme_reply *order)
{
    const struct settings *settings = &controller->settings;
    uint8_t vector = controller->vector_of[queue];
    bool off = vector == NVME_NO_INTERRUPT || settings->uncoalesced >> vector & 1;
    order->queue = (uint8_t)queue;
    order->threshold = off ? 0 : (uint8_t)settings->coalescing;
    order->time = off ? 0 : (uint8_t)(settings->coalescing >> 8);
}

struct outcome create_completion_queue(unsigned number, const struct command *command)
{
    struct controller *controller = &controllers[number];
    struct outcome outcome = check(command, controller->completion_queues);
    if (outcome.status)
        return outcome;
    unsigned queue = command->dword[0] & 0xffff;
    bool interrupts = command->dword[1] >> 1 & 1;
    uint32_t vector = command->dword[1] >> 16;
    if (vector >= NVME_VECTORS)
        return wrong(STATUS_VECTOR, BYTE_PARTNER);

    controller->completion_queues |= bit(queue);
    controller->vector_of[queue] = interrupts ? (uint8_t)vector : NVME_NO_INTERRUPT;
    outcome.kind = NVME_REPLY_CREATE_CQ;
    outcome.order.address = command->prp[0];
    outcome.order.last = (uint16_t)(command->dword[0] >> 16);
    outcome.order.partner = controller->vector_of[queue];
    coalescing_of(controller, queue, &outcome.order);
    return outcome;
}

struct outcome create_submission_queue(unsigned number, const struct command *command)
{
    struct controller *controller = &controllers[number];
    struct outcome outcome = check(command, controller->submission_queues);
    if (outcome.status)
        return outcome;
    unsigned queue = command->dword[0] & 0xffff;
    uint32_t partner = command->dword[1] >> 16;
    if (!partner || partner > NVME_QUEUES)
        return wrong(STATUS_QUEUE_IDENTIFIER, BYTE_PARTNER);
    if (!(controller->completion_queues & bit(partner)))
        return wrong(STATUS_COMPLETION_QUEUE, BYTE_PARTNER);

    controller->submission_queues |= bit(queue);
    controller->completion_of[queue] = (uint8_t)partner;
    outcome.kind = NVME_REPLY_CREATE_SQ;
    outcome.order.queue = (uint8_t)queue;
    outcome.order.address = command->prp[0];
    outcome.order.last = (uint16_t)(command->dword[0] >> 16);
    outcome.order.partner = (uint8_t)partner;
    return outcome;
}

static struct outcome forget(uint32_t *existing, const struct command *command)
{
    uint32_t queue = command->dword[0] & 0xffff;
    if (!queue || queue > NVME_QUEUES || !(*existing & bit(queue)))
        return wrong(STATUS_QUEUE_IDENTIFIER, BYTE_QUEUE);
    *existing &= ~bit(queue);
    return (struct outcome){.parameter = NO_BYTE, .order.queue = (uint8_t)queue};
}

struct outcome delete_completion_queue(unsigned number, const struct command *command)
{
    struct controller *controller = &controllers[number];
    for (unsigned queue = 1; queue <= NVME_QUEUES; queue++)
        if (controller->submission_queues & bit(queue)
            && controller->completion_of[queue] == (command->dword[0] & 0xffff))
            return wrong(STATUS_QUEUE_DELETION, BYTE_QUEUE);
    struct outcome outcome = forget(&controller->completion_queues, command);
    outcome.kind = outcome.status ? NVME_REPLY_COMPLETE : NVME_REPLY_DELETE_CQ;
    return outcome;
}

struct outcome delete_submission_queue(unsigned number, const struct command *command)
{
    struct outcome outcome = forget(&controllers[number].submission_queues, command);
    outcome.kind = outcome.status ? NVME_REPLY_COMPLETE : NVME_REPLY_DELETE_SQ;
    return outcome;
}

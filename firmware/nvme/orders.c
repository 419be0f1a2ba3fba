#include "orders.h"

#include <string.h>

enum { ORDERS = 4 };

static struct order {
    struct origin origin;
    enum nvme_reply_kind kind;
    struct nvme_reply reply;
} orders[ORDERS];
static unsigned count;

/* Completion queues of a controller whose interrupts are to be set, a bit each. */
static uint32_t coalesce;
static unsigned coalesce_number;
static struct origin coalesce_origin;

void orders_open(void)
{
    count = 0;
    coalesce = 0;
}

bool orders_waiting(void)
{
    return count || coalesce;
}

void orders_tell(const struct origin *origin, enum nvme_reply_kind kind, struct nvme_reply reply)
{
    if (count < ORDERS)
        orders[count++] = (struct order){*origin, kind, reply};
}

void orders_complete(const struct origin *request, uint32_t result, uint16_t status)
{
    orders_tell(
        request, NVME_REPLY_COMPLETE, (struct nvme_reply){.result = result, .status = status}
    );
}

void orders_coalesce(unsigned number, const struct origin *origin)
{
    coalesce = controllers[number].completion_queues;
    coalesce_number = number;
    coalesce_origin = *origin;
}

void orders_give(void)
{
    struct order order = orders[0];
    if (coalesce) {
        unsigned queue = 0;
        while (!(coalesce >> queue & 1))
            queue++;
        coalesce &= coalesce - 1;
        order = (struct order){coalesce_origin, NVME_REPLY_COALESCE, {.silent = 1}};
        coalescing_of(&controllers[coalesce_number], queue, &order.reply);
    } else {
        count--;
        memmove(orders, orders + 1, count * sizeof *orders);
    }
    const struct mailbox_message to = {
        .source = order.origin.source,
        .function = order.origin.function,
        .kind = (uint8_t)order.kind,
        .generation = order.origin.generation,
        .tag = order.origin.tag,
    };
    mailbox_reply(&to, &order.reply, sizeof order.reply);
}

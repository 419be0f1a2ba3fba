/* What the hardware is to be told, in order, one thing at a time. */
#ifndef NVME_ORDERS_H
#define NVME_ORDERS_H

#include "controller.h"

void orders_open(void);

bool orders_waiting(void);

/* There is room for what one command, and one event, need. */
void orders_tell(const struct origin *origin, enum nvme_reply_kind kind, struct nvme_reply reply);

void orders_complete(const struct origin *request, uint32_t result, uint16_t status);

/* Before what was told: the interrupts of all completion queues of a controller. */
void orders_coalesce(unsigned number, const struct origin *origin);

/* Give the mailbox the next one. */
void orders_give(void);

#endif

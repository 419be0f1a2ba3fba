/*
 * The control queues of the network's functions (virtio 1.2, 5.1.6.5): what drivers want to receive,
 * the MAC address, and announcements. Commands come by the mailbox, and go into the receive filter.
 */
#ifndef SERVICES_CONTROL_QUEUE_H
#define SERVICES_CONTROL_QUEUE_H

#include "hal/mailbox.h"

/* Answer a command. Only while the mailbox is not busy. */
void control_queue_answer(const struct mailbox_message *message);

#endif

/*
 * What the hosts' functions ask of the firmware: commands of control and of admin queues, which come by
 * the mailbox, one after the other.
 */
#ifndef SERVICES_REQUESTS_H
#define SERVICES_REQUESTS_H

/* From the main loop: a step. */
void requests_turn(void);

#endif

/* What happened: a ring of the last events, in memory. Numbers are in protocol.h. */
#ifndef SERVICES_LOG_H
#define SERVICES_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

struct log_entry {
    uint32_t number; /* Counts up from 1 since the services began. */
    uint32_t ms;     /* Since then. */
    uint32_t argument;
    uint8_t event;
};

void log_event(enum event event, uint32_t argument);

/* The first entry whose number is at least `number`. False when there is none. */
bool log_read(uint32_t number, struct log_entry *entry);

#endif

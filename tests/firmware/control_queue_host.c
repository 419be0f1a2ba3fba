/*
 * The firmware's service of control queues, on this machine: commands come from standard input as if
 * by the mailbox, what it writes to the receive filter and what it answers goes to standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "card_registers.h"
#include "hal/mailbox.h"
#include "hal/registers.h"
#include "hal/watchdog.h"
#include "services/control_queue.h"
#include "services/ports.h"

enum { ANSWER = 1, ANNOUNCED = 2 };

static struct command {
    uint8_t restarted, open, kind, function, generation, length;
    uint8_t mac[6];
    uint8_t content[MAILBOX_MESSAGE];
} command;
static unsigned busy;

static void tell(uint32_t what, uint32_t value)
{
    uint32_t both[] = {what, value};
    if (fwrite(both, sizeof both, 1, stdout) != 1)
        exit(1);
}

void register_write(uint32_t address, uint32_t value)
{
    if (busy)
        abort();
    if (address == CARD_NET_FILTER_TABLE && value & CARD_NET_FILTER_TABLE_ONWARD_MASK)
        busy = 3;
    tell(address, value);
}

uint32_t register_read(uint32_t address)
{
    if (address != CARD_NET_FILTER_TABLE)
        abort();
    busy -= busy > 0;
    return busy ? CARD_NET_FILTER_TABLE_BUSY_MASK : 0;
}

bool watchdog_was_reset(void)
{
    return command.restarted;
}

void mailbox_answer(const struct mailbox_message *message, uint32_t word)
{
    if (message->function != command.function || message->generation != command.generation)
        abort();
    tell(ANSWER, word);
}

bool port_owns(unsigned function, const uint8_t mac[6])
{
    return function == command.function && command.open && !memcmp(mac, command.mac, 6);
}

void port_announced(unsigned function)
{
    tell(ANNOUNCED, function);
}

int main(void)
{
    while (fread(&command, sizeof command, 1, stdin) == 1) {
        struct mailbox_message message;
        /* What stands behind a message is not part of it. */
        memset(&message, 0xA5, sizeof message);
        message.kind = command.kind;
        message.function = command.function;
        message.generation = command.generation;
        message.length = command.length;
        memcpy(message.content, command.content, command.length);
        control_queue_answer(&message);
        tell(0, 0);
        fflush(stdout);
    }
    return 0;
}

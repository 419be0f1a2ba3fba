/*
 * The admin firmware as a process: its registers are at the other end of its standard input and
 * output, where firmware/host/nvme/process.py serves them from a bench's control bus or a model.
 *
 * The other end writes a command, then serves accesses until the command's end. All numbers are as
 * this machine has them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hal/mailbox.h"
#include "hal/registers.h"
#include "hal/timer.h"
#include "nvme/nvme.h"

enum command { COMMAND_OPEN, COMMAND_TURN, COMMAND_ATTACH, COMMAND_DETACH, COMMAND_TEMPERATURE };
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_END };

struct request {
    uint32_t command, hz;
    uint64_t now;
    uint32_t controller, nsid;
    uint16_t kelvin;
    struct nvme_namespace space;
};

struct access_message {
    uint32_t access, address, value;
};

static uint64_t now;
static uint32_t hz;

static void take(void *to, size_t length)
{
    /* The other end has gone: so does this one. */
    if (fread(to, length, 1, stdin) != 1)
        exit(0);
}

static void give(enum access access, uint32_t address, uint32_t value)
{
    struct access_message message = {access, address, value};
    if (fwrite(&message, sizeof message, 1, stdout) != 1)
        exit(1);
}

uint32_t register_read(uint32_t address)
{
    uint32_t value;
    give(ACCESS_READ, address, 0);
    fflush(stdout);
    take(&value, sizeof value);
    return value;
}

void register_write(uint32_t address, uint32_t value)
{
    give(ACCESS_WRITE, address, value);
}

uint64_t register_read_counter(uint32_t address)
{
    uint32_t low = register_read(address);
    return (uint64_t)register_read(address + 4) << 32 | low;
}

uint64_t timer_now(void)
{
    return now;
}

uint32_t timer_hz(void)
{
    return hz;
}

static uint32_t turn(void)
{
    struct mailbox_message message;
    if (nvme_idle() && mailbox_take(&message))
        nvme_take(&message);
    nvme_turn();
    return nvme_idle();
}

int main(void)
{
    static struct request request;
    for (;;) {
        take(&request, sizeof request);
        now = request.now;
        hz = request.hz;
        uint32_t result = 1;
        switch (request.command) {
        case COMMAND_OPEN: {
            struct nvme_identity identity;
            take(&identity, sizeof identity);
            nvme_open(&identity);
            break;
        }
        case COMMAND_TURN:
            result = turn();
            break;
        case COMMAND_ATTACH:
            result = nvme_attach(request.controller, request.nsid, &request.space);
            break;
        case COMMAND_DETACH:
            result = nvme_attach(request.controller, request.nsid, NULL);
            break;
        case COMMAND_TEMPERATURE:
            nvme_temperature(request.kelvin);
            break;
        }
        give(ACCESS_END, 0, result);
        fflush(stdout);
    }
}

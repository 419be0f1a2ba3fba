/* Commands from the mailbox, one at a time: taken apart, carried out, their data moved, answered. */
#include <string.h>

#include "controller.h"
#include "hal/timer.h"
#include "identity.h"
#include "little.h"
#include "orders.h"
#include "transfer.h"

struct controller controllers[NVME_CONTROLLERS];
uint8_t page[PAGE_FILLED];

enum step {
    IDLE,
    FETCHING, /* Data of the command are on their way from the host. */
    SENDING,  /* Data are on their way to the host. */
    ORDERING, /* The hardware is carrying out what it was told. */
};

enum { BYTE_PRP = 24 };

static struct nvme_identity card;
static uint16_t kelvin;

/* The command under way. */
static enum step step;
static unsigned number;
static struct mailbox_message message;
static struct command command;
static struct outcome outcome;

const struct nvme_identity *nvme_identity(void)
{
    return &card;
}

uint16_t nvme_temperature_now(void)
{
    return kelvin;
}

void nvme_open(const struct nvme_identity *identity)
{
    card = *identity;
    card.name[sizeof card.name - 1] = 0;
    memset(controllers, 0, sizeof controllers);
    orders_open();
    step = IDLE;
    kelvin = 0;
}

bool nvme_idle(void)
{
    return step == IDLE && !orders_waiting();
}

static struct origin origin_of(const struct mailbox_message *from)
{
    return (struct origin){from->source, from->function, from->generation, from->tag};
}

/* Statuses are final but for a transfer that failed: the host's memory may be there next time. */
static uint16_t final_status(enum status status)
{
    if (!status)
        return 0;
    return (uint16_t)(status | STATUS_MORE | (status == STATUS_DATA_TRANSFER ? 0 : STATUS_DO_NOT_RETRY));
}

static void finish(void)
{
    struct controller *controller = &controllers[number];
    struct origin origin = origin_of(&message);
    uint16_t status = final_status(outcome.status);
    step = IDLE;
    if (outcome.pending)
        return;
    if (status)
        errors_note(controller, 0, &command, status, outcome.parameter);
    if (outcome.coalesce)
        orders_coalesce(number, &origin);
    outcome.order.status = status;
    outcome.order.result = outcome.result;
    orders_tell(&origin, outcome.kind, outcome.order);
}

static void fail(enum status status, uint32_t parameter)
{
    outcome = wrong(status, parameter);
    finish();
}

static struct outcome abort_command(void)
{
    struct controller *controller = &controllers[number];
    uint32_t queue = command.dword[0] & 0xffff;
    uint16_t cid = (uint16_t)(command.dword[0] >> 16);
    struct origin request;
    if (!queue) {
        /* Of the admin queue, only requests for events stay open. */
        if (!events_abort(controller, cid, &request))
            return ended(STATUS_SUCCESS, 1);
        orders_complete(&request, 0, STATUS_ABORT_REQUESTED);
        return ended(STATUS_SUCCESS, 0);
    }
    if (queue > NVME_QUEUES || !(controller->submission_queues >> queue & 1))
        return ended(STATUS_SUCCESS, 1);
    struct outcome asked = ended(STATUS_SUCCESS, 1);
    asked.kind = NVME_REPLY_ABORT;
    asked.order = (struct nvme_reply){.queue = (uint8_t)queue, .cid = cid};
    return asked;
}

static struct outcome ask_for_event(void)
{
    struct origin request = origin_of(&message);
    if (!events_keep(&controllers[number], &request))
        return wrong(STATUS_EVENT_LIMIT, 0);
    return (struct outcome){.parameter = NO_BYTE, .pending = true};
}

static struct outcome keep_alive(void)
{
    struct controller *controller = &controllers[number];
    controller->keep_alive_due =
        timer_now() + (uint64_t)controller->settings.keep_alive_ms * (timer_hz() / 1000);
    return ended(STATUS_SUCCESS, 0);
}

static struct outcome carry_out(const uint8_t *data)
{
    /* Commands are not fused, and data are described by PRPs alone. */
    if (command.flags)
        return wrong(STATUS_INVALID_FIELD, 1);
    switch (command.opcode) {
    case OPCODE_DELETE_SQ:
        return delete_submission_queue(number, &command);
    case OPCODE_CREATE_SQ:
        return create_submission_queue(number, &command);
    case OPCODE_GET_LOG_PAGE:
        return get_log_page(number, &command);
    case OPCODE_DELETE_CQ:
        return delete_completion_queue(number, &command);
    case OPCODE_CREATE_CQ:
        return create_completion_queue(number, &command);
    case OPCODE_IDENTIFY:
        return identify(number, &command);
    case OPCODE_ABORT:
        return abort_command();
    case OPCODE_SET_FEATURES:
        return set_features(number, &command, data);
    case OPCODE_GET_FEATURES:
        return get_features(number, &command);
    case OPCODE_ASYNC_EVENT:
        return ask_for_event();
    case OPCODE_KEEP_ALIVE:
        return keep_alive();
    default:
        return wrong(STATUS_INVALID_OPCODE, 0);
    }
}

/* Begin to send, or finish what has nothing to send. */
static void proceed(void)
{
    if (outcome.status || !outcome.length) {
        finish();
        return;
    }
    enum status status = transfer_begin(
        &message, &command, MAILBOX_TO_HOST, outcome.offset, outcome.length, outcome.span
    );
    if (status)
        fail(status, BYTE_PRP);
    else
        step = SENDING;
}

static void begin(void)
{
    const uint8_t *entry = message.content;
    command = (struct command){
        .opcode = entry[0],
        .flags = entry[1],
        .cid = message.tag,
        .nsid = little32(entry + 4),
        .prp = {little64(entry + 24), little64(entry + 32)},
    };
    for (unsigned n = 0; n < 6; n++)
        command.dword[n] = little32(entry + 40 + 4 * n);
    size_t takes =
        command.opcode == OPCODE_SET_FEATURES && !command.flags ? set_features_takes(&command) : 0;
    if (!takes) {
        outcome = carry_out(NULL);
        proceed();
        return;
    }
    enum status status =
        transfer_begin(&message, &command, MAILBOX_FROM_HOST, 0, takes, takes);
    if (status)
        fail(status, BYTE_PRP);
    else
        step = FETCHING;
}

static void happened(void)
{
    struct controller *controller = &controllers[number];
    uint32_t events = little32(message.content);
    if (events & NVME_EVENT_STOPPED) {
        controller->running = false;
        controller->completion_queues = controller->submission_queues = 0;
        controller->waiting_count = 0;
        controller->pending = controller->masked = 0;
        controller->changed = 0;
        controller->settings.keep_alive_ms = 0;
    }
    if (events & NVME_EVENT_STARTED) {
        settings_reset(number);
        controller->origin = origin_of(&message);
        controller->running = true;
    }
    if (events & NVME_EVENT_SHUTDOWN)
        controller->settings.keep_alive_ms = 0;
    if (events & NVME_EVENT_INVALID_REGISTER)
        events_raise(controller, EVENT_ERROR, ERROR_INVALID_REGISTER);
    if (events & NVME_EVENT_INVALID_VALUE)
        events_raise(controller, EVENT_ERROR, ERROR_INVALID_VALUE);
}

void nvme_take(const struct mailbox_message *taken)
{
    number = taken->function - NVME_FIRST_FUNCTION;
    if (number >= NVME_CONTROLLERS)
        return;
    message = *taken;
    if (message.kind == NVME_REQUEST_EVENT)
        happened();
    else if (message.kind == NVME_REQUEST_ADMIN && message.length == ENTRY_BYTES)
        begin();
}

/* What comes of itself: events, and the end of a host's patience with itself. */
static void look_around(void)
{
    for (unsigned n = 0; n < NVME_CONTROLLERS && !orders_waiting(); n++) {
        struct controller *controller = &controllers[n];
        struct origin request;
        uint32_t result;
        if (events_next(controller, &request, &result))
            orders_complete(&request, result, 0);
        else if (controller->settings.keep_alive_ms && timer_now() > controller->keep_alive_due) {
            controller->settings.keep_alive_ms = 0;
            orders_tell(&controller->origin, NVME_REPLY_FAIL, (struct nvme_reply){.silent = 1});
        }
    }
}

/* The copy or order that was under way has ended. */
static void advance(enum mailbox_status status)
{
    bool fetching = step == FETCHING;
    if (step == ORDERING || status == MAILBOX_REFUSED) {
        /* Refused: the controller was reset, and nobody waits for this any more. */
        step = IDLE;
        return;
    }
    switch (transfer_advance(status)) {
    case TRANSFER_WAITS:
        return;
    case TRANSFER_FAILED:
        fail(STATUS_DATA_TRANSFER, NO_BYTE);
        return;
    case TRANSFER_WRONG:
        fail(STATUS_PRP_OFFSET, BYTE_PRP + 8);
        return;
    case TRANSFER_DONE:
        if (fetching) {
            outcome = carry_out(page);
            proceed();
        } else {
            finish();
        }
    }
}

void nvme_turn(void)
{
    if (step != IDLE) {
        enum mailbox_status status = mailbox_status();
        if (status == MAILBOX_BUSY)
            return;
        advance(status);
    }
    if (nvme_idle())
        look_around();
    if (step == IDLE && orders_waiting()) {
        orders_give();
        step = ORDERING;
    }
}

void nvme_temperature(uint16_t measured)
{
    kelvin = measured;
    for (unsigned n = 0; n < NVME_CONTROLLERS; n++)
        if (temperature_exceeded(&controllers[n]))
            events_raise(&controllers[n], EVENT_HEALTH, HEALTH_TEMPERATURE);
}

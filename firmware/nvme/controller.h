/*
 * State of the controllers, and the parts that carry out their admin commands.
 *
 * A part looks at a command and either ends it with a status, or gives data that is to go to the
 * host first. None of them waits, and none knows how commands and data come and go: see admin.c.
 */
#ifndef NVME_CONTROLLER_H
#define NVME_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvme.h"
#include "nvme_layout.h"
#include "nvme_messages.h"
#include "specification.h"

enum {
    ASYNC_EVENTS = 4,  /* Requests that a host may leave with us. */
    ERRORS = 4,        /* Entries of the error log that are kept. */
    PAGE_FILLED = 1088, /* Behind so many bytes, what is for the host is zeros. */
};

/* A submission entry, taken apart. */
struct command {
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t prp[2];
    uint32_t dword[6]; /* 10 to 15. */
};

/* What has become of a command. */
struct outcome {
    enum status status;
    uint32_t result;     /* Dword 0 of the completion. */
    uint32_t parameter;  /* Byte of the command that was wrong, or NO_BYTE. */
    size_t offset;       /* For the host: of the page from there on, when `length` is not zero. */
    size_t length;
    size_t span;             /* Bytes that the host's PRPs describe. */
    enum nvme_reply_kind kind; /* What the hardware has to do before the command is complete. */
    struct nvme_reply order;   /* For that; status and result are filled in from above. */
    bool coalesce;             /* What all completion queues are to do about interrupts has changed. */
    bool pending;              /* The command stays open. */
};

enum { NO_BYTE = 0xffff };

/* Where an answer goes: the controller's life, and the command. */
struct origin {
    uint8_t source, function, generation;
    uint16_t tag;
};

struct error {
    uint64_t number;
    uint32_t nsid;
    uint16_t sqid, cid, status, parameter;
};

/* What a host has set; back to its default when the controller is reset. */
struct settings {
    uint32_t arbitration, coalescing, atomicity, events, keep_alive_ms;
    uint16_t over, under; /* Composite temperature, kelvin. */
    uint16_t recovery[NVME_NAMESPACES];
    uint32_t uncoalesced; /* A bit a vector. */
};

struct controller {
    struct settings settings;
    struct nvme_namespace namespaces[NVME_NAMESPACES]; /* That of NSID n at n - 1. */
    uint32_t changed;                                  /* A bit a namespace, from bit 0 for NSID 1. */
    uint32_t completion_queues, submission_queues;     /* A bit a queue; bit 0, admin, is not used. */
    uint8_t completion_of[NVME_QUEUES + 1];            /* Completion queue of a submission queue. */
    uint8_t vector_of[NVME_QUEUES + 1];                /* Of a completion queue. */
    bool running;
    struct origin origin; /* Of its present life. */
    struct origin waiting[ASYNC_EVENTS];
    uint8_t waiting_count;
    uint8_t pending, masked; /* Asynchronous events: a bit a type. */
    uint8_t what[3];         /* Their information. */
    struct error errors[ERRORS];
    uint64_t error_count;
    uint64_t clock_base, clock_since; /* Milliseconds that were set, and when. */
    bool clock_was_set;
    uint64_t keep_alive_due; /* Cycles; looked at while a time is set. */
};

extern struct controller controllers[NVME_CONTROLLERS];

/* Where parts put what is for the host; it stays until the next command. */
extern uint8_t page[PAGE_FILLED];

static inline struct outcome ended(enum status status, uint32_t result)
{
    return (struct outcome){.status = status, .result = result, .parameter = NO_BYTE};
}

/* A field of the command, at that byte, is wrong. */
static inline struct outcome wrong(enum status status, uint32_t byte)
{
    return (struct outcome){.status = status, .parameter = byte};
}

/* The status of a namespace identifier: invalid, inactive or fine (Base, 3.2.1.5). */
enum status namespace_status(const struct controller *controller, uint32_t nsid);

struct outcome identify(unsigned number, const struct command *command);
struct outcome get_log_page(unsigned number, const struct command *command);

/* `data` are the 8 bytes that the timestamp takes from the host, and NULL for all else. */
struct outcome set_features(unsigned number, const struct command *command, const uint8_t *data);
struct outcome get_features(unsigned number, const struct command *command);

/* Bytes that a command takes from the host before it can be carried out. */
size_t set_features_takes(const struct command *command);

struct outcome create_completion_queue(unsigned number, const struct command *command);
struct outcome create_submission_queue(unsigned number, const struct command *command);
struct outcome delete_completion_queue(unsigned number, const struct command *command);
struct outcome delete_submission_queue(unsigned number, const struct command *command);

/* When completion queue `queue` interrupts. */
void coalescing_of(const struct controller *controller, unsigned queue, struct nvme_reply *order);

/* All back to defaults: the controller was enabled. */
void settings_reset(unsigned number);

/* Is the measured temperature beyond what the host has set? Nothing is, until it was measured. */
bool temperature_exceeded(const struct controller *controller);

/* Asynchronous event types (Base, figure 146), and what we say with them. */
enum event { EVENT_ERROR = 0, EVENT_HEALTH = 1, EVENT_NOTICE = 2 };
enum {
    ERROR_INVALID_REGISTER = 0,
    ERROR_INVALID_VALUE = 1,
    HEALTH_TEMPERATURE = 1,
    NOTICE_NAMESPACES = 0,
};

/* Tell the host as soon as it has left a request for that, and has read of the last one. */
void events_raise(struct controller *controller, enum event type, uint8_t what);

/* The log page that tells of it was read: the next event of that type may be sent. */
void events_unmask(struct controller *controller, enum event type);

/* Take an event to tell, and the request that it ends. False when there is none. */
bool events_next(struct controller *controller, struct origin *request, uint32_t *result);

/* The host leaves a request; false when it has left as many as it may. */
bool events_keep(struct controller *controller, const struct origin *request);

/* Take away the request that has that command identifier. */
bool events_abort(struct controller *controller, uint16_t cid, struct origin *request);

/* Note what a command has ended with, for the error log. */
void errors_note(
    struct controller *controller, uint16_t sqid, const struct command *command, uint16_t status,
    uint32_t parameter
);

#endif

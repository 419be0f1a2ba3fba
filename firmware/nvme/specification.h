/*
 * Numbers of the NVM Express Base Specification 2.0 and the NVM Command Set Specification 1.0.
 */
#ifndef NVME_SPECIFICATION_H
#define NVME_SPECIFICATION_H

enum {
    SPECIFICATION_VERSION = 0x00020000,
    PAGE_BYTES = 4096, /* Memory page, identify data, and the longest of our log pages. */
    ENTRY_BYTES = 64,  /* Of a submission entry. */
};

#define EVERY_NAMESPACE 0xffffffffu

/* Admin commands (Base, figure 138). */
enum opcode {
    OPCODE_DELETE_SQ = 0x00,
    OPCODE_CREATE_SQ = 0x01,
    OPCODE_GET_LOG_PAGE = 0x02,
    OPCODE_DELETE_CQ = 0x04,
    OPCODE_CREATE_CQ = 0x05,
    OPCODE_IDENTIFY = 0x06,
    OPCODE_ABORT = 0x08,
    OPCODE_SET_FEATURES = 0x09,
    OPCODE_GET_FEATURES = 0x0a,
    OPCODE_ASYNC_EVENT = 0x0c,
    OPCODE_KEEP_ALIVE = 0x18,
};

/* Commands of I/O queues (NVM Command Set, figure 22). */
enum io_opcode {
    IO_FLUSH = 0x00,
    IO_WRITE = 0x01,
    IO_READ = 0x02,
    IO_COMPARE = 0x05,
    IO_WRITE_ZEROES = 0x08,
    IO_DATASET_MANAGEMENT = 0x09,
    IO_VERIFY = 0x0c,
};

/* Status code type and status code, as they stand in a completion entry above the phase tag. */
enum status {
    STATUS_SUCCESS = 0x000,
    STATUS_INVALID_OPCODE = 0x001,
    STATUS_INVALID_FIELD = 0x002,
    STATUS_DATA_TRANSFER = 0x004,
    STATUS_INTERNAL = 0x006,
    STATUS_ABORT_REQUESTED = 0x007,
    STATUS_INVALID_NAMESPACE = 0x00b,
    STATUS_SEQUENCE = 0x00c,
    STATUS_PRP_OFFSET = 0x013,
    STATUS_COMPLETION_QUEUE = 0x100,
    STATUS_QUEUE_IDENTIFIER = 0x101,
    STATUS_QUEUE_SIZE = 0x102,
    STATUS_EVENT_LIMIT = 0x105,
    STATUS_VECTOR = 0x108,
    STATUS_LOG_PAGE = 0x109,
    STATUS_QUEUE_DELETION = 0x10c,
    STATUS_NOT_SAVEABLE = 0x10d,
    STATUS_NOT_OF_NAMESPACE = 0x10f,
    STATUS_DO_NOT_RETRY = 1 << 14,
    STATUS_MORE = 1 << 13,
};

enum structure { /* Identify: CNS. */
    IDENTIFY_NAMESPACE = 0x00,
    IDENTIFY_CONTROLLER = 0x01,
    IDENTIFY_ACTIVE = 0x02,
    IDENTIFY_DESCRIPTORS = 0x03,
    IDENTIFY_NAMESPACE_OF_SET = 0x05,
    IDENTIFY_CONTROLLER_OF_SET = 0x06,
    IDENTIFY_ACTIVE_OF_SET = 0x07,
    IDENTIFY_NAMESPACE_ANY_SET = 0x08,
    IDENTIFY_SETS = 0x1c,
};

enum log_page {
    LOG_SUPPORTED = 0x00,
    LOG_ERRORS = 0x01,
    LOG_HEALTH = 0x02,
    LOG_FIRMWARE = 0x03,
    LOG_CHANGED_NAMESPACES = 0x04,
    LOG_EFFECTS = 0x05,
    LOG_FEATURES = 0x12,
    LOG_MANAGEMENT = 0x13,
};

enum feature {
    FEATURE_ARBITRATION = 0x01,
    FEATURE_POWER = 0x02,
    FEATURE_TEMPERATURE = 0x04,
    FEATURE_ERROR_RECOVERY = 0x05,
    FEATURE_QUEUES = 0x07,
    FEATURE_COALESCING = 0x08,
    FEATURE_VECTOR = 0x09,
    FEATURE_ATOMICITY = 0x0a,
    FEATURE_EVENTS = 0x0b,
    FEATURE_TIMESTAMP = 0x0e,
    FEATURE_KEEP_ALIVE = 0x0f,
};

enum { /* Asynchronous events: bits of feature 0Bh, and of OAES. */
    EVENT_CONFIG_TEMPERATURE = 1 << 1,
    EVENT_CONFIG_NAMESPACES = 1 << 8,
};

#endif

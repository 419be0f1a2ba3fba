/* Set Features and Get Features (Base 2.0, 5.15 and 5.27). */
#include <string.h>

#include "controller.h"
#include "hal/timer.h"
#include "identity.h"
#include "little.h"

enum {
    CURRENT, /* Which value is asked for. */
    DEFAULT,
    SAVED,
    CAPABILITIES,
};

enum { /* What Get Features says of a feature: none can be saved. */
    OF_NAMESPACE = 1 << 1,
    CHANGEABLE = 1 << 2,
};

enum {
    QUEUES = NVME_QUEUES - 1,
    OVER_DEFAULT = 343, /* Kelvin; no threshold below. */
    KEEP_ALIVE_STEP = 1000,
    TIMESTAMP_BYTES = 8,
    TEMPERATURE_COMPOSITE = 0,
    TEMPERATURE_ALL = 15,
};

/* Bytes of the command: dwords 10 and 11, and the namespace. */
enum { BYTE_NSID = 4, BYTE_10 = 40, BYTE_11 = 44 };

static uint64_t ms_now(void)
{
    return timer_now() / (timer_hz() / 1000);
}

void settings_reset(unsigned number)
{
    struct controller *controller = &controllers[number];
    controller->settings = (struct settings){.over = OVER_DEFAULT};
    controller->clock_base = 0;
    controller->clock_since = ms_now();
    controller->clock_was_set = false;
}

static uint64_t timestamp_now(const struct controller *controller)
{
    uint64_t ms = controller->clock_base + ms_now() - controller->clock_since;
    /* Since power up or reset, or since it was set; the count has never stopped. */
    return (ms & 0xffffffffffff) | (controller->clock_was_set ? (uint64_t)1 << 49 : 0);
}

bool temperature_exceeded(const struct controller *controller)
{
    uint16_t kelvin = nvme_temperature_now();
    const struct settings *settings = &controller->settings;
    return kelvin && (kelvin >= settings->over || kelvin <= settings->under);
}

static bool exists(uint8_t feature)
{
    switch (feature) {
    case FEATURE_ARBITRATION:
    case FEATURE_POWER:
    case FEATURE_TEMPERATURE:
    case FEATURE_ERROR_RECOVERY:
    case FEATURE_QUEUES:
    case FEATURE_COALESCING:
    case FEATURE_VECTOR:
    case FEATURE_ATOMICITY:
    case FEATURE_EVENTS:
    case FEATURE_TIMESTAMP:
    case FEATURE_KEEP_ALIVE:
        return true;
    }
    return false;
}

/* Which threshold a command is about, in dword 11; NULL for a sensor that is not there. */
static uint16_t *threshold(struct settings *settings, uint32_t value, bool all)
{
    unsigned sensor = value >> 16 & 15, direction = value >> 20 & 3;
    if (sensor != TEMPERATURE_COMPOSITE && !(all && sensor == TEMPERATURE_ALL))
        return NULL;
    switch (direction) {
    case 0:
        return &settings->over;
    case 1:
        return &settings->under;
    }
    return NULL;
}

static struct outcome set_recovery(struct controller *controller, uint32_t nsid, uint32_t value)
{
    if (value >> 16 & 1) /* Errors for deallocated blocks: no namespace has them. */
        return wrong(STATUS_INVALID_FIELD, BYTE_11);
    if (nsid != EVERY_NAMESPACE) {
        enum status known = namespace_status(controller, nsid);
        if (known)
            return wrong(known, BYTE_NSID);
    }
    for (uint32_t n = 0; n < NVME_NAMESPACES; n++)
        if (nsid == n + 1 || (nsid == EVERY_NAMESPACE && controller->namespaces[n].attached))
            controller->settings.recovery[n] = (uint16_t)value;
    return ended(STATUS_SUCCESS, 0);
}

size_t set_features_takes(const struct command *command)
{
    return (uint8_t)command->dword[0] == FEATURE_TIMESTAMP && !(command->dword[0] >> 31)
        ? TIMESTAMP_BYTES : 0;
}

struct outcome set_features(unsigned number, const struct command *command, const uint8_t *data)
{
    struct controller *controller = &controllers[number];
    struct settings *settings = &controller->settings;
    uint8_t feature = (uint8_t)command->dword[0];
    uint32_t value = command->dword[1];
    if (!exists(feature))
        return wrong(STATUS_INVALID_FIELD, BYTE_10);
    if (command->dword[0] >> 31)
        return wrong(STATUS_NOT_SAVEABLE, BYTE_10);
    if (feature == FEATURE_ERROR_RECOVERY)
        return set_recovery(controller, command->nsid, value);
    if (command->nsid && command->nsid != EVERY_NAMESPACE)
        return wrong(STATUS_NOT_OF_NAMESPACE, BYTE_NSID);

    switch (feature) {
    case FEATURE_ARBITRATION:
        settings->arbitration = value & 0xffffff07;
        break;
    case FEATURE_POWER:
        if (value & 31) /* The only power state is 0. */
            return wrong(STATUS_INVALID_FIELD, BYTE_11);
        break;
    case FEATURE_TEMPERATURE: {
        uint16_t *place = threshold(settings, value, true);
        if (!place)
            return wrong(STATUS_INVALID_FIELD, BYTE_11);
        *place = (uint16_t)value;
        break;
    }
    case FEATURE_QUEUES:
        if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
            return wrong(STATUS_INVALID_FIELD, BYTE_11);
        if (controller->completion_queues || controller->submission_queues)
            return wrong(STATUS_SEQUENCE, BYTE_10);
        /* More than was asked for is fine: the number never depends on that. */
        return ended(STATUS_SUCCESS, QUEUES | (uint32_t)QUEUES << 16);
    case FEATURE_COALESCING:
        settings->coalescing = value & 0xffff;
        return (struct outcome){.parameter = NO_BYTE, .coalesce = true};
    case FEATURE_VECTOR: {
        uint32_t vector = value & 0xffff;
        if (vector >= NVME_VECTORS)
            return wrong(STATUS_INVALID_FIELD, BYTE_11);
        uint32_t bit = (uint32_t)1 << vector;
        settings->uncoalesced = (settings->uncoalesced & ~bit) | (value >> 16 & 1 ? bit : 0);
        return (struct outcome){.parameter = NO_BYTE, .coalesce = true};
    }
    case FEATURE_ATOMICITY:
        settings->atomicity = value & 1;
        break;
    case FEATURE_EVENTS:
        settings->events = value & (EVENT_CONFIG_TEMPERATURE | EVENT_CONFIG_NAMESPACES);
        break;
    case FEATURE_TIMESTAMP:
        controller->clock_base = little64(data) & 0xffffffffffff;
        controller->clock_since = ms_now();
        controller->clock_was_set = true;
        break;
    case FEATURE_KEEP_ALIVE:
        /* Rounded up to what the granularity allows. */
        settings->keep_alive_ms = value > UINT32_MAX - KEEP_ALIVE_STEP
            ? value : (value + KEEP_ALIVE_STEP - 1) / KEEP_ALIVE_STEP * KEEP_ALIVE_STEP;
        controller->keep_alive_due =
            timer_now() + (uint64_t)settings->keep_alive_ms * (timer_hz() / 1000);
        break;
    }
    return ended(STATUS_SUCCESS, 0);
}

static uint32_t vector_setting(const struct settings *settings, uint32_t vector)
{
    return vector | (settings->uncoalesced >> vector & 1) << 16;
}

struct outcome get_features(unsigned number, const struct command *command)
{
    struct controller *controller = &controllers[number];
    uint8_t feature = (uint8_t)command->dword[0];
    unsigned select = command->dword[0] >> 8 & 7;
    if (!exists(feature) || select > CAPABILITIES)
        return wrong(STATUS_INVALID_FIELD, BYTE_10);
    if (feature == FEATURE_ERROR_RECOVERY) {
        enum status known = namespace_status(controller, command->nsid);
        if (known)
            return wrong(known, BYTE_NSID);
    }
    if (select == CAPABILITIES)
        return ended(
            STATUS_SUCCESS, CHANGEABLE | (feature == FEATURE_ERROR_RECOVERY ? OF_NAMESPACE : 0)
        );

    struct settings defaults = {.over = OVER_DEFAULT};
    /* What cannot be saved has its default in place of a saved value. */
    struct settings *settings = select == CURRENT ? &controller->settings : &defaults;
    uint32_t value = command->dword[1];
    switch (feature) {
    case FEATURE_ARBITRATION:
        return ended(STATUS_SUCCESS, settings->arbitration);
    case FEATURE_TEMPERATURE: {
        const uint16_t *place = threshold(settings, value, false);
        return place ? ended(STATUS_SUCCESS, *place) : wrong(STATUS_INVALID_FIELD, BYTE_11);
    }
    case FEATURE_ERROR_RECOVERY:
        return ended(STATUS_SUCCESS, settings->recovery[command->nsid - 1]);
    case FEATURE_QUEUES:
        return ended(STATUS_SUCCESS, QUEUES | (uint32_t)QUEUES << 16);
    case FEATURE_COALESCING:
        return ended(STATUS_SUCCESS, settings->coalescing);
    case FEATURE_VECTOR:
        return (value & 0xffff) < NVME_VECTORS
            ? ended(STATUS_SUCCESS, vector_setting(settings, value & 0xffff))
            : wrong(STATUS_INVALID_FIELD, BYTE_11);
    case FEATURE_ATOMICITY:
        return ended(STATUS_SUCCESS, settings->atomicity);
    case FEATURE_EVENTS:
        return ended(STATUS_SUCCESS, settings->events);
    case FEATURE_TIMESTAMP:
        memset(page, 0, TIMESTAMP_BYTES);
        if (select == CURRENT)
            put_little64(page, timestamp_now(controller));
        return (struct outcome){
            .parameter = NO_BYTE, .length = TIMESTAMP_BYTES, .span = TIMESTAMP_BYTES};
    case FEATURE_KEEP_ALIVE:
        return ended(STATUS_SUCCESS, settings->keep_alive_ms);
    default: /* Power state 0. */
        return ended(STATUS_SUCCESS, 0);
    }
}

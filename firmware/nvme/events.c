/* Asynchronous events: what the host is told without asking (Base 2.0, 5.2). */
#include "controller.h"

static const uint8_t pages[] = {
    [EVENT_ERROR] = LOG_ERRORS, [EVENT_HEALTH] = LOG_HEALTH, [EVENT_NOTICE] = LOG_CHANGED_NAMESPACES,
};

static bool wanted(const struct controller *controller, enum event type)
{
    switch (type) {
    case EVENT_HEALTH:
        return controller->settings.events & EVENT_CONFIG_TEMPERATURE;
    case EVENT_NOTICE:
        return controller->settings.events & EVENT_CONFIG_NAMESPACES;
    default:
        return true;
    }
}

void events_raise(struct controller *controller, enum event type, uint8_t what)
{
    if (!controller->running || !wanted(controller, type))
        return;
    controller->pending |= (uint8_t)(1 << type);
    controller->what[type] = what;
}

void events_unmask(struct controller *controller, enum event type)
{
    controller->masked &= (uint8_t) ~(1 << type);
    /* What was read is no news any more. */
    controller->pending &= (uint8_t) ~(1 << type);
}

bool events_next(struct controller *controller, struct origin *request, uint32_t *result)
{
    unsigned due = controller->pending & ~controller->masked;
    if (!due || !controller->waiting_count)
        return false;
    unsigned type = 0;
    while (!(due >> type & 1))
        type++;
    controller->pending &= (uint8_t) ~(1 << type);
    controller->masked |= (uint8_t)(1 << type);
    /* Which of the host's requests is answered is ours to choose. */
    *request = controller->waiting[--controller->waiting_count];
    *result = type | (uint32_t)controller->what[type] << 8 | (uint32_t)pages[type] << 16;
    return true;
}

bool events_keep(struct controller *controller, const struct origin *request)
{
    if (controller->waiting_count == ASYNC_EVENTS)
        return false;
    controller->waiting[controller->waiting_count++] = *request;
    return true;
}

bool events_abort(struct controller *controller, uint16_t cid, struct origin *request)
{
    for (unsigned n = 0; n < controller->waiting_count; n++)
        if (controller->waiting[n].tag == cid) {
            *request = controller->waiting[n];
            controller->waiting[n] = controller->waiting[--controller->waiting_count];
            return true;
        }
    return false;
}

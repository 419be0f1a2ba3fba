/* Which namespaces the controllers have: a copy of what the hardware was told, which cannot be read. */
#include <string.h>

#include "controller.h"
#include "table.h"

bool nvme_attach(unsigned number, uint32_t nsid, const struct nvme_namespace *is)
{
    if (number >= NVME_CONTROLLERS || !nsid || nsid > NVME_NAMESPACES)
        return false;
    if (is && (is->volume >= NVME_VOLUMES || (is->shift != 9 && is->shift != 12)))
        return false;
    struct controller *controller = &controllers[number];
    struct nvme_namespace *place = &controller->namespaces[nsid - 1];
    if (is) {
        *place = *is;
        place->attached = true;
    } else {
        memset(place, 0, sizeof *place);
    }
    table_write(number, nsid, place);
    controller->settings.recovery[nsid - 1] = 0;
    if (controller->running) {
        controller->changed |= (uint32_t)1 << (nsid - 1);
        events_raise(controller, EVENT_NOTICE, NOTICE_NAMESPACES);
    }
    return true;
}

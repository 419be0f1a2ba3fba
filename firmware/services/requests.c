#include "requests.h"

#include "card_layout.h"
#include "control_queue.h"
#include "hal/mailbox.h"
#include "nvme/nvme.h"

/* Whose message it is. */
static void take(const struct mailbox_message *message)
{
#if LAYOUT_SERVICES
    if (message->source == LAYOUT_ENGINE_NET)
        control_queue_answer(message);
#endif
#if LAYOUT_STORAGE
    if (message->source == LAYOUT_ENGINE_STORAGE)
        nvme_take(message);
#endif
}

/* The next order would meet the last one's window. */
static bool under_way(void)
{
#if LAYOUT_STORAGE
    if (!nvme_idle())
        return true;
#endif
    return mailbox_busy();
}

void requests_turn(void)
{
    struct mailbox_message message;
    if (!under_way() && mailbox_take(&message))
        take(&message);
#if LAYOUT_STORAGE
    /* An answer to a control queue may be on its way, which the controllers know nothing of. */
    if (!nvme_idle() || !mailbox_busy())
        nvme_turn();
#endif
}

/*
 * The admin commands of the card's NVMe controllers, and their namespaces.
 *
 * Each controller is one PCIe function with admin queues in hardware; what comes out of them
 * arrives by the mailbox. Call nvme_open() once, then nvme_take() with each message of the NVMe
 * engine while nvme_idle(), and nvme_turn() for ever. None of them waits.
 */
#ifndef NVME_NVME_H
#define NVME_NVME_H

#include <stdbool.h>
#include <stdint.h>

#include "hal/mailbox.h"

/*
 * What identifies the card; texts are padded with blanks, not ended by a zero. A controller puts its
 * number behind the serial number, which has 19 letters at most, and behind the name.
 */
struct nvme_identity {
    char serial[20];
    char model[40];
    char firmware[8];
    char name[64]; /* NVM subsystem qualified name, ended by zeros. */
};

/* A namespace of one controller. */
struct nvme_namespace {
    bool attached;
    bool read_only;
    uint8_t volume;  /* Of the card's volumes. */
    uint8_t shift;   /* Its blocks have 1 << shift bytes: 9 or 12. */
    uint64_t blocks; /* Of that size. */
    uint8_t id[16];  /* NGUID: the same for ever, and no other namespace's. */
};

void nvme_open(const struct nvme_identity *identity);

/* Is there nothing under way that the next message would have to wait for? */
bool nvme_idle(void);

void nvme_take(const struct mailbox_message *message);

void nvme_turn(void);

/*
 * Attach or change a namespace (`nsid` from 1), or detach it with NULL. The host is told, if it
 * has asked for that. False for what the card cannot hold; then nothing has changed.
 */
bool nvme_attach(unsigned controller, uint32_t nsid, const struct nvme_namespace *is);

/* Tell what was measured, in kelvin. 0, as in the beginning: nothing was. */
void nvme_temperature(uint16_t kelvin);

#endif

/* What identifies the card, as nvme_open() was given it. */
#ifndef NVME_IDENTITY_H
#define NVME_IDENTITY_H

#include "nvme.h"

const struct nvme_identity *nvme_identity(void);

/* Kelvin, or 0. */
uint16_t nvme_temperature_now(void);

#endif

/* A firmware image in MCUboot's format, loaded from a slot and checked. */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include <stdint.h>

#include "handover.h"
#include "hal/sha.h"

enum { IMAGE_HEADER = 32 };

struct image {
    uint32_t version; /* major << 24 | minor << 16 | revision. */
    uint32_t counter; /* Security counter. */
    uint8_t digest[SHA384_BYTES]; /* Of header, content and protected values: what is measured. */
};

/* Look at the header in the slot only. Sets `version`. */
enum boot_verdict image_peek(uint32_t slot, struct image *image);

/*
 * Copy the image's content to BOOT_IMAGE_BASE and check it there: its lengths, its security counter
 * against `least`, its signature with `key`. BOOT_STARTED: it may be started.
 */
enum boot_verdict image_load(
    uint32_t slot, uint32_t least, const uint8_t key[32], struct image *image
);

/*
 * Check an image where it stands in flash, all but its header, which is `head`; otherwise as
 * image_load(). Takes millions of cycles, and gives way as a job does.
 */
enum boot_verdict image_check(
    uint32_t slot,
    const uint8_t head[IMAGE_HEADER],
    uint32_t least,
    const uint8_t key[32],
    struct image *image
);

#endif
